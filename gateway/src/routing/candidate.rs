//! Who offers a model, and in which order to try them. Pure.

use chainference_chain::{
    Abilities, Pubkey,
    accounts::{Offer, Worker, WorkerStatus},
};
use chainference_market::Prices;

use super::{
    egress,
    name::{self, Match},
};

/// A worker's live offer of one model.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Address of the worker's record.
    pub worker: Pubkey,
    pub operator: Pubkey,
    pub offer: Pubkey,
    pub endpoint: String,
    /// Calls are sealed to this key.
    pub x25519: [u8; 32],
    pub model: String,
    pub quantisation: String,
    pub prices: Prices,
    pub context_tokens: u32,
    pub abilities: Abilities,
    pub live_jobs: u32,
}

/// Whom a directory takes in.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// A worker whose last heartbeat is older, in seconds, is held for dead.
    pub heartbeat_age_s_max: i64,
    pub allow_private_endpoints: bool,
}

/// Joins offers with their workers; keeps the active offers of live workers.
pub fn candidates(
    workers: &[(Pubkey, Worker)],
    offers: &[(Pubkey, Offer)],
    now_unix_s: i64,
    admission: Admission,
) -> Vec<Candidate> {
    offers
        .iter()
        .filter(|(_, offer)| offer.active())
        .filter_map(|(key, offer)| {
            let (worker_key, worker) = workers.iter().find(|(key, _)| *key == offer.worker)?;
            let age_s = now_unix_s.saturating_sub(worker.last_heartbeat_unix_s);
            let live =
                worker.status() == WorkerStatus::Active && age_s <= admission.heartbeat_age_s_max;
            let endpoint =
                egress::check(worker.endpoint(), admission.allow_private_endpoints).ok()?;
            live.then(|| Candidate {
                worker: *worker_key,
                operator: worker.operator,
                offer: *key,
                endpoint,
                x25519: worker.x25519,
                model: offer.model().to_owned(),
                quantisation: offer.quantisation().to_owned(),
                prices: offer.prices(),
                context_tokens: offer.context_tokens,
                abilities: Abilities::of(offer),
                live_jobs: worker.live_jobs,
            })
        })
        .collect()
}

/// The candidates whose model `asked` may mean, and how well it names each.
pub fn named<'a>(asked: &str, candidates: &'a [Candidate]) -> Vec<(Match, &'a Candidate)> {
    let named =
        |one: &'a Candidate| Some((name::matches(asked, &one.model, &one.quantisation)?, one));
    candidates.iter().filter_map(named).collect()
}

/// Of the candidates that may be used, those that were named best: healthy ones first, then by
/// price, then by how little they are used.
pub fn ranked(
    mut named: Vec<(Match, &Candidate)>,
    allowed: impl Fn(&Candidate) -> bool,
    failures: impl Fn(&Candidate) -> u32,
) -> Vec<&Candidate> {
    named.retain(|(_, one)| allowed(one));
    let best = named.iter().map(|(quality, _)| *quality).min();
    let mut found: Vec<&Candidate> = named
        .into_iter()
        .filter(|(quality, _)| Some(*quality) == best)
        .map(|(_, one)| one)
        .collect();
    found.sort_by_key(|one| {
        let price = u128::from(one.prices.input_per_mtok) + u128::from(one.prices.output_per_mtok);
        (failures(one), price, one.live_jobs)
    });
    found
}

/// What even the ablest of them lacks; `None` where one can do all that is needed, or nobody is
/// there.
pub fn missing(candidates: &[&Candidate], needs: Abilities) -> Option<Abilities> {
    let lacks = candidates.iter().map(|one| needs.difference(one.abilities));
    lacks.min_by_key(|lack| lack.bits().count_ones()).filter(|lack| !lack.is_empty())
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    const ADMISSION: Admission =
        Admission { heartbeat_age_s_max: 60, allow_private_endpoints: false };

    fn candidate(model: &str, quantisation: &str, price: u64, live_jobs: u32) -> Candidate {
        Candidate {
            worker: Pubkey::new_unique(),
            operator: Pubkey::new_unique(),
            offer: Pubkey::new_unique(),
            endpoint: "http://1.1.1.1".into(),
            x25519: [0; 32],
            model: model.into(),
            quantisation: quantisation.into(),
            prices: Prices { input_per_mtok: price, output_per_mtok: price, charge_min: 0 },
            context_tokens: 2_048,
            abilities: Abilities::CHAT,
            live_jobs,
        }
    }

    #[test]
    fn the_best_name_wins_then_health_then_price_then_idleness() {
        let all = [
            candidate("a/m", "Q4", 9, 0),
            candidate("a/m", "Q8", 5, 7),
            candidate("a/m", "Q8", 5, 2),
            candidate("A/M", "Q8", 1, 0),
            candidate("b/m", "Q8", 1, 0),
        ];
        let order = |asked: &str, failing: usize| -> Vec<usize> {
            let failures = |one: &Candidate| u32::from(one.worker == all[failing].worker);
            let at = |one: &Candidate| all.iter().position(|c| c.worker == one.worker).unwrap();
            ranked(named(asked, &all), |_| true, failures).into_iter().map(at).collect()
        };
        assert_eq!(order("a/m", 3), [2, 1, 0]);
        assert_eq!(order("a/m", 2), [1, 0, 2]);
        assert_eq!(order("a/m:q4", 2), [0]);
        assert_eq!(order("B/M", 0), [4]);
        assert!(order("c/m", 0).is_empty());
    }

    #[test]
    fn what_nobody_can_do_is_missing() {
        let chat = candidate("a/m", "Q4", 1, 0);
        let tools = Abilities::CHAT | Abilities::TOOLS;
        let able = Candidate { abilities: tools, ..chat.clone() };
        assert_eq!(missing(&[&chat], tools), Some(Abilities::TOOLS));
        assert_eq!(missing(&[&chat, &able], tools), None);
        assert_eq!(missing(&[&chat, &able], tools | Abilities::INFILL), Some(Abilities::INFILL));
        assert_eq!(missing(&[], tools), None);
    }

    fn worker(heartbeat_unix_s: i64, endpoint: &str, status: WorkerStatus) -> Worker {
        let mut worker = Worker { x25519: [1; 32], ..Worker::zeroed() };
        worker.status = status as u8;
        worker.last_heartbeat_unix_s = heartbeat_unix_s;
        worker.endpoint[..endpoint.len()].copy_from_slice(endpoint.as_bytes());
        worker
    }

    fn offer(worker: Pubkey, active: bool) -> Offer {
        let mut offer = Offer { worker, active: active.into(), ..Offer::zeroed() };
        offer.model[..3].copy_from_slice(b"a/m");
        offer.quantisation[..2].copy_from_slice(b"Q4");
        offer
    }

    #[test]
    fn only_active_offers_of_live_reachable_workers_are_taken_in() {
        let key = Pubkey::new_unique();
        let public = "http://1.1.1.1:7071";
        for (heartbeat, endpoint, status, active, taken) in [
            (940, public, WorkerStatus::Active, true, 1),
            (939, public, WorkerStatus::Active, true, 0),
            (990, public, WorkerStatus::Retiring, true, 0),
            (990, public, WorkerStatus::Active, false, 0),
            (990, "http://127.0.0.1:7071", WorkerStatus::Active, true, 0),
            (990, "nonsense", WorkerStatus::Active, true, 0),
        ] {
            let workers = [(key, worker(heartbeat, endpoint, status))];
            let offers = [
                (Pubkey::new_unique(), offer(key, active)),
                (key, offer(Pubkey::new_unique(), true)),
            ];
            let found = candidates(&workers, &offers, 1_000, ADMISSION);
            assert_eq!(found.len(), taken, "{heartbeat} {endpoint} {active}");
        }
    }
}
