//! Signed tokens in place of secrets: a JWT names a key of the ledger, and may do what that key may. Off unless an issuer
//! is set.
//!
//! Algorithms are pinned: RS256 and ES256, each with its own kind of key. Keys come from a JWKS, in a file or at a URL, and
//! are read again when they are old or a token names one that is not there: an issuer may change them at any time.

mod verify;

use std::{path::PathBuf, sync::Arc};

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::{sync::Mutex, time::Instant};

use crate::limits::{JWKS_AGE_MAX, JWKS_BYTES_MAX, JWKS_DEADLINE, JWKS_INTERVAL, JWT_LEEWAY_S};

/// Who issues tokens, and how they are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtOptions {
    pub jwks: JwksSource,
    pub issuer: String,
    pub audience: String,
    /// The claim that names the key, by its id or its name.
    pub key_claim: String,
}

/// Where the issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    File(PathBuf),
    Url(String),
}

/// Why a token opens nothing.
#[derive(Debug, Error)]
pub enum JwtError {
    #[error("The token is not valid: {0}.")]
    Invalid(String),
    /// Nobody can tell yet.
    #[error("the issuer's keys can't be had: {0}")]
    NoKeys(String),
}

/// Checks tokens. Cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    options: JwtOptions,
    http: reqwest::Client,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    known: Option<(Arc<JwkSet>, Instant)>,
    /// When they were last asked for, whatever came of it.
    asked: Option<Instant>,
    trouble: String,
}

/// Whether this may be a token: three parts, the first of which is a JSON object.
pub fn is_token(presented: &str) -> bool {
    presented.starts_with("ey") && presented.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl Tokens {
    /// # Errors
    /// Where the HTTP client can't be set up.
    pub fn new(options: JwtOptions) -> Result<Self, reqwest::Error> {
        verify::install();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(JWKS_DEADLINE)
            .build()?;
        Ok(Self(Arc::new(Inner { options, http, keys: Mutex::default() })))
    }

    /// The key that a token names, if the token is good.
    ///
    /// # Errors
    /// [`JwtError`]
    pub async fn key_named(&self, token: &str) -> Result<String, JwtError> {
        let header = decode_header(token).map_err(invalid)?;
        let kid = header.kid.ok_or_else(|| JwtError::Invalid("it names no key ('kid')".into()))?;
        let key = self.key(&kid, header.alg).await?;
        let claims: Map<String, Value> =
            decode(token, &key, &self.validation(header.alg)).map_err(invalid)?.claims;
        let claim = &self.0.options.key_claim;
        let named = claims.get(claim).and_then(Value::as_str);
        let missing = || JwtError::Invalid(format!("it has no text in the claim '{claim}'"));
        named.map(str::to_owned).ok_or_else(missing)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.0.options.issuer]);
        validation.set_audience(&[&self.0.options.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = JWT_LEEWAY_S;
        validation
    }

    async fn key(&self, kid: &str, algorithm: Algorithm) -> Result<DecodingKey, JwtError> {
        let mut keys = self.0.keys.lock().await;
        let found = keys.known().and_then(|set| set.find(kid).cloned());
        let found = match found {
            Some(found) => Some(found),
            None if keys.may_ask() => {
                self.refresh(&mut keys).await;
                keys.known().and_then(|set| set.find(kid).cloned())
            }
            None => None,
        };
        match found {
            Some(jwk) => decoding_key(&jwk, algorithm),
            None if keys.known().is_none() => Err(JwtError::NoKeys(keys.trouble.clone())),
            None => Err(JwtError::Invalid("its issuer has no such key ('kid')".into())),
        }
    }

    /// A failure leaves what was known, as long as that is not too old.
    async fn refresh(&self, keys: &mut Keys) {
        keys.asked = Some(Instant::now());
        match self.read().await {
            Ok(set) => keys.known = Some((Arc::new(set), Instant::now())),
            Err(error) => {
                tracing::warn!(error, "the issuer's keys could not be read");
                keys.trouble = error;
            }
        }
    }

    async fn read(&self) -> Result<JwkSet, String> {
        let bytes = match &self.0.options.jwks {
            JwksSource::File(path) => {
                tokio::fs::read(path).await.map_err(|error| error.to_string())?
            }
            JwksSource::Url(url) => self.fetch(url).await.map_err(|error| error.to_string())?,
        };
        if bytes.len() > JWKS_BYTES_MAX {
            return Err(format!("there are more than {JWKS_BYTES_MAX} bytes of them"));
        }
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    }

    async fn fetch(&self, url: &str) -> Result<Vec<u8>, reqwest::Error> {
        let mut response = self.0.http.get(url).send().await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > JWKS_BYTES_MAX {
                break;
            }
        }
        Ok(bytes)
    }
}

impl Keys {
    fn known(&self) -> Option<Arc<JwkSet>> {
        let (set, at) = self.known.as_ref()?;
        (at.elapsed() < JWKS_AGE_MAX).then(|| set.clone())
    }

    /// Strangers can name keys that are not there: they don't make us ask the issuer each time.
    fn may_ask(&self) -> bool {
        self.asked.is_none_or(|asked| asked.elapsed() >= JWKS_INTERVAL)
    }
}

/// The key, if it is one for that algorithm: a token doesn't choose how it is checked.
fn decoding_key(jwk: &Jwk, algorithm: Algorithm) -> Result<DecodingKey, JwtError> {
    let is_fit = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256) => true,
        (AlgorithmParameters::EllipticCurve(curve), Algorithm::ES256) => {
            curve.curve == EllipticCurve::P256
        }
        _ => false,
    };
    let named = jwk.common.key_algorithm.map(|named| named.to_string());
    let is_named = named.is_none_or(|named| named == format!("{algorithm:?}"));
    let is_for_signatures =
        jwk.common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature);
    if !(is_fit && is_named && is_for_signatures) {
        let message = "only RS256 and ES256 are taken, each with a key of its own kind";
        return Err(JwtError::Invalid(message.into()));
    }
    DecodingKey::from_jwk(jwk).map_err(invalid)
}

fn invalid(error: jsonwebtoken::errors::Error) -> JwtError {
    JwtError::Invalid(error.to_string())
}

const _: () = assert!(JWKS_INTERVAL.as_secs() < JWKS_AGE_MAX.as_secs());

#[cfg(test)]
mod tests;
