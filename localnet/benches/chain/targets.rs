//! What the figures must be.

use std::fmt;

use crate::Figures;
use crate::bundles::Most;
use crate::instructions::Cost;
use crate::sessions::Packing;

pub struct Target {
    pub what: String,
    pub figure: f64,
    pub bound: Bound,
}

#[derive(Clone, Copy)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Below(f64),
    Above(f64),
}

pub const LAMPORTS_A_CALL_MAX: f64 = 20.0;

pub fn check(figures: &Figures) -> Vec<Target> {
    let [.., at_1_000] = figures.sessions.of(Packing::Alone).lamports_a_call();
    let (dearest, units) = dearest_without_signature(figures);
    let claims = |most: &Most| most.count as f64;
    let rent = &figures.sessions;
    let target = |what: &str, figure, bound| Target { what: what.into(), figure, bound };
    vec![
        target(
            "lamports a call at 1,000 calls, each step alone",
            at_1_000,
            Bound::AtMost(LAMPORTS_A_CALL_MAX),
        ),
        target(
            "claims in one transaction, one client",
            claims(&figures.bundles.claims_of_one_client),
            Bound::Above(5.0),
        ),
        target(
            "claims in one transaction, unrelated clients",
            claims(&figures.bundles.claims_of_unrelated_clients),
            Bound::Above(5.0),
        ),
        target(
            &format!("compute units of the dearest instruction without a signature ({dearest})"),
            units as f64,
            Bound::Below(30_000.0),
        ),
        target(
            "share of a job's rent that came back",
            rent.rent_returned as f64 / rent.rent as f64,
            Bound::AtLeast(1.0),
        ),
    ]
}

/// By name and compute units.
pub fn dearest(figures: &Figures) -> (&'static str, u64) {
    dearest_by(figures, |cost| cost.compute_units)
}

/// The same where what verifies a voucher is taken off.
pub fn dearest_without_signature(figures: &Figures) -> (&'static str, u64) {
    dearest_by(figures, |cost| {
        let signature = if cost.verifies_a_voucher() { figures.signature_units } else { 0 };
        cost.compute_units - signature
    })
}

fn dearest_by(figures: &Figures, units: impl Fn(&Cost) -> u64) -> (&'static str, u64) {
    let costs = figures.instructions.iter().map(|cost| (cost.name, units(cost)));
    costs.max_by_key(|(_, units)| *units).expect("there are instructions")
}

impl Target {
    pub fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.figure >= bound,
            Bound::AtMost(bound) => self.figure <= bound,
            Bound::Below(bound) => self.figure < bound,
            Bound::Above(bound) => self.figure > bound,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, wanted {}", self.what, self.figure, self.bound)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
            Self::Below(bound) => write!(f, "< {bound}"),
            Self::Above(bound) => write!(f, "> {bound}"),
        }
    }
}
