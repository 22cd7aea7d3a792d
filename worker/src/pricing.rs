//! Prices that follow demand, within a tenth of the operator's base and never below its floor.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chainference_chain::accounts::UpdateOfferArgs;
use chainference_chain::{Chain, Keypair, Pubkey, Signer, instruction};
use chainference_market::Prices;
use tokio_util::sync::CancellationToken;

use crate::registration::try_send;
use crate::settlement::lock;

const BPS: u64 = 10_000;
/// How far prices move from the base, either way.
const SWING_BPS: u64 = 1_000;
/// A change that is smaller isn't worth its fee.
const CHANGE_BPS_MIN: u64 = 100;
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// The newest sample's part of the utilisation: half a minute counts.
const SAMPLE_PART: u64 = 32;
/// Each change costs a signature, and clients that read the old price are refused once.
const EVERY_S_MIN: u32 = 10;

/// How an offer's prices come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pricing {
    /// The base, always.
    Fixed,
    /// Nine tenths of the base while nothing runs, eleven tenths while all slots are taken. Looked at
    /// anew every so often.
    Utilisation { every_s: u32 },
}

/// The least prices, in lamports for 1,000,000 tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Floor {
    pub input_per_mtok: u64,
    pub output_per_mtok: u64,
}

impl Floor {
    pub fn raise(&self, prices: Prices) -> Prices {
        Prices {
            input_per_mtok: prices.input_per_mtok.max(self.input_per_mtok),
            output_per_mtok: prices.output_per_mtok.max(self.output_per_mtok),
            ..prices
        }
    }
}

/// The prices of an offer as they stand on chain, shared by all who ask.
#[derive(Clone, Debug)]
pub(crate) struct PriceTag(Arc<Mutex<Prices>>);

impl PriceTag {
    pub fn new(prices: Prices) -> Self {
        Self(Arc::new(Mutex::new(prices)))
    }

    pub fn get(&self) -> Prices {
        *lock(&self.0)
    }

    fn set(&self, prices: Prices) {
        *lock(&self.0) = prices;
    }
}

/// What one offer's prices follow.
pub(crate) struct Demand {
    pub base: Prices,
    pub floor: Floor,
    pub slots: usize,
    /// Calls that run or wait.
    pub busy: Box<dyn Fn() -> usize + Send + Sync>,
}

impl Demand {
    /// The prices at this utilisation.
    fn prices(&self, utilisation_bps: u64) -> Prices {
        let factor_bps = BPS - SWING_BPS + 2 * SWING_BPS * utilisation_bps.min(BPS) / BPS;
        let scaled = |price: u64| {
            let scaled = u128::from(price) * u128::from(factor_bps) / u128::from(BPS);
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        self.floor.raise(Prices {
            input_per_mtok: scaled(self.base.input_per_mtok),
            output_per_mtok: scaled(self.base.output_per_mtok),
            ..self.base
        })
    }

    fn utilisation_bps(&self) -> u64 {
        let slots = self.slots.max(1);
        ((self.busy)().min(slots) as u64) * BPS / slots as u64
    }
}

/// Where the offer is, and who may change it.
pub(crate) struct Shelf {
    pub chain: Chain,
    pub operator: Arc<Keypair>,
    /// Address of the worker's record.
    pub worker: Pubkey,
    pub offer: Pubkey,
    pub tag: PriceTag,
}

/// Changes the offer as demand changes, at most every `every_s`, until `shutdown`.
pub(crate) async fn follow(
    shelf: Shelf,
    demand: Demand,
    every_s: u32,
    shutdown: CancellationToken,
) {
    let samples_per_change = every_s.max(EVERY_S_MIN);
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut utilisation_bps = demand.utilisation_bps();
    let mut samples = 0;
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        utilisation_bps =
            ((SAMPLE_PART - 1) * utilisation_bps + demand.utilisation_bps()) / SAMPLE_PART;
        samples += 1;
        if samples < samples_per_change {
            continue;
        }
        samples = 0;
        let wanted = demand.prices(utilisation_bps);
        if is_worth_it(shelf.tag.get(), wanted) {
            shutdown.run_until_cancelled(reprice(&shelf, wanted)).await;
        }
    }
}

fn is_worth_it(now: Prices, wanted: Prices) -> bool {
    let moved = |now: u64, wanted: u64| {
        u128::from(now.abs_diff(wanted)) * u128::from(BPS)
            >= u128::from(now) * u128::from(CHANGE_BPS_MIN)
            && now != wanted
    };
    moved(now.input_per_mtok, wanted.input_per_mtok)
        || moved(now.output_per_mtok, wanted.output_per_mtok)
}

/// It can land twice without harm, so nothing is stored before it is sent.
async fn reprice(shelf: &Shelf, wanted: Prices) {
    let args = UpdateOfferArgs {
        price_in_per_mtok: Some(wanted.input_per_mtok),
        price_out_per_mtok: Some(wanted.output_per_mtok),
        ..UpdateOfferArgs::default()
    };
    let (operator, worker, offer) = (shelf.operator.pubkey(), &shelf.worker, &shelf.offer);
    let update = instruction::update_offer(&operator, worker, offer, args);
    match try_send(&shelf.chain, &[update], &shelf.operator).await {
        Ok(()) => {
            shelf.tag.set(wanted);
            let (input, output) = (wanted.input_per_mtok, wanted.output_per_mtok);
            tracing::info!(input, output, "the offer's prices follow demand");
        }
        Err(error) => tracing::warn!(%error, "the offer's prices could not be changed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Prices =
        Prices { input_per_mtok: 600_000, output_per_mtok: 1_200_000, charge_min: 2_000 };

    fn demand(floor: Floor, busy: usize) -> Demand {
        Demand { base: BASE, floor, slots: 4, busy: Box::new(move || busy) }
    }

    #[test]
    fn prices_move_a_tenth_either_way_and_the_least_charge_stays() {
        for (utilisation_bps, input, output) in [
            (0, 540_000, 1_080_000),
            (5_000, 600_000, 1_200_000),
            (10_000, 660_000, 1_320_000),
            (u64::MAX, 660_000, 1_320_000),
        ] {
            let prices = demand(Floor::default(), 0).prices(utilisation_bps);
            let expected =
                Prices { input_per_mtok: input, output_per_mtok: output, charge_min: 2_000 };
            assert_eq!(prices, expected, "{utilisation_bps}");
        }
    }

    #[test]
    fn no_price_falls_below_its_floor() {
        let floor = Floor { input_per_mtok: 590_000, output_per_mtok: 2_000_000 };
        let prices = demand(floor, 0).prices(0);
        assert_eq!((prices.input_per_mtok, prices.output_per_mtok), (590_000, 2_000_000));
        assert_eq!(demand(floor, 0).prices(10_000).output_per_mtok, 2_000_000);
    }

    #[test]
    fn utilisation_is_the_share_of_slots_and_those_who_wait_add_nothing() {
        for (busy, bps) in [(0, 0), (1, 2_500), (4, 10_000), (9, 10_000)] {
            assert_eq!(demand(Floor::default(), busy).utilisation_bps(), bps);
        }
    }

    #[test]
    fn only_a_change_of_a_hundredth_is_sent() {
        let input = |input_per_mtok| Prices { input_per_mtok, ..BASE };
        assert!(!is_worth_it(BASE, BASE));
        assert!(!is_worth_it(BASE, input(605_999)));
        assert!(is_worth_it(BASE, input(606_000)));
        assert!(is_worth_it(BASE, input(594_000)));
        let free = Prices::default();
        assert!(!is_worth_it(free, free));
    }
}
