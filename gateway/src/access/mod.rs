//! Who calls, and what they may: each request's key is looked up in the ledger, unless it is unchanged, so that a key
//! that was made, changed or revoked counts at once, by whichever process that was done.

mod bucket;
mod jwt;
mod known;
mod models;
mod rates;
mod refusal;

pub use jwt::{JwksSource, JwtError, JwtOptions, Tokens};
pub use models::{ModelList, model_pattern};
pub use rates::Place;
pub use refusal::Refusal;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::HeaderMap;
use chainference_chain::Pubkey;
use thiserror::Error;
use tokio::time::Instant;

use crate::{
    clock::now_unix_ms,
    keys,
    ledger::{Budgets, DEFAULT_KEY, KeyRow, Ledger, LedgerError},
    mode::Mode,
};
use jwt::is_token;
use known::Known;
use rates::Rates;

/// Why a key opens nothing.
#[derive(Debug, Error)]
pub enum Denied {
    #[error("Incorrect API key provided.")]
    Unknown,
    #[error("This API key has expired.")]
    Expired,
    #[error("This API key was revoked.")]
    Revoked,
    #[error(transparent)]
    Token(#[from] JwtError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// All keys, with what each has used of its rates. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    ledger: Ledger,
    /// Where signed tokens are taken, too.
    tokens: Option<Tokens>,
    since: Instant,
    known: Known,
    /// By the keys' ids; only good keys come in, so that strangers can't fill it.
    rates: Arc<Mutex<HashMap<String, Arc<Rates>>>>,
}

impl Access {
    pub fn new(ledger: Ledger, tokens: Option<Tokens>) -> Self {
        let (known, rates) = (Known::default(), Arc::default());
        Self { ledger, tokens, since: Instant::now(), known, rates }
    }

    /// Whose key this is.
    ///
    /// # Errors
    /// [`Denied`]
    pub async fn identify(&self, presented: &str) -> Result<Caller, Denied> {
        let named = match self.tokens.as_ref().filter(|_| is_token(presented)) {
            None => None,
            Some(tokens) => Some(tokens.key_named(presented).await?),
        };
        let hash = keys::hash(presented);
        let now_ms = now_unix_ms();
        let mark = self.ledger.keys_mark();
        if let Some(mark) = mark
            && let Some(caller) = self.known.get(&hash, mark)
            && !has_expired(&caller.holder.key, now_ms)
        {
            return Ok(caller);
        }
        let found = match named {
            None => self.ledger.key_by_hash(&hash).await?,
            // The gateway's own key is its file's alone.
            Some(name) => self.ledger.key_named(&name).await?.filter(|key| key.id != DEFAULT_KEY),
        };
        let key = found.ok_or(Denied::Unknown)?;
        if key.revoked_unix_ms.is_some() {
            return Err(Denied::Revoked);
        }
        if has_expired(&key, now_ms) {
            return Err(Denied::Expired);
        }
        self.ledger.note_use(&key, now_ms).await?;
        let caller = self.caller(key);
        if let Some(mark) = mark {
            self.known.put(hash, caller.clone(), mark);
        }
        Ok(caller)
    }

    fn caller(&self, key: KeyRow) -> Caller {
        let mut all = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let rates = all.entry(key.id.clone()).or_default();
        rates.limit(&key.limits, now_ms(self.since));
        let models = ModelList::new(key.models.clone());
        let holder = Holder { rates: rates.clone(), since: self.since, models, key };
        Caller { holder: Arc::new(holder), avoided: Arc::default() }
    }
}

/// Who has made a request, and whom it may not go to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    holder: Arc<Holder>,
    avoided: Arc<[Pubkey]>,
}

#[derive(Debug)]
struct Holder {
    key: KeyRow,
    models: ModelList,
    rates: Arc<Rates>,
    since: Instant,
}

impl Caller {
    pub fn key_id(&self) -> &str {
        &self.holder.key.id
    }

    pub fn key_name(&self) -> &str {
        &self.holder.key.name
    }

    /// Whether this is the gateway's own key, which may see everybody's spend.
    pub fn is_operator(&self) -> bool {
        self.key_id() == DEFAULT_KEY
    }

    pub fn budgets(&self) -> &Budgets {
        &self.holder.key.limits.budgets
    }

    pub fn models(&self) -> &ModelList {
        &self.holder.models
    }

    /// How its calls are settled, if otherwise than the gateway's others.
    pub fn mode(&self) -> Option<Mode> {
        self.holder.key.mode
    }

    /// The same, for a request that may not go to these workers.
    pub fn avoiding(self, workers: Vec<Pubkey>) -> Self {
        Self { avoided: workers.into(), ..self }
    }

    pub fn avoided(&self) -> &[Pubkey] {
        &self.avoided
    }

    /// A place for a request, held until its answer has ended.
    ///
    /// # Errors
    /// [`Refusal`], where it comes too soon, or too many are in progress.
    pub fn enter(&self) -> Result<Place, Refusal> {
        Rates::enter(&self.holder.rates, self.now_ms())
    }

    /// # Errors
    /// [`Refusal`], where so many tokens can't be had yet.
    pub fn take_tokens(&self, tokens: u64) -> Result<(), Refusal> {
        self.holder.rates.take_tokens(tokens, self.now_ms())
    }

    /// What was taken was too much, or too little.
    pub fn correct_tokens(&self, taken: u64, used: u64) {
        self.holder.rates.correct_tokens(taken, used, self.now_ms());
    }

    /// Adds `x-ratelimit-*`, as far as the key has limits.
    pub fn tell(&self, headers: &mut HeaderMap) {
        self.holder.rates.tell(headers, self.now_ms());
    }

    fn now_ms(&self) -> i64 {
        now_ms(self.holder.since)
    }
}

fn has_expired(key: &KeyRow, now_ms: i64) -> bool {
    key.expires_unix_ms.is_some_and(|expires| expires <= now_ms)
}

/// Rates go by a clock that nobody sets.
fn now_ms(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::NewKey;

    #[tokio::test]
    async fn a_key_opens_until_it_expires_or_is_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        let access = Access::new(Ledger::open(&path).await.unwrap(), None);
        // Another process makes and revokes keys.
        let beside = Ledger::open(&path).await.unwrap();
        let now = now_unix_ms();
        let new = |expires| NewKey {
            name: "a".into(),
            models: vec!["a/*".into()],
            mode: Some(Mode::Session),
            expires_unix_ms: expires,
            ..NewKey::default()
        };
        let (key, secret) = keys::create_key(&beside, &new(None), now).await.unwrap();
        let caller = access.identify(&secret).await.unwrap();
        assert_eq!((caller.key_id(), caller.key_name()), (key.id.as_str(), "a"));
        assert!(caller.models().allows("a/b") && !caller.models().allows("b/b"));
        assert!(!caller.is_operator());
        assert_eq!(caller.mode(), Some(Mode::Session));
        assert!(beside.list_keys().await.unwrap()[0].last_used_unix_ms.is_some());

        assert!(beside.revoke_key(&key.id, now).await.unwrap());
        assert!(!beside.revoke_key(&key.id, now).await.unwrap(), "once");
        assert!(matches!(access.identify(&secret).await, Err(Denied::Revoked)));
        let (_, late) = keys::create_key(&beside, &new(Some(now - 1)), now).await.unwrap();
        assert!(matches!(access.identify(&late).await, Err(Denied::Expired)));
        assert!(matches!(access.identify("sk-cf-x").await, Err(Denied::Unknown)));
        let listed = serde_json::to_string(&beside.list_keys().await.unwrap()).unwrap();
        assert!(!listed.contains(&secret), "the secret is nowhere");
    }
}
