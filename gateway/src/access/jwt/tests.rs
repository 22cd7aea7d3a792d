use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::json;

use super::*;
use crate::clock::now_unix_s;

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "chainference";

/// The RSA key and the token of RFC 7515, appendix A.2.
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

struct Issuer {
    kid: &'static str,
    key: EcdsaKeyPair,
}

impl Issuer {
    fn new(kid: &'static str) -> Self {
        let (rng, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).unwrap();
        Self { kid, key: EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &rng).unwrap() }
    }

    fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid, "x": x, "y": y})
    }

    fn token(&self, header: Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64.encode(signature))
    }

    fn good(&self) -> String {
        self.token(json!({"alg": "ES256", "kid": self.kid}), &claims(json!({})))
    }
}

/// Good ones, with `more` laid over them.
fn claims(more: Value) -> Value {
    let mut claims =
        json!({"iss": ISSUER, "aud": AUDIENCE, "exp": now_unix_s() + 60, "key": "alice"});
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn tokens(jwks: &std::path::Path) -> Tokens {
    Tokens::new(JwtOptions {
        jwks: JwksSource::File(jwks.to_owned()),
        issuer: ISSUER.into(),
        audience: AUDIENCE.into(),
        key_claim: "key".into(),
    })
    .unwrap()
}

fn write(path: &std::path::Path, keys: &[Value]) {
    std::fs::write(path, json!({"keys": keys}).to_string()).unwrap();
}

#[tokio::test]
async fn a_token_names_its_key_only_if_all_of_it_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let (issuer, other) = (Issuer::new("one"), Issuer::new("one"));
    let rsa = json!({"kty": "RSA", "kid": "rsa", "n": RSA_N, "e": "AQAB"});
    let secret = json!({"kty": "oct", "kid": "secret", "k": BASE64.encode([7; 32])});
    write(&path, &[issuer.jwk(), rsa, secret]);
    let tokens = tokens(&path);
    assert_eq!(tokens.key_named(&issuer.good()).await.unwrap(), "alice");

    let now = now_unix_s();
    let mut keyless = claims(json!({}));
    keyless.as_object_mut().unwrap().remove("key");
    for wrong in [
        json!({"exp": now - 31}),
        json!({"exp": null}),
        json!({"nbf": now + 60}),
        json!({"iss": "https://other.example"}),
        json!({"iss": null}),
        json!({"aud": "other"}),
        json!({"aud": null}),
        json!({"key": 7}),
    ] {
        let token = issuer.token(json!({"alg": "ES256", "kid": "one"}), &claims(wrong.clone()));
        let refused = tokens.key_named(&token).await;
        assert!(matches!(refused, Err(JwtError::Invalid(_))), "{wrong}: {refused:?}");
    }
    for header in [
        json!({"alg": "none", "kid": "one"}),
        json!({"alg": "HS256", "kid": "secret"}),
        json!({"alg": "HS256", "kid": "one"}),
        json!({"alg": "RS256", "kid": "one"}),
        json!({"alg": "ES256", "kid": "rsa"}),
        json!({"alg": "ES384", "kid": "one"}),
        json!({"alg": "ES256", "kid": "two"}),
        json!({"alg": "ES256"}),
    ] {
        let refused = tokens.key_named(&issuer.token(header.clone(), &claims(json!({})))).await;
        assert!(matches!(refused, Err(JwtError::Invalid(_))), "{header}: {refused:?}");
    }
    let keyless = issuer.token(json!({"alg": "ES256", "kid": "one"}), &keyless);
    for token in [other.good(), keyless, "ey.x.y".into(), issuer.good() + "x"] {
        let refused = tokens.key_named(&token).await;
        assert!(matches!(refused, Err(JwtError::Invalid(_))), "{token}: {refused:?}");
    }
}

#[test]
fn rs256_is_checked_as_its_standard_has_it() {
    verify::install();
    let key = DecodingKey::from_rsa_components(RSA_N, "AQAB").unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    let good = decode::<Value>(RSA_TOKEN, &key, &validation).unwrap();
    assert_eq!(good.claims["iss"], "joe");
    let forged = RSA_TOKEN.replacen(".eyJpc3Mi", ".eyJpc3NI", 1);
    assert!(decode::<Value>(forged, &key, &validation).is_err());
}

#[tokio::test]
async fn an_issuer_may_change_its_keys_and_strangers_make_nobody_read_them_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let (first, second) = (Issuer::new("one"), Issuer::new("two"));
    let fresh = tokens(&path);
    assert!(matches!(fresh.key_named(&first.good()).await, Err(JwtError::NoKeys(_))));

    write(&path, &[first.jwk()]);
    let tokens = tokens(&path);
    tokens.key_named(&first.good()).await.unwrap();
    write(&path, &[second.jwk()]);
    let early = tokens.key_named(&second.good()).await;
    assert!(matches!(early, Err(JwtError::Invalid(_))), "it was just read: {early:?}");
    let long_ago = Instant::now().checked_sub(JWKS_INTERVAL);
    tokens.0.keys.lock().await.asked = long_ago;
    assert_eq!(tokens.key_named(&second.good()).await.unwrap(), "alice");
    let old = tokens.key_named(&first.good()).await;
    assert!(matches!(old, Err(JwtError::Invalid(_))), "{old:?}");
}

#[test]
fn only_what_looks_like_a_token_is_one() {
    assert!(is_token(RSA_TOKEN));
    for other in ["sk-cf-abc", "", "ey", "ey.x", "a.b.c", "ey.a.b.c"] {
        assert!(!is_token(other), "{other}");
    }
}
