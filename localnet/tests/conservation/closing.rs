//! How a settled job's account goes, and what its client says of it.

use chainference::{Feedback, Preferred, Verdict};
use chainference_chain::{PROGRAM_ID, Pubkey};

use crate::model::{Broken, Model};
use crate::rules::Outcome;
use crate::state::Status;

impl Model {
    pub fn close_job(&mut self, k: &[Pubkey], feedback: &Feedback, mut broken: Broken) -> Outcome {
        let &[closer, vault, job, authority, worker, ..] = k else { unreachable!() };
        let given = (worker != PROGRAM_ID).then_some(worker);
        let state = self.job(&job);
        let is_client = self.vault(&vault).is_client(&closer);
        broken.unless(state.vault == vault, "WrongVault");
        broken.unless(state.authority == authority, "WrongDestination");
        broken.unless(given.is_none() || given == state.worker, "WrongWorker");
        self.may_close(&job, is_client, &mut broken);
        let Feedback { verdict, speed_bps, audit_passed } = *feedback;
        if verdict != Verdict::None || speed_bps.is_some() || audit_passed.is_some() {
            broken.unless(is_client, "NotClient");
            broken.unless(state.credited > 0, "NothingPaid");
            broken.unless(given.is_some(), "WrongWorker");
        }
        broken.unless(speed_bps.is_none_or(|speed| speed <= 10_000), "BadFeedback");
        broken.done()?;
        let fee = state.fees_platform;
        if let Some(worker) = given {
            let of = &mut self.worker_mut(&worker).reputation;
            if verdict == Verdict::Flag {
                of.fees_flagged += fee;
                of.jobs_flagged += 1;
            }
            if let Some(speed_bps) = speed_bps {
                of.fees_timed += fee;
                of.fees_timed_fast += (u128::from(fee) * u128::from(speed_bps) / 10_000) as u64;
                of.jobs_timed += 1;
            }
            if let Some(passed) = audit_passed {
                of.fees_audited += fee;
                of.fees_audited_ok += if passed { fee } else { 0 };
                of.jobs_audited += 1;
                of.jobs_audited_ok += u32::from(passed);
            }
        }
        self.vault_mut(&vault).unclosed_jobs -= 1;
        self.close(&job, &authority);
        Ok(())
    }

    pub fn compare(&mut self, k: &[Pubkey], preferred: Preferred, mut broken: Broken) -> Outcome {
        let &[client, vault, first, second, first_worker, second_worker, ..] = k else {
            unreachable!()
        };
        let both = [(first, first_worker, k[6]), (second, second_worker, k[7])];
        broken.unless(self.vault(&vault).is_client(&client), "NotClient");
        for (job, worker, authority) in both {
            let state = self.job(&job);
            broken.unless(state.vault == vault, "WrongVault");
            broken.unless(state.worker == Some(worker), "WrongWorker");
            broken.unless(state.authority == authority, "WrongDestination");
            broken.unless(state.credited > 0, "NothingPaid");
            self.may_close(&job, true, &mut broken);
        }
        let (a, b) = (self.job(&first), self.job(&second));
        broken.unless(a.worker != b.worker && a.model_hash == b.model_hash, "NotComparable");
        let weight = a.fees_platform.min(b.fees_platform);
        broken.done()?;
        for (worker, place) in
            [(first_worker, Preferred::First), (second_worker, Preferred::Second)]
        {
            let of = &mut self.worker_mut(&worker).reputation;
            of.fees_compared += weight;
            of.jobs_compared += 1;
            of.fees_preferred += if place == preferred { weight } else { 0 };
            of.jobs_preferred += u32::from(place == preferred);
        }
        self.vault_mut(&vault).unclosed_jobs -= 2;
        for (job, _, authority) in both {
            self.close(&job, &authority);
        }
        Ok(())
    }

    fn may_close(&self, job: &Pubkey, by_client: bool, broken: &mut Broken) {
        let state = self.job(job);
        broken.unless(state.status == Status::Settled, "WrongStatus");
        let is_safe = self.slot > state.open_slot + 1_500;
        let is_old = self.now_unix_s >= state.settled_unix_s + 3_600;
        broken.unless(is_safe && (by_client || is_old), "TooEarlyToClose");
    }
}
