//! What must hold between accounts, whatever happened. The model equals the chain, account by account; so this holds
//! of both or of neither.

use crate::model::Model;
use crate::state::{State, Status};

impl Model {
    pub fn check_invariants(&self) {
        for (key, account) in &self.accounts {
            let owed: u64 = match &account.state {
                State::Vault(vault) => {
                    let jobs = || self.jobs().filter(|(_, job)| job.vault == *key);
                    let live = jobs().filter(|(_, job)| job.status != Status::Settled);
                    let promised: u64 = live.map(|(_, job)| job.stake - job.credited).sum();
                    assert_eq!(
                        vault.reserved, promised,
                        "what is reserved for the live jobs of {key}"
                    );
                    assert_eq!(vault.unclosed_jobs as usize, jobs().count(), "jobs of {key}");
                    vault.rent + vault.reserved
                }
                State::Worker(worker) => {
                    let of_worker = self.jobs().filter(|(_, job)| job.worker == Some(*key));
                    let locked = of_worker.filter(|(_, job)| job.status == Status::Locked);
                    assert_eq!(worker.live_jobs as usize, locked.count(), "live jobs of {key}");
                    worker.rent
                        + worker.bond
                        + worker.earnings
                        + worker.fees_platform
                        + worker.fees_stakers
                }
                State::Treasury(treasury) => treasury.rent + treasury.platform + treasury.stakers,
                State::Job(job) => {
                    assert!(job.credited <= job.stake, "{key} is credited more than its stake");
                    assert!(job.worker_bps + job.stakers_bps <= 10_000, "shares of {key}");
                    0
                }
                _ => 0,
            };
            assert!(account.lamports >= owed, "{key} owes {owed}, holds {}", account.lamports);
        }
    }
}
