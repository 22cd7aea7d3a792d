//! POST /v1/quotes: the worker's signature under a job's publish + lock.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use chainference_chain::Signer;
use chainference_chain::terms::{JobTerms, Quote, QuoteRequest};
use chainference_market::Prices;

use super::error::RouteError;
use super::{App, Offered, parse};
use crate::metrics;
use crate::settlement::{Serving, Wanted};

/// A quote's blockhash is gone after so long, with room for slow slots, in seconds.
const QUOTE_S: i64 = 90;
/// A blockhash lives for 150 blocks; nodes may differ by a few.
const BLOCKHASH_BLOCKS_MAX: u64 = 180;
pub(super) async fn post(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<Quote>, RouteError> {
    let outcome = quote(&app, &body).await;
    metrics::quote(outcome.as_ref().map_or_else(RouteError::name, |_| "signed"));
    outcome.map(Json)
}

async fn quote(app: &App, body: &[u8]) -> Result<Quote, RouteError> {
    let request: QuoteRequest = parse(body)?;
    // First of all: a stranger must not use up a client's places, nor make us ask the chain.
    if !request.is_signed() {
        let message = "a quote is asked for with the signature of the terms' authority";
        return Err(RouteError::unsigned(message));
    }
    let terms = request.terms;
    if app.settlement.takes_nothing() {
        return Err(RouteError::draining());
    }
    let offer = app.offer(&terms.offer).filter(|offer| offer.model_hash == terms.model_hash);
    let unserved = "these terms name an offer that this worker doesn't serve";
    let offer = offer.ok_or_else(|| RouteError::refused(unserved))?;
    let now_unix_s = app.settlement.now_unix_s();
    check_terms(app, offer, &terms, now_unix_s).map_err(RouteError::refused)?;
    check_chain(app, &terms).await?;
    // Asked last: a model that isn't in memory is loaded for who means it.
    if !app.host.would_take(offer.id) {
        return Err(RouteError::busy("this worker has no room for another call of this model"));
    }
    app.settlement.quote(&terms, offer.prices.get()).await?;
    // The message is built from the terms: nothing that a client could add is ever signed.
    let signature = terms.sign_as_worker(&app.operator);
    Ok(Quote { signature, expires_unix_s: now_unix_s.saturating_add(QUOTE_S) })
}

/// What can be decided without the chain.
fn check_terms(
    app: &App,
    offer: &Offered,
    terms: &JobTerms,
    now_unix_s: i64,
) -> Result<(), &'static str> {
    if terms.worker != app.worker || terms.operator != app.operator.pubkey() {
        return Err("these terms name another worker");
    }
    let serving = Serving { prices: offer.prices.get(), serve_max_s: app.limits.serve_max_s };
    serving.check(&wanted(terms), now_unix_s)?;
    // Accounts that stand in two roles at once would build a message of another shape.
    let (client, ours) = ([terms.authority, terms.vault], [app.operator.pubkey(), app.owner]);
    if client.iter().any(|key| ours.contains(key)) {
        return Err("a worker doesn't serve itself");
    }
    Ok(())
}

fn wanted(terms: &JobTerms) -> Wanted {
    Wanted {
        stake: terms.stake,
        highest: Prices {
            input_per_mtok: terms.max_price_in_per_mtok,
            output_per_mtok: terms.max_price_out_per_mtok,
            charge_min: terms.max_charge_min,
        },
        serve_until_unix_s: terms.serve_until_unix_s,
    }
}

/// The vault can pay, and the blockhash is of now.
async fn check_chain(app: &App, terms: &JobTerms) -> Result<(), RouteError> {
    let (vault, held, height) = tokio::try_join!(
        app.chain.vault(&terms.vault),
        app.chain.balance(&terms.vault),
        app.chain.block_height(),
    )?;
    let vault = vault.ok_or_else(|| RouteError::refused("the vault doesn't exist"))?;
    if !vault.is_client(&terms.authority) {
        return Err(RouteError::refused("the authority may not publish for this vault"));
    }
    // The rent is the chain's to check: it refuses the publish, at no cost to the worker.
    if held.0.saturating_sub(vault.reserved) < terms.stake {
        return Err(RouteError::refused("the vault's free balance is smaller than the stake"));
    }
    let valid = height..=height.saturating_add(BLOCKHASH_BLOCKS_MAX);
    if !valid.contains(&terms.last_valid_block_height) {
        return Err(RouteError::refused("the blockhash is not recent"));
    }
    Ok(())
}
