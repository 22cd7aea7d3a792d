//! One instruction at a time: the tour of all of them, with the tests' keys and with random ones.

use chainference_chain::{PROGRAM_ID, instruction};

use crate::common::tour::{Step, Tour};
use crate::common::{Market, PAID, Preset, keys, totals};

const RUNS: u32 = 15;

pub struct Cost {
    pub name: &'static str,
    /// With keys for which each derived address takes one try.
    pub compute_units: u64,
    /// With random keys: each further try for an address that the instruction looks for takes 1,500 more.
    pub with_random_keys: Vec<u64>,
    pub data_bytes: usize,
    pub transaction_bytes: usize,
    /// Bytes of accounts that it makes or, with a minus, frees.
    pub account_bytes: i64,
}

impl Cost {
    pub fn verifies_a_voucher(&self) -> bool {
        matches!(self.name, "claim" | "final claim")
    }
}

pub fn measure() -> Vec<Cost> {
    let mut costs: Vec<Cost> = Tour::new().steps().into_iter().map(run).collect();
    for salt in 1..=RUNS {
        keys::set_salt(salt);
        for (cost, step) in costs.iter_mut().zip(Tour::new().steps()) {
            cost.with_random_keys.push(run(step).compute_units);
        }
    }
    keys::set_salt(0);
    costs
}

fn run(step: Step) -> Cost {
    let Step { name, mut market, instruction, signer } = step;
    let bytes = |market: &Market| -> i64 {
        let accounts = market.svm.get_program_accounts(&PROGRAM_ID.to_bytes().into());
        accounts.iter().map(|(_, account)| account.data.len() as i64).sum()
    };
    let (before, data_bytes) = (bytes(&market), instruction.data.len());
    let signed = market.sign(&[instruction], &signer, &[]);
    market.land(&signed).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    market.check_conservation();
    Cost {
        name,
        compute_units: market.compute_units,
        with_random_keys: Vec::new(),
        data_bytes,
        transaction_bytes: signed.wire.len(),
        account_bytes: bytes(&market) - before,
    }
}

/// Of a claim that is refused for its voucher, less one that is refused where the voucher would be looked at.
pub fn signature_units() -> u64 {
    let mut market = Market::with_preset(Preset::Far);
    let (job, operator) = (market.locked_job(), market.operator.insecure_clone());
    let mut units = |request| {
        let refused = market.send(&[instruction::claim(&request)], &operator, &[]);
        refused.expect_err("a claim without a good voucher");
        market.compute_units
    };
    let mut forged = job.claim(Some(PAID), false);
    forged.voucher = Some((PAID, job.vouch(totals(1, 1))));
    units(forged) - units(job.claim(None, false))
}
