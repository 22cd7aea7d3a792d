//! What a call costs in fees, by how many calls a session carries and by what shares a transaction.

use chainference_chain::{Instruction, Keypair, Signer, Totals};

use crate::bundles::{Bundles, close, final_claim, publish_and_lock, roomy_market};
use crate::common::{CLOSE_SLOTS, FEE_PER_SIGNATURE, Market, OK, TestJob, totals};

pub const CALLS: [u64; 4] = [1, 10, 100, 1_000];
/// Of one call.
const TOKENS: Totals = Totals { tokens_in: 200, tokens_out: 100 };
/// Sessions, one after the other, over which a chain of transactions is looked at.
const CHAINED: usize = 20;

/// How the steps of sessions are put into transactions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Publish and lock, claim, close: three transactions, four signatures.
    Alone,
    /// The worker claims and the client closes as many sessions at once as a packet carries.
    Bundled,
    /// The close rides in the client's next publish and lock.
    CloseRides,
    /// The claim, too: the worker signs that transaction anyway.
    BothRide,
}

pub struct Session {
    pub packing: Packing,
    /// Fees of the chain for one session, in lamports, by its calls as in [`CALLS`].
    pub fees: [f64; 4],
    /// Of the largest transaction.
    pub transaction_bytes: usize,
}

impl Session {
    /// By calls as in [`CALLS`].
    pub fn lamports_a_call(&self) -> [f64; 4] {
        std::array::from_fn(|at| self.fees[at] / CALLS[at] as f64)
    }
}

pub struct Sessions {
    pub packings: Vec<Session>,
    /// What a job's account holds until it is closed, in lamports.
    pub rent: u64,
    /// What of it came back.
    pub rent_returned: u64,
}

impl Packing {
    pub const ALL: [Self; 4] = [Self::Alone, Self::Bundled, Self::CloseRides, Self::BothRide];

    pub fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Bundled => "bundled",
            Self::CloseRides => "close_rides",
            Self::BothRide => "claim_and_close_ride",
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Alone => "each step alone",
            Self::Bundled => "claims and closes bundled",
            Self::CloseRides => "close in the next publish",
            Self::BothRide => "claim and close in the next publish",
        }
    }
}

impl Sessions {
    pub fn of(&self, packing: Packing) -> &Session {
        self.packings.iter().find(|session| session.packing == packing).expect("each is measured")
    }

    pub fn measure(bundles: &Bundles) -> Self {
        let (claims, closes) = (bundles.claims_of_one_client.count, bundles.closes.count);
        let (mut rent, mut rent_returned) = (0, 0);
        let packings = Packing::ALL.map(|packing| {
            let mut largest = 0;
            let fees = CALLS.map(|calls| {
                let mut run = Run::new(calls);
                let fees = match packing {
                    Packing::Alone => run.in_bundles(1, 1),
                    Packing::Bundled => run.in_bundles(claims, closes),
                    Packing::CloseRides => run.in_a_chain(false),
                    Packing::BothRide => run.in_a_chain(true),
                };
                largest = largest.max(run.transaction_bytes);
                if packing == Packing::Alone {
                    (rent, rent_returned) = (run.rent, run.rent_returned);
                }
                fees
            });
            Session { packing, fees, transaction_bytes: largest }
        });
        Self { packings: packings.into(), rent, rent_returned }
    }
}

/// Sessions of so many calls, in a market of their own.
struct Run {
    market: Market,
    vouched: Totals,
    transaction_bytes: usize,
    rent: u64,
    rent_returned: u64,
}

impl Run {
    fn new(calls: u64) -> Self {
        let vouched = totals(calls * TOKENS.tokens_in, calls * TOKENS.tokens_out);
        Self { market: roomy_market(), vouched, transaction_bytes: 0, rent: 0, rent_returned: 0 }
    }

    /// Fees a session where `claims` of them are claimed, and `closes` closed, in one transaction.
    fn in_bundles(&mut self, claims: usize, closes: usize) -> f64 {
        let count = claims * closes;
        let (before, paid_before) = (self.money(), self.market.fees);
        let jobs: Vec<TestJob> = (0..count).map(|_| self.lock(Vec::new())).collect();
        for bundle in jobs.chunks(claims) {
            let claims: Vec<_> = bundle.iter().map(|job| final_claim(job, self.vouched)).collect();
            self.send(&claims, &self.market.operator.insecure_clone());
        }
        self.market.warp_past_closing();
        for bundle in jobs.chunks(closes) {
            let closes: Vec<_> = bundle.iter().map(|job| close(&self.market, job, OK)).collect();
            self.send(&closes, &self.market.gateway.insecure_clone());
        }
        let (fees, gone) = (self.market.fees - paid_before, before - self.money());
        self.rent_returned = self.rent - (gone - fees) / count as u64;
        fees as f64 / count as f64
    }

    /// Fees a session where each is published in the transaction that ends the ones before.
    fn in_a_chain(&mut self, claim_rides: bool) -> f64 {
        // A job is claimed one transaction later and closed another one later: from the third on all have both.
        let mut jobs = vec![self.lock(Vec::new())];
        let mut paid_before = 0;
        for at in 0..=CHAINED + 1 {
            if at == 2 {
                paid_before = self.market.fees;
            }
            let mut ends = Vec::new();
            let claim = final_claim(&jobs[at], self.vouched);
            match claim_rides {
                true => ends.push(claim),
                false => self.send(&[claim], &self.market.operator.insecure_clone()),
            }
            if let Some(older) = at.checked_sub(1) {
                ends.push(close(&self.market, &jobs[older], OK));
            }
            let job = self.lock(ends);
            jobs.push(job);
            self.market.warp(CLOSE_SLOTS, 1);
        }
        (self.market.fees - paid_before) as f64 / CHAINED as f64
    }

    /// Publishes and locks, behind `ends` of older jobs.
    fn lock(&mut self, ends: Vec<Instruction>) -> TestJob {
        let (job, [publish, lock]) = publish_and_lock(&mut self.market);
        let instructions = [ends, vec![publish, lock]].concat();
        let [gateway, operator] =
            [&self.market.gateway, &self.market.operator].map(Keypair::insecure_clone);
        let signed = self.market.sign(&instructions, &gateway, &[&operator]);
        self.transaction_bytes = self.transaction_bytes.max(signed.wire.len());
        self.market.land(&signed).expect("the job is locked");
        self.rent = self.market.balance(&job.address);
        job
    }

    fn send(&mut self, instructions: &[Instruction], payer: &Keypair) {
        let fees = self.market.fees;
        let signed = self.market.sign(instructions, payer, &[]);
        self.transaction_bytes = self.transaction_bytes.max(signed.wire.len());
        self.market.land(&signed).expect("the bundle is carried out");
        assert_eq!(self.market.fees - fees, FEE_PER_SIGNATURE, "one signature");
    }

    /// What client and worker have between them, on hand and in the market.
    fn money(&self) -> u64 {
        let Market { wallet, gateway, owner, operator, .. } = &self.market;
        let hands = [wallet, gateway, owner, operator].map(|key| key.pubkey());
        let all = hands.into_iter().chain([self.market.vault(), self.market.worker()]);
        all.map(|key| self.market.balance(&key)).sum()
    }
}
