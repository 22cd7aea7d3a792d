//! Whether an offer is served now, and why not. Pure.

use chainference_chain::{
    Pubkey,
    accounts::{Offer, Worker, WorkerStatus},
};
use serde::Serialize;

use super::{candidate::Admission, egress};

/// How an offer, or a worker, stands in the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Calls may go there.
    Serving,
    /// The offer takes no new jobs.
    Resting,
    /// The worker leaves the market.
    Leaving,
    /// The worker's last heartbeat is too long ago.
    Silent,
    /// The worker's address is none that this gateway may call.
    Unreachable,
}

/// The endpoint of a worker that calls may go to.
pub fn endpoint(
    worker: &Worker,
    now_unix_s: i64,
    admission: Admission,
) -> Result<String, Standing> {
    let age_s = now_unix_s.saturating_sub(worker.last_heartbeat_unix_s);
    if worker.status() != WorkerStatus::Active {
        return Err(Standing::Leaving);
    }
    if age_s > admission.heartbeat_age_s_max {
        return Err(Standing::Silent);
    }
    egress::check(worker.endpoint(), admission.allow_private_endpoints)
        .map_err(|_| Standing::Unreachable)
}

pub fn of_worker(worker: &Worker, now_unix_s: i64, admission: Admission) -> Standing {
    endpoint(worker, now_unix_s, admission).err().unwrap_or(Standing::Serving)
}

/// `workers` are all there are: who posted an offer may be gone.
pub fn of_offer(
    offer: &Offer,
    workers: &[(Pubkey, Worker)],
    now_unix_s: i64,
    admission: Admission,
) -> Standing {
    match workers.iter().find(|(key, _)| *key == offer.worker) {
        Some((_, worker)) => match of_worker(worker, now_unix_s, admission) {
            Standing::Serving if !offer.active() => Standing::Resting,
            standing => standing,
        },
        None => Standing::Leaving,
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    #[test]
    fn an_offer_stands_as_its_worker_does_unless_it_rests() {
        let admission = Admission { heartbeat_age_s_max: 60, allow_private_endpoints: false };
        let key = Pubkey::new_unique();
        let public = "http://1.1.1.1:7071";
        for (heartbeat, endpoint, status, active, expected) in [
            (940, public, WorkerStatus::Active, true, Standing::Serving),
            (940, public, WorkerStatus::Active, false, Standing::Resting),
            (939, public, WorkerStatus::Active, false, Standing::Silent),
            (990, public, WorkerStatus::Retiring, true, Standing::Leaving),
            (990, "http://127.0.0.1:7071", WorkerStatus::Active, true, Standing::Unreachable),
        ] {
            let mut worker = Worker::zeroed();
            worker.status = status as u8;
            worker.last_heartbeat_unix_s = heartbeat;
            worker.endpoint[..endpoint.len()].copy_from_slice(endpoint.as_bytes());
            let offer = Offer { worker: key, active: active.into(), ..Offer::zeroed() };
            let workers = [(key, worker)];
            assert_eq!(of_offer(&offer, &workers, 1_000, admission), expected, "{endpoint}");
            assert_eq!(of_offer(&offer, &[], 1_000, admission), Standing::Leaving);
        }
    }
}
