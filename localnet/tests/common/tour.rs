//! One legal request for each instruction of the program, in a market where it may be sent.

use chainference_chain::accounts::*;
use chainference_chain::instruction::{self, Compared};
use chainference_chain::{Instruction, Keypair, Lamports, Pubkey, Signer, address};

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
        steps.extend(self.vault_steps());
        steps.extend(self.opening_steps());
        steps.extend(self.claim_steps());
        steps.extend(self.ending_steps());
        steps
    }

    fn step(&self, name: &'static str, signer: &Keypair, instruction: Instruction) -> Step {
        Step { name, market: self.market.fork(), instruction, signer: signer.insecure_clone() }
    }

    fn config_steps(&self) -> Vec<Step> {
        let mut empty = Market::empty();
        for key in self.roles().map(|role| role.pubkey()) {
            empty.mint(&key, SOL);
        }
        let admin = &self.market.admin;
        let key = admin.pubkey();
        let args = empty.initialize_args(Preset::Far);
        let initialize = instruction::initialize(&key, args.clone());
        let successor = &self.market.stranger;
        let all = UpdateConfigArgs {
            paused: Some(false),
            preset: Some(args.preset),
            platform_payout: Some(args.platform_payout),
            stakers_payout: Some(args.stakers_payout),
            bond_min: Some(args.bond_min),
            reputation_prior: Some(args.reputation_prior),
            rated_fees_min: Some(args.rated_fees_min),
            bond_cooldown_s: Some(args.bond_cooldown_s),
            grace_s: Some(args.grace_s),
            heartbeat_s: Some(args.heartbeat_s),
            pending_admin: Some(successor.pubkey()),
        };
        let change = self.step("update_config", admin, instruction::update_config(&key, all));
        let mut accept =
            self.step("accept_admin", successor, instruction::accept_admin(&successor.pubkey()));
        accept.market.send(std::slice::from_ref(&change.instruction), admin, &[]).unwrap();
        let initialize = Step {
            name: "initialize",
            market: empty,
            instruction: initialize,
            signer: admin.insecure_clone(),
        };
        vec![initialize, change, accept]
    }

    fn worker_steps(&self) -> Vec<Step> {
        let Market { owner, operator, stranger, .. } = &self.market;
        let (key, worker, offer) = (owner.pubkey(), self.market.worker(), self.market.offer());
        let config: Config = self.market.load(&address::config());
        let newcomer = &self.new_worker;
        let registration = RegisterWorkerArgs {
            endpoint: long_endpoint(),
            ..registration(&newcomer.operator.pubkey(), BOND)
        };
        let change = UpdateWorkerArgs {
            operator: Some(operator.pubkey()),
            x25519: Some([8; 32]),
            endpoint: Some(long_endpoint()),
            status: Some(WorkerStatus::Retiring),
        };
        let prices = UpdateOfferArgs {
            price_in_per_mtok: Some(PRICE_IN),
            price_out_per_mtok: Some(PRICE_OUT),
            charge_min: Some(CHARGE_MIN),
            active: Some(true),
        };
        let register = instruction::register_worker(&newcomer.owner.pubkey(), registration);
        let agent = operator.pubkey();
        let leaving = &self.leaving_worker.owner;
        let withdraw = |part| instruction::withdraw_fees(part, &config);
        let mut steps = vec![
            self.step("register_worker", &newcomer.owner, register),
            self.step("update_worker", owner, instruction::update_worker(&key, change)),
            self.step("heartbeat", operator, instruction::heartbeat(&agent, &worker)),
            self.step(
                "post_offer",
                operator,
                instruction::post_offer(&agent, &worker, long_offer(&worker)),
            ),
            self.step(
                "update_offer",
                operator,
                instruction::update_offer(&agent, &worker, &offer, prices),
            ),
            self.step("retract_offer", owner, instruction::retract_offer(&key, &offer, &key)),
            self.step("withdraw_earnings", stranger, instruction::withdraw_earnings(&key)),
            self.step("sweep_fees", stranger, instruction::sweep_fees(&worker)),
            self.step("retire_worker", leaving, instruction::retire_worker(&leaving.pubkey())),
        ];
        for (name, part) in [
            ("withdraw_fees of the platform", FeePart::Platform),
            ("withdraw_fees of the stakers", FeePart::Stakers),
        ] {
            let mut step = self.step(name, stranger, withdraw(part));
            step.market.send(&[instruction::sweep_fees(&worker)], stranger, &[]).unwrap();
            steps.push(step);
        }
        steps
    }

    fn vault_steps(&self) -> Vec<Step> {
        let Market { wallet, gateway, stranger, .. } = &self.market;
        let (key, vault) = (wallet.pubkey(), self.market.vault());
        let newcomer = &self.new_client.wallet;
        let leaving = &self.leaving_client.wallet;
        let delegate = delegation(Some(gateway.pubkey()));
        let deposit = instruction::deposit(&stranger.pubkey(), &vault, Lamports(SOL));
        vec![
            self.step("open_vault", newcomer, instruction::open_vault(&newcomer.pubkey())),
            self.step("deposit", stranger, deposit),
            self.step("set_delegate", wallet, instruction::set_delegate(&key, delegate)),
            self.step("withdraw", wallet, instruction::withdraw(&key, Lamports(1))),
            self.step("close_vault", leaving, instruction::close_vault(&leaving.pubkey())),
        ]
    }

    fn opening_steps(&self) -> Vec<Step> {
        let Market { gateway, operator, .. } = &self.market;
        let mut steps = Vec::new();
        let strangers = [8; 7].map(|byte| Pubkey::new_from_array([byte; 32]));
        for (publish_name, lock_name, names) in [
            ("publish", "lock", &strangers[..0]),
            ("publish to 8 workers", "lock as the last of 8", &strangers[..]),
        ] {
            let mut market = self.market.fork();
            let (terms, session) = market.terms();
            let allowed = [names, &[terms.worker]].concat();
            let args = PublishArgs { allowed, ..publish_args(&terms) };
            let publish = instruction::publish(&terms.authority, &terms.vault, args);
            let job = TestJob { address: terms.job(), session, terms };
            let lock = self.market.lock_instruction(&job);
            steps.push(Step { market, ..self.step(publish_name, gateway, publish.clone()) });
            let mut step = self.step(lock_name, operator, lock);
            step.market.send(&[publish], gateway, &[]).unwrap();
            steps.push(step);
        }
        steps
    }

    /// A claim while the job is locked and before.
    fn claim_steps(&self) -> Vec<Step> {
        let mut market = self.market.fork();
        let job = market.locked_job();
        let claims = [
            ("claim", Some(PAID), false),
            ("final claim", Some(PAID), true),
            ("final claim without a voucher", None, true),
        ];
        let step = |(name, totals, is_final)| {
            let claim = instruction::claim(&job.claim(totals, is_final));
            Step { market: market.fork(), ..self.step(name, &market.operator, claim) }
        };
        claims.map(step).into()
    }

    fn ending_steps(&self) -> Vec<Step> {
        let Market { gateway, stranger, .. } = &self.market;
        let (key, mut market) = (gateway.pubkey(), self.market.fork());
        let (open, locked) = (market.open_job(), market.locked_job());
        let vault = self.market.vault();
        let after = i64::from(GRACE_S) + SERVE_S;
        let worker = Some(market.worker());
        let say =
            Feedback { verdict: Verdict::Flag, speed_bps: Some(9_000), audit_passed: Some(true) };
        let close = |feedback| self.market.close_instruction(&self.paid, &key, feedback);
        let compared = |job: &TestJob| Compared {
            job: job.address,
            worker: job.terms.worker,
            authority: job.terms.authority,
        };
        let pair = [compared(&self.paid), compared(&self.paid_by_other)];
        let top_up = instruction::top_up(&key, &vault, &locked.address, Lamports(1));
        let expire_open = instruction::expire(&vault, &open.address, None);
        let expire = instruction::expire(&vault, &locked.address, worker);
        let steps = [
            ("finish", gateway, instruction::finish(&key, &vault, &locked.address), 0),
            ("cancel", gateway, instruction::cancel(&key, &vault, &open.address), 0),
            ("expire while open", stranger, expire_open, after),
            ("expire while locked", stranger, expire, after),
            ("top_up", gateway, top_up, 0),
            ("close", gateway, close(Feedback::NONE), 0),
            ("close with all feedback", gateway, close(say), 0),
            ("compare", gateway, instruction::compare(&key, &vault, pair, Preferred::First), 0),
        ];
        let step = |(name, signer, instruction, seconds)| {
            let mut market = market.fork();
            market.warp(0, seconds);
            Step { market, ..self.step(name, signer, instruction) }
        };
        steps.map(step).into()
    }
}
