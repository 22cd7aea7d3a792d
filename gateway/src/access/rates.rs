//! What one key has used of its rates, and how a client is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    Refusal,
    bucket::{Bucket, Level},
};
use crate::ledger::KeyLimits;

#[derive(Debug, Default)]
pub(super) struct Rates {
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    limits: KeyLimits,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    in_progress: u64,
}

impl Rates {
    /// Holds to these limits from now on. A limit that has changed begins anew.
    pub fn limit(&self, limits: &KeyLimits, now: i64) {
        let mut used = self.used();
        let old = std::mem::replace(&mut used.limits, limits.clone());
        let bucket = |per_min: Option<u64>| per_min.map(|per_min| Bucket::new(per_min, now));
        if old.requests_per_min != limits.requests_per_min {
            used.requests = bucket(limits.requests_per_min);
        }
        if old.tokens_per_min != limits.tokens_per_min {
            used.tokens = bucket(limits.tokens_per_min);
        }
    }

    /// Too many in progress take nothing from the rate: they will be back.
    pub fn enter(rates: &Arc<Self>, now: i64) -> Result<Place, Refusal> {
        let mut used = rates.used();
        if let Some(limit) = used.limits.concurrency
            && used.in_progress >= limit
        {
            return Err(Refusal::Concurrency { limit });
        }
        let limit = used.limits.requests_per_min.unwrap_or_default();
        if let Some(bucket) = &mut used.requests {
            bucket.take(1, now).map_err(|after_ms| Refusal::Requests { limit, after_ms })?;
        }
        used.in_progress += 1;
        drop(used);
        Ok(Place(rates.clone()))
    }

    pub fn take_tokens(&self, tokens: u64, now: i64) -> Result<(), Refusal> {
        let mut used = self.used();
        let limit = used.limits.tokens_per_min.unwrap_or_default();
        let Some(bucket) = &mut used.tokens else { return Ok(()) };
        bucket.take(tokens, now).map_err(|after_ms| Refusal::Tokens { limit, tokens, after_ms })
    }

    pub fn correct_tokens(&self, taken: u64, needed: u64, now: i64) {
        if let Some(bucket) = &mut self.used().tokens {
            bucket.correct(taken, needed, now);
        }
    }

    pub fn tell(&self, headers: &mut HeaderMap, now: i64) {
        let mut used = self.used();
        if let Some(bucket) = &mut used.requests {
            insert(headers, "requests", bucket.level(now));
        }
        if let Some(bucket) = &mut used.tokens {
            insert(headers, "tokens", bucket.level(now));
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in progress.
#[derive(Debug)]
pub struct Place(Arc<Rates>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut used = self.0.used();
        used.in_progress = used.in_progress.saturating_sub(1);
    }
}

fn insert(headers: &mut HeaderMap, what: &str, level: Level) {
    for (name, value) in [
        ("limit", level.limit.to_string()),
        ("remaining", level.remaining.to_string()),
        ("reset", duration(level.reset_ms)),
    ] {
        let name = HeaderName::try_from(format!("x-ratelimit-{name}-{what}"));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}

/// A time as OpenAI writes it: `20ms`, `1.5s`, `6m0s`.
pub(super) fn duration(ms: u64) -> String {
    let seconds = |ms: u64| match ms % 1_000 {
        0 => format!("{}s", ms / 1_000),
        rest => format!("{}.{}s", ms / 1_000, format!("{rest:03}").trim_end_matches('0')),
    };
    match ms {
        0 => "0s".to_owned(),
        1..1_000 => format!("{ms}ms"),
        1_000..60_000 => seconds(ms),
        _ => format!("{}m{}", ms / 60_000, seconds(ms % 60_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(limits: &KeyLimits) -> Arc<Rates> {
        let rates = Arc::new(Rates::default());
        rates.limit(limits, 0);
        rates
    }

    #[test]
    fn times_are_written_as_openai_does() {
        for (ms, text) in [
            (0, "0s"),
            (20, "20ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (7_066, "7.066s"),
            (360_000, "6m0s"),
            (61_250, "1m1.25s"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn places_are_free_again_and_the_refused_use_up_no_rate() {
        let limits =
            KeyLimits { concurrency: Some(1), requests_per_min: Some(2), ..KeyLimits::default() };
        let rates = rates(&limits);
        let first = Rates::enter(&rates, 0).unwrap();
        for _ in 0..9 {
            let refused = Rates::enter(&rates, 0).unwrap_err();
            assert!(matches!(refused, Refusal::Concurrency { limit: 1 }));
        }
        drop(first);
        drop(Rates::enter(&rates, 0).unwrap());
        let refused = Rates::enter(&rates, 0).unwrap_err();
        assert!(matches!(refused, Refusal::Requests { limit: 2, after_ms: 30_000 }), "{refused:?}");
        drop(Rates::enter(&rates, 30_000).unwrap());
    }

    #[test]
    fn headers_tell_what_is_left_and_only_where_there_is_a_limit() {
        let limits = KeyLimits { tokens_per_min: Some(600), ..KeyLimits::default() };
        let rates = rates(&limits);
        rates.take_tokens(150, 0).unwrap();
        let mut headers = HeaderMap::new();
        rates.tell(&mut headers, 0);
        assert_eq!(headers["x-ratelimit-limit-tokens"], "600");
        assert_eq!(headers["x-ratelimit-remaining-tokens"], "450");
        assert_eq!(headers["x-ratelimit-reset-tokens"], "15s");
        assert!(!headers.contains_key("x-ratelimit-limit-requests"));
        rates.limit(&KeyLimits::default(), 0);
        rates.take_tokens(u64::MAX, 0).unwrap();
    }
}
