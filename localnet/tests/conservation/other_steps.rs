//! What is done with vaults, records and offers.

use chainference_chain::accounts::{
    PostOfferArgs, RegisterWorkerArgs, SetDelegateArgs, UpdateOfferArgs, UpdateWorkerArgs,
    WorkerStatus,
};
use chainference_chain::{Instruction, Lamports, Pubkey, address, instruction};
use solana_sdk_ids::system_program;
use solana_transaction::AccountMeta;

use crate::call::{Call, Verb};
use crate::cast::{MODELS, Pair};
use crate::model::Model;
use crate::state::{State, Worker};
use crate::steps::Steps;

pub type Calls = Option<Vec<Call>>;

pub fn one(verb: Verb, instruction: Instruction) -> Calls {
    Some(vec![Call::new(verb, instruction)])
}

impl Steps<'_> {
    /// A client, mostly one with a vault.
    fn a_client(&mut self, model: &Model) -> (usize, Pair) {
        self.pair(&self.cast.clients, |client| model.exists(&client.account))
    }

    /// A worker, mostly one with a record.
    fn a_worker(&mut self, model: &Model) -> (usize, Pair) {
        self.pair(&self.cast.workers, |worker| model.exists(&worker.account))
    }

    /// A worker, mostly one whose record is like this.
    fn a_worker_that(&mut self, model: &Model, fits: impl Fn(&Worker) -> bool) -> (usize, Pair) {
        let fits =
            |key: &Pubkey| matches!(model.state(key), Some(State::Worker(state)) if fits(state));
        self.pair(&self.cast.workers, |worker| fits(&worker.account))
    }

    /// Vaults, workers and offers, as a rule: what each sequence begins with.
    pub fn open_the_market(&mut self) {
        for client in self.cast.clients {
            let owner = client.cold;
            let delegate =
                SetDelegateArgs { delegate: Some(client.hot), limit: 50_000_000, period_s: 900 };
            let calls = [
                one(Verb::OpenVault, instruction::open_vault(&owner)),
                one(
                    Verb::Deposit(90_000_000),
                    instruction::deposit(&owner, &client.account, Lamports(90_000_000)),
                ),
                one(
                    Verb::SetDelegate(delegate.clone()),
                    instruction::set_delegate(&owner, delegate),
                ),
            ];
            self.queue.extend(calls.into_iter().flatten());
        }
        for (i, worker) in self.cast.workers.into_iter().enumerate() {
            let register = self.registration(&worker, 100_000_000);
            self.queue.push_back(vec![register]);
            for model in 0..MODELS.len() {
                let offer = self.offer_call(&worker.cold, i, model);
                self.queue.push_back(vec![offer]);
            }
        }
    }

    pub fn transfer(&self, from: &Pubkey, to: &Pubkey, lamports: u64) -> Call {
        let mut data = vec![2, 0, 0, 0];
        data.extend(lamports.to_le_bytes());
        let accounts = vec![AccountMeta::new(*from, true), AccountMeta::new(*to, false)];
        Call::new(
            Verb::Transfer(lamports),
            Instruction { program_id: system_program::ID, accounts, data },
        )
    }

    /// A plain transfer to an account of the market, to a person, or to an address that holds nothing yet.
    pub fn donate(&mut self, model: &Model) -> Calls {
        let mut to = self.cast.addresses();
        to.extend([address::config(), address::treasury(), self.person()]);
        to.extend(model.jobs().map(|(key, _)| *key).take(20));
        let (from, to) = (self.person(), self.rng.pick(&to));
        let amount =
            if self.rng.percent(50) { self.rng.amount(5_000) } else { self.rng.amount(4_000_000) };
        Some(vec![self.transfer(&from, &to, amount)])
    }

    pub fn deposit(&mut self, model: &Model) -> Calls {
        let ((_, client), payer) = (self.a_client(model), self.person());
        let lamports = self.rng.amount(30_000_000);
        one(
            Verb::Deposit(lamports),
            instruction::deposit(&payer, &client.account, Lamports(lamports)),
        )
    }

    pub fn withdraw(&mut self, model: &Model) -> Calls {
        let (_, client) = self.a_client(model);
        let is_open = model.exists(&client.account);
        let free = if is_open { model.free(&client.account) } else { 1_000 };
        let part = self.rng.pick(&[1, 4, 4, 4]);
        let lamports = self.rng.amount(free / part);
        one(Verb::Withdraw(lamports), instruction::withdraw(&client.cold, Lamports(lamports)))
    }

    pub fn open_vault(&mut self, model: &Model) -> Calls {
        let (_, client) = self.pair(&self.cast.clients, |client| !model.exists(&client.account));
        if model.exists(&client.account) && self.rng.percent(80) {
            return None;
        }
        one(Verb::OpenVault, instruction::open_vault(&client.cold))
    }

    pub fn close_vault(&mut self, model: &Model) -> Calls {
        let (_, client) = self.a_client(model);
        let has_jobs = model.jobs().any(|(_, job)| job.vault == client.account);
        if has_jobs && self.rng.percent(70) {
            return None;
        }
        one(Verb::CloseVault, instruction::close_vault(&client.cold))
    }

    pub fn set_delegate(&mut self, model: &Model) -> Calls {
        let (i, client) = self.a_client(model);
        // The last client would have its own worker for a delegate, and so pay itself.
        let own = self.cast.workers[i];
        let others =
            [Some(own.hot), Some(own.cold), Some(client.cold), Some(Pubkey::default()), None];
        let delegate = if self.rng.percent(75) { Some(client.hot) } else { self.rng.pick(&others) };
        let limit = if self.rng.percent(70) { u64::MAX } else { self.rng.amount(10_000_000) };
        let period_s = self.rng.pick(&[0, 60, 900, 86_400, u32::MAX]);
        let args = SetDelegateArgs { delegate, limit, period_s };
        one(Verb::SetDelegate(args.clone()), instruction::set_delegate(&client.cold, args))
    }

    fn registration(&mut self, worker: &Pair, bond: u64) -> Call {
        let endpoint = if self.rng.percent(97) { "http://127.0.0.1:7071" } else { "http://a b" };
        let args = RegisterWorkerArgs {
            operator: worker.hot,
            x25519: [9; 32],
            endpoint: endpoint.into(),
            bond,
        };
        let instruction = instruction::register_worker(&worker.cold, args.clone());
        Call::new(Verb::RegisterWorker(args), instruction)
    }

    pub fn register_worker(&mut self, model: &Model) -> Calls {
        let (_, worker) = self.pair(&self.cast.workers, |worker| !model.exists(&worker.account));
        if model.exists(&worker.account) && self.rng.percent(80) {
            return None;
        }
        let bond_min = model.config(&address::config()).bond_min;
        let bond = if self.rng.percent(70) { bond_min } else { self.rng.amount(bond_min) };
        Some(vec![self.registration(&worker, bond)])
    }

    pub fn update_worker(&mut self, model: &Model) -> Calls {
        let (i, worker) = self.a_worker(model);
        let is_retiring = matches!(model.state(&worker.account),
            Some(State::Worker(state)) if state.is_retiring);
        // The last worker would be its own client's gateway, and so be paid by itself.
        let client = self.cast.clients[i];
        let others = [client.hot, client.cold, worker.cold, self.cast.attacker];
        let operator = match self.rng.below(10) {
            0..=5 => None,
            6..=7 => Some(worker.hot),
            _ => Some(self.rng.pick(&others)),
        };
        let status = match (self.rng.below(10), is_retiring) {
            (0..=3, true) | (0, false) => Some(WorkerStatus::Active),
            (1..=3, false) | (4, true) => Some(WorkerStatus::Retiring),
            _ => None,
        };
        let endpoint =
            self.rng.percent(20).then(|| self.rng.pick(&["https://x.test", "ftp://x", ""]).into());
        let args = UpdateWorkerArgs { operator, x25519: None, endpoint, status };
        one(Verb::UpdateWorker(args.clone()), instruction::update_worker(&worker.cold, args))
    }

    pub fn retire_worker(&mut self, model: &Model) -> Calls {
        let (_, worker) = self.a_worker_that(model, |worker| worker.is_retiring);
        let is_retiring =
            matches!(model.state(&worker.account), Some(State::Worker(state)) if state.is_retiring);
        if !is_retiring && self.rng.percent(80) {
            return None;
        }
        one(Verb::RetireWorker, instruction::retire_worker(&worker.cold))
    }

    pub fn heartbeat(&mut self, model: &Model) -> Calls {
        let (_, worker) = self.a_worker(model);
        let operator = self.operator(model, &worker.account);
        one(Verb::Heartbeat, instruction::heartbeat(&operator, &worker.account))
    }

    fn offer_call(&mut self, agent: &Pubkey, worker: usize, model: usize) -> Call {
        let (name, quantisation) = MODELS[model];
        let revision = if self.rng.percent(96) { "main" } else { "" };
        let args = PostOfferArgs {
            model: name.into(),
            revision: revision.into(),
            quantisation: quantisation.into(),
            gguf_sha256: [1; 32],
            tokenizer_sha256: [2; 32],
            price_in_per_mtok: self.price(),
            price_out_per_mtok: self.price(),
            charge_min: if self.rng.percent(80) {
                self.rng.below(3_000)
            } else {
                self.rng.amount(2_000_000)
            },
            context_tokens: 2_048,
            abilities: 0,
        };
        let record = self.cast.workers[worker].account;
        let instruction = instruction::post_offer(agent, &record, args.clone());
        Call::new(Verb::PostOffer(args), instruction)
    }

    fn price(&mut self) -> u64 {
        let usual = [0, 1, 7, 600_000, 999_999, 1_000_000, 1_000_001, 1_234_567, 50_000_000];
        if self.rng.percent(95) {
            self.rng.pick(&usual)
        } else {
            self.rng.next() >> self.rng.below(64)
        }
    }

    /// The record's owner or operator.
    fn agent(&mut self, model: &Model, worker: &Pair) -> Pubkey {
        if self.rng.percent(50) {
            self.operator(model, &worker.account)
        } else {
            self.mostly(worker.cold)
        }
    }

    pub fn post_offer(&mut self, model: &Model) -> Calls {
        let (i, worker) = self.a_worker(model);
        let m = self.rng.below(MODELS.len() as u64) as usize;
        let exists = model.exists(&self.cast.offers[i][m]);
        if exists && self.rng.percent(80) {
            return None;
        }
        let agent = self.agent(model, &worker);
        Some(vec![self.offer_call(&agent, i, m)])
    }

    pub fn update_offer(&mut self, model: &Model) -> Calls {
        let (i, worker) = self.a_worker(model);
        let offer = self.rng.pick(&self.cast.offers[i]);
        let agent = self.agent(model, &worker);
        let args = UpdateOfferArgs {
            price_in_per_mtok: self.rng.percent(50).then(|| self.price()),
            price_out_per_mtok: self.rng.percent(50).then(|| self.price()),
            charge_min: self.rng.percent(30).then(|| self.rng.below(5_000)),
            active: self.rng.percent(40).then(|| self.rng.percent(80)),
        };
        let instruction = instruction::update_offer(&agent, &worker.account, &offer, args.clone());
        one(Verb::UpdateOffer(args), instruction)
    }

    pub fn retract_offer(&mut self, model: &Model) -> Calls {
        let (i, worker) = self.a_worker(model);
        let offer = self.rng.pick(&self.cast.offers[i]);
        let payer = match model.state(&offer) {
            Some(State::Offer(state)) => self.mostly(state.payer),
            _ if self.rng.percent(80) => return None,
            _ => worker.cold,
        };
        one(Verb::RetractOffer, instruction::retract_offer(&worker.cold, &offer, &payer))
    }

    pub fn withdraw_earnings(&mut self, model: &Model) -> Calls {
        let (_, worker) = self.a_worker_that(model, |worker| worker.earnings > 0);
        one(Verb::WithdrawEarnings, instruction::withdraw_earnings(&worker.cold))
    }

    pub fn sweep_fees(&mut self, model: &Model) -> Calls {
        let (_, worker) = self.a_worker_that(model, |worker| worker.fees_platform > 0);
        one(Verb::SweepFees, instruction::sweep_fees(&worker.account))
    }
}
