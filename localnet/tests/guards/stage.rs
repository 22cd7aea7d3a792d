//! A market with one job in a given state, and the instruction of each cell.

use chainference_chain::accounts::Preferred;
use chainference_chain::instruction::{self, ClaimRequest, CloseRequest, Compared};
use chainference_chain::{Instruction, Keypair, Lamports, Signer};

use super::common::*;
use super::jobs_table::{By, State, Verb};

/// Lamports.
pub const TOP_UP: u64 = 1_000;

pub struct Stage {
    pub market: Market,
    pub job: TestJob,
    state: State,
    /// A job of the same client with the other worker, paid, that may be closed at each of the moments.
    companion: TestJob,
    old_delegate: Keypair,
}

impl Stage {
    pub fn new(state: State) -> Self {
        let mut market = Market::new();
        let [wallet, gateway] = [&market.wallet, &market.gateway].map(Keypair::insecure_clone);
        let old_delegate = key("old gateway");
        market.mint(&old_delegate.pubkey(), SOL);
        for delegate in [&old_delegate, &gateway] {
            let args = delegation(Some(delegate.pubkey()));
            let set = instruction::set_delegate(&wallet.pubkey(), args);
            market.send(&[set], &wallet, &[]).unwrap();
        }
        market.set_clock(START_SLOT - 10, START_UNIX_S);
        let (client, provider) = (market.client(), market.second_provider());
        let companion = market.locked_job_between(&client, &provider);
        market.claim(&companion, PAID, true).unwrap();
        market.set_clock(START_SLOT, START_UNIX_S);
        let job = job_in(&mut market, state);
        Self { market, job, state, companion, old_delegate }
    }

    pub fn instruction(&self, verb: Verb, by: By) -> (Instruction, Keypair) {
        let signer = self.signer(verb, by);
        let key = signer.pubkey();
        let market = &self.market;
        let vault = match by {
            By::OtherVault => market.other_client.vault(),
            _ => self.job.terms.vault,
        };
        let provider = match by {
            By::OtherWorker => market.second_provider(),
            _ => market.provider(),
        };
        let (job, worker) = (self.job.address, provider.worker());
        let claim = |voucher, is_final| {
            let request = self.job.claim(voucher, is_final);
            instruction::claim(&ClaimRequest { operator: key, worker, vault, ..request })
        };
        let authority = self.job.terms.authority;
        let close = |feedback| {
            instruction::close(&CloseRequest { closer: key, vault, job, authority, feedback })
        };
        let compared = Compared { job, worker, authority };
        let companion = Compared {
            job: self.companion.address,
            worker: self.companion.terms.worker,
            authority: self.companion.terms.authority,
        };
        let compare = |jobs| instruction::compare(&key, &vault, jobs, Preferred::First);
        let instruction = match verb {
            Verb::Lock => instruction::lock(&key, &worker, &provider.offer(), &vault, &job),
            Verb::Claim => claim(Some(PAID), false),
            Verb::FinalClaim => claim(Some(PAID), true),
            Verb::LetGo => claim(None, true),
            Verb::Finish => instruction::finish(&key, &vault, &job),
            Verb::Cancel => instruction::cancel(&key, &vault, &job),
            Verb::Expire => {
                instruction::expire(&vault, &job, self.state.was_locked().then_some(worker))
            }
            Verb::TopUp => instruction::top_up(&key, &vault, &job, Lamports(TOP_UP)),
            Verb::Close => close(None),
            Verb::Flag => close(Some((worker, FLAG))),
            Verb::CompareFirst => compare([compared, companion]),
            Verb::CompareSecond => compare([companion, compared]),
        };
        (instruction, signer)
    }

    fn signer(&self, verb: Verb, by: By) -> Keypair {
        let market = &self.market;
        let signer = match by {
            By::Owner => &market.wallet,
            By::Delegate => &market.gateway,
            By::OldDelegate => &self.old_delegate,
            By::Operator => &market.operator,
            By::WorkerOwner => &market.owner,
            By::OtherOperator | By::OtherWorker => &market.other_worker.operator,
            By::OtherClient => &market.other_client.wallet,
            By::Stranger => &market.stranger,
            By::OtherVault => match verb {
                Verb::Lock | Verb::Claim | Verb::FinalClaim | Verb::LetGo => &market.operator,
                _ => &market.other_client.wallet,
            },
        };
        signer.insecure_clone()
    }
}

/// A job that any worker may lock, and the first one does.
fn job_in(market: &mut Market, state: State) -> TestJob {
    let [gateway, operator] = [&market.gateway, &market.operator].map(Keypair::insecure_clone);
    if state == State::Absent {
        let (terms, session) = market.terms();
        return TestJob { address: terms.job(), session, terms };
    }
    let job = market.open_job();
    let (key, vault) = (gateway.pubkey(), job.terms.vault);
    if state.was_locked() {
        let lock = market.lock_instruction(&job);
        market.send(&[lock], &operator, &[]).unwrap();
    }
    match state {
        State::Paid | State::Gone => market.claim(&job, PAID, true).unwrap(),
        State::Unpaid => {
            market.send(&[instruction::claim(&job.claim(None, true))], &operator, &[]).unwrap();
        }
        State::Finished => {
            market.send(&[instruction::finish(&key, &vault, &job.address)], &gateway, &[]).unwrap();
        }
        State::Cancelled => {
            market.send(&[instruction::cancel(&key, &vault, &job.address)], &gateway, &[]).unwrap();
        }
        State::Absent | State::Open | State::Locked => {}
    }
    if state == State::Gone {
        market.warp_past_closing();
        let close = market.close_instruction(&job, &key, Feedback::NONE);
        market.send(&[close], &gateway, &[]).unwrap();
    }
    job
}
