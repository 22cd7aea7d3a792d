//! Jobs: between the first client and the first worker unless said otherwise.

use chainference_chain::accounts::*;
use chainference_chain::instruction::{self, ClaimRequest};
use chainference_chain::{
    Instruction, JobTerms, Keypair, Pubkey, Quote, Signature, Signer, Totals,
};
use chainference_market::Voucher;

use super::keys::{Client, Provider, session_key};
use super::*;

/// A client that liked an answer, and one that did not.
pub const OK: Feedback = Feedback { verdict: Verdict::Ok, ..Feedback::NONE };
pub const FLAG: Feedback = Feedback { verdict: Verdict::Flag, ..Feedback::NONE };

/// A job and the key for its vouchers.
pub struct TestJob {
    pub address: Pubkey,
    pub session: Keypair,
    pub terms: JobTerms,
}

impl Market {
    /// Terms of a new job.
    pub fn terms(&mut self) -> (JobTerms, Keypair) {
        let (client, provider) = (self.client(), self.provider());
        self.terms_between(&client, &provider)
    }

    pub fn terms_between(&mut self, client: &Client, provider: &Provider) -> (JobTerms, Keypair) {
        let clock = self.clock();
        let session = session_key(&mut self.sessions, &client.vault(), clock.slot);
        let terms = JobTerms {
            vault: client.vault(),
            authority: client.gateway.pubkey(),
            worker: provider.worker(),
            operator: provider.operator.pubkey(),
            offer: provider.offer(),
            model_hash: model_hash(MODEL.0, MODEL.1),
            session_key: session.pubkey(),
            open_slot: clock.slot,
            stake: STAKE,
            max_price_in_per_mtok: PRICE_IN,
            max_price_out_per_mtok: PRICE_OUT,
            max_charge_min: CHARGE_MIN,
            serve_until_unix_s: clock.unix_timestamp + SERVE_S,
            blockhash: self.blockhash().hash,
            last_valid_block_height: u64::MAX,
        };
        (terms, session)
    }

    /// Published and locked in one transaction, which both sides signed.
    #[track_caller]
    pub fn locked_job(&mut self) -> TestJob {
        let (client, provider) = (self.client(), self.provider());
        self.locked_job_between(&client, &provider)
    }

    #[track_caller]
    pub fn locked_job_between(&mut self, client: &Client, provider: &Provider) -> TestJob {
        let (terms, session) = self.terms_between(client, provider);
        self.lock_between(&terms, client, provider).unwrap();
        TestJob { address: terms.job(), session, terms }
    }

    #[track_caller]
    pub fn lock_on(&mut self, terms: &JobTerms) -> Result<(), Refusal> {
        let (client, provider) = (self.client(), self.provider());
        self.lock_between(terms, &client, &provider)
    }

    #[track_caller]
    pub fn lock_between(
        &mut self,
        terms: &JobTerms,
        client: &Client,
        provider: &Provider,
    ) -> Result<(), Refusal> {
        let signature = terms.sign_as_worker(&provider.operator);
        let quote = Quote { signature, expires_unix_s: 0 };
        let signed = terms.complete(&quote, &client.gateway).unwrap();
        self.land(&signed)
    }

    /// Published, and open to any worker.
    #[track_caller]
    pub fn open_job(&mut self) -> TestJob {
        let (terms, session) = self.terms();
        let gateway = self.gateway.insecure_clone();
        let publish = instruction::publish(&terms.authority, &terms.vault, publish_args(&terms));
        self.send(&[publish], &gateway, &[]).unwrap();
        TestJob { address: terms.job(), session, terms }
    }

    /// Locked, and settled by a final claim of a voucher for 10,000 input tokens: 6,000 lamports.
    #[track_caller]
    pub fn paid_job(&mut self) -> TestJob {
        let job = self.locked_job();
        self.claim(&job, PAID, true).unwrap();
        job
    }

    /// Over the slot window in which its address is held, and the hour after which anyone may close it.
    pub fn warp_past_closing(&mut self) {
        self.warp(CLOSE_SLOTS, CLOSE_BY_ANYONE_S);
    }

    pub fn lock_instruction(&self, job: &TestJob) -> Instruction {
        let terms = &job.terms;
        instruction::lock(&terms.operator, &terms.worker, &terms.offer, &terms.vault, &job.address)
    }

    /// The claim of a voucher that the job's own session key signed, by the job's own worker.
    #[track_caller]
    pub fn claim(&mut self, job: &TestJob, totals: Totals, is_final: bool) -> Result<(), Refusal> {
        let operator = match job.terms.operator == self.operator.pubkey() {
            true => self.operator.insecure_clone(),
            false => self.second_provider().operator,
        };
        let claim = instruction::claim(&job.claim(Some(totals), is_final));
        self.send(&[claim], &operator, &[])
    }

    pub fn close_instruction(
        &self,
        job: &TestJob,
        closer: &Pubkey,
        feedback: Feedback,
    ) -> Instruction {
        let feedback = feedback.is_some().then_some((job.terms.worker, feedback));
        instruction::close(&instruction::CloseRequest {
            closer: *closer,
            vault: job.terms.vault,
            job: job.address,
            authority: job.terms.authority,
            feedback,
        })
    }

    pub fn load_job(&self, job: &TestJob) -> Job {
        self.load(&job.address)
    }
}

impl TestJob {
    /// A claim signed as it should be.
    pub fn claim(&self, totals: Option<Totals>, is_final: bool) -> ClaimRequest {
        let terms = &self.terms;
        ClaimRequest {
            operator: terms.operator,
            worker: terms.worker,
            vault: terms.vault,
            job: self.address,
            voucher: totals.map(|totals| (totals, self.vouch(totals))),
            is_final,
        }
    }

    pub fn vouch(&self, totals: Totals) -> Signature {
        let voucher = Voucher { job: self.address.to_bytes(), totals };
        self.session.sign_message(&voucher.to_bytes())
    }
}

/// What publishes these terms to any worker.
pub fn publish_args(terms: &JobTerms) -> PublishArgs {
    PublishArgs {
        session_key: terms.session_key,
        open_slot: terms.open_slot,
        model_hash: terms.model_hash,
        stake: terms.stake,
        max_price_in_per_mtok: terms.max_price_in_per_mtok,
        max_price_out_per_mtok: terms.max_price_out_per_mtok,
        max_charge_min: terms.max_charge_min,
        serve_until_unix_s: terms.serve_until_unix_s,
        filters: Filters::default(),
        allowed: Vec::new(),
    }
}
