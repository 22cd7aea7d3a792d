//! Who offers a model, and who of them is meant. Pure.

use chainference_chain::{
    Abilities, Pubkey,
    accounts::{Offer, Worker},
};
use chainference_market::{Prices, Reputation};

use super::{
    name::{self, Match},
    standing,
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
    pub gguf_sha256: [u8; 32],
    pub tokenizer_sha256: [u8; 32],
    pub live_jobs: u32,
    /// What the chain says of the worker, in one figure: see [`reputation_bps`].
    pub reputation_bps: u16,
}

/// What reputations are read with.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub now_unix_s: i64,
    /// Of the market's configuration.
    pub reputation_prior: u64,
    /// Of the market's configuration.
    pub heartbeat_s: u32,
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
    reading: Reading,
    admission: Admission,
) -> Vec<Candidate> {
    offers
        .iter()
        .filter(|(_, offer)| offer.active())
        .filter_map(|(key, offer)| {
            let (worker_key, worker) = workers.iter().find(|(key, _)| *key == offer.worker)?;
            let endpoint = standing::endpoint(worker, reading.now_unix_s, admission).ok()?;
            Some(Candidate {
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
                gguf_sha256: offer.gguf_sha256,
                tokenizer_sha256: offer.tokenizer_sha256,
                live_jobs: worker.live_jobs,
                reputation_bps: reputation_bps(&worker.reputation.into(), reading),
            })
        })
        .collect()
}

/// Rating times success, times a half more than the preference ratio: that of an honest worker is a half, and changes
/// nothing.
pub fn reputation_bps(reputation: &Reputation, reading: Reading) -> u16 {
    let Reading { now_unix_s, reputation_prior: prior, heartbeat_s } = reading;
    let rating = u64::from(reputation.rating_bps(now_unix_s, heartbeat_s, prior));
    let success = u64::from(reputation.success_bps(prior));
    let preference = 5_000 + u64::from(reputation.preference_bps(prior));
    (rating * success * preference / 100_000_000).min(10_000) as u16
}

/// The candidates whose model `asked` may mean, and how well it names each.
pub fn named<'a>(asked: &str, candidates: &'a [Candidate]) -> Vec<(Match, &'a Candidate)> {
    let named =
        |one: &'a Candidate| Some((name::matches(asked, &one.model, &one.quantisation)?, one));
    candidates.iter().filter_map(named).collect()
}

/// Of the candidates that may be used, those that were named best.
pub fn best_named(
    mut named: Vec<(Match, &Candidate)>,
    allowed: impl Fn(&Candidate) -> bool,
) -> Vec<&Candidate> {
    named.retain(|(_, one)| allowed(one));
    let best = named.iter().map(|(quality, _)| *quality).min();
    named.into_iter().filter(|(quality, _)| Some(*quality) == best).map(|(_, one)| one).collect()
}

/// What even the ablest of them lacks; `None` where one can do all that is needed, or nobody is
/// there.
pub fn missing(candidates: &[&Candidate], needs: Abilities) -> Option<Abilities> {
    let lacks = candidates.iter().map(|one| needs.difference(one.abilities));
    lacks.min_by_key(|lack| lack.bits().count_ones()).filter(|lack| !lack.is_empty())
}

#[cfg(test)]
pub mod tests {
    use bytemuck::Zeroable;
    use chainference_chain::accounts::WorkerStatus;

    use super::*;

    const ADMISSION: Admission =
        Admission { heartbeat_age_s_max: 60, allow_private_endpoints: false };

    /// One whose other fields are what they may be.
    pub fn candidate(model: &str, quantisation: &str, price: u64, live_jobs: u32) -> Candidate {
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
            gguf_sha256: [0; 32],
            tokenizer_sha256: [0; 32],
            live_jobs,
            reputation_bps: 8_200,
        }
    }

    #[test]
    fn the_best_name_wins_among_those_that_may_be_used() {
        let all = [
            candidate("a/m", "Q4", 9, 0),
            candidate("a/m", "Q8", 5, 7),
            candidate("A/M", "Q8", 1, 0),
            candidate("b/m", "Q8", 1, 0),
        ];
        let meant = |asked: &str, forbidden: &[usize]| -> Vec<usize> {
            let at = |one: &Candidate| all.iter().position(|c| c.worker == one.worker).unwrap();
            let found = best_named(named(asked, &all), |one| !forbidden.contains(&at(one)));
            found.into_iter().map(at).collect()
        };
        assert_eq!(meant("a/m", &[]), [0, 1]);
        assert_eq!(meant("a/m", &[0, 1]), [2], "what may not be used hides nothing");
        assert_eq!(meant("a/m:q4", &[]), [0]);
        assert_eq!(meant("B/M", &[]), [3]);
        assert!(meant("c/m", &[]).is_empty());
    }

    #[test]
    fn a_reputation_is_rating_times_success_and_an_honest_preference_changes_nothing() {
        let reading = Reading { now_unix_s: 0, reputation_prior: 100, heartbeat_s: 60 };
        let beginner = Reputation::new(0);
        let rated = |reputation| reputation_bps(&reputation, reading);
        assert_eq!(rated(beginner), 8_200);
        let flagged = Reputation { fees_completed: 100, fees_flagged: 100, ..beginner };
        assert_eq!(rated(flagged), 7_700 / 2);
        let preferred = Reputation { fees_compared: 300, fees_preferred: 300, ..beginner };
        assert_eq!(rated(preferred), 10_000, "0.82 by 1.375");
        let avoided = Reputation { fees_compared: 300, ..beginner };
        assert_eq!(rated(avoided), 5_125, "0.82 by 0.625");
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
        let reading = Reading { now_unix_s: 1_000, reputation_prior: 100, heartbeat_s: 60 };
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
            let found = candidates(&workers, &offers, reading, ADMISSION);
            assert_eq!(found.len(), taken, "{heartbeat} {endpoint} {active}");
        }
    }
}
