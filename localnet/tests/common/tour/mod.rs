//! One legal request for each instruction of the program, in a market where it may be sent.

mod jobs;
mod records;

use chainference_chain::accounts::{PostOfferArgs, UpdateWorkerArgs, WorkerStatus};
use chainference_chain::{Instruction, Keypair, Pubkey, Signer, instruction};
use chainference_market::limits::{
    ENDPOINT_BYTES_MAX, MODEL_BYTES_MAX, QUANTISATION_BYTES_MAX, REVISION_BYTES_MAX,
};

use super::keys::{Client, Provider};
use super::*;

pub struct Step {
    pub name: &'static str,
    pub market: Market,
    pub instruction: Instruction,
    pub signer: Keypair,
}

/// A model with names as long as they get, for which the offer's address takes one try.
pub fn long_offer(worker: &Pubkey) -> PostOfferArgs {
    let model = "m".repeat(MODEL_BYTES_MAX);
    let mut quantisations = (0..).map(|number| format!("{number:0>QUANTISATION_BYTES_MAX$}"));
    let is_first = |quantisation: &String| keys::is_first_offer(worker, (&model, quantisation));
    let quantisation = quantisations.find(is_first).expect("one in two is");
    PostOfferArgs {
        revision: "r".repeat(REVISION_BYTES_MAX),
        ..offer_args((&model, &quantisation))
    }
}

/// As long as endpoints get.
pub fn long_endpoint() -> String {
    format!("{:x<ENDPOINT_BYTES_MAX$}", "https://")
}

/// Markets that steps begin in.
pub struct Tour {
    /// Far; its first worker has earned enough to be rated, in a job that is settled and may be closed by anyone.
    market: Market,
    paid: TestJob,
    /// Another worker's job of the same client, in the same state.
    paid_by_other: TestJob,
    leaving_client: Client,
    leaving_worker: Provider,
    new_client: Client,
    new_worker: Provider,
}

impl Tour {
    pub fn new() -> Self {
        let mut market = Market::with_preset(Preset::Far);
        let [leaving_client, new_client] = ["leaving client", "new client"].map(Client::new);
        let [leaving_worker, new_worker] = ["leaving worker", "new worker"].map(Provider::new);
        for wallet in [&leaving_client.wallet, &new_client.wallet] {
            market.mint(&wallet.pubkey(), 10 * SOL);
        }
        for key in [&leaving_worker.owner, &new_worker.owner, &new_worker.operator] {
            market.mint(&key.pubkey(), 10 * SOL);
        }
        market.open_vault(&leaving_client);
        market.register(&leaving_worker);
        let retiring =
            UpdateWorkerArgs { status: Some(WorkerStatus::Retiring), ..Default::default() };
        let owner = &leaving_worker.owner;
        market.send(&[instruction::update_worker(&owner.pubkey(), retiring)], owner, &[]).unwrap();
        let (client, provider) = (market.client(), market.second_provider());
        let (paid, paid_by_other) =
            (market.locked_job(), market.locked_job_between(&client, &provider));
        market.claim(&paid, totals(90_000, 0), true).unwrap(); // 54,000: 10,800 for the platform
        market.claim(&paid_by_other, PAID, true).unwrap();
        // Another client's jobs, for those who would take them for their own.
        let (client, provider) = (market.second_client(), market.provider());
        for is_final in [false, true] {
            let job = market.locked_job_between(&client, &provider);
            market.claim(&job, totals(1, 1), is_final).unwrap();
        }
        market.warp_past_closing();
        Self { market, paid, paid_by_other, leaving_client, leaving_worker, new_client, new_worker }
    }

    /// Everyone with money and a part in it.
    pub fn roles(&self) -> [Keypair; 14] {
        let market = &self.market;
        let (client, worker) = (&market.other_client, &market.other_worker);
        let keys = [
            &market.admin,
            &market.wallet,
            &market.gateway,
            &market.owner,
            &market.operator,
            &client.wallet,
            &client.gateway,
            &worker.owner,
            &worker.operator,
            &self.leaving_client.wallet,
            &self.leaving_worker.owner,
            &self.new_client.wallet,
            &self.new_worker.owner,
            &market.stranger,
        ];
        keys.map(Keypair::insecure_clone)
    }

    /// All of it.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = self.config_steps();
        steps.extend(self.worker_steps());
        steps.extend(self.fee_steps());
        steps.extend(self.vault_steps());
        steps.extend(self.opening_steps());
        steps.extend(self.claim_steps());
        steps.extend(self.ending_steps());
        steps
    }

    fn step(&self, name: &'static str, signer: &Keypair, instruction: Instruction) -> Step {
        Step { name, market: self.market.fork(), instruction, signer: signer.insecure_clone() }
    }
}
