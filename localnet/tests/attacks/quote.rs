//! Attack: a message that one side built and the other signs: the gateway appends a transfer out of the worker's hot
//! wallet, or changes a term, and uses the worker's signature. Gain: the worker's wallet; a job at prices never agreed.
//! Stopped by: nobody signs a message that it didn't build. Both build the same bytes from the terms; a signature over
//! other bytes is refused by whoever completes the transaction, and by the chain.

use chainference_chain::{
    JobTerms, Keypair, Pubkey, Quote, SignError, SignedTransaction, Signer, instruction,
};

use solana_transaction::versioned::VersionedTransaction;

use crate::common::*;
use crate::support::*;

/// Count, then 64 bytes a signature: the payer's first, then the operator's.
const OPERATOR_SIGNATURE_AT: usize = 1 + 64;

fn quote(market: &Market, terms: &JobTerms) -> Quote {
    Quote { signature: terms.sign_as_worker(&market.operator), expires_unix_s: 0 }
}

#[test]
fn no_term_is_changed_behind_a_quote() {
    let mut market = Market::new();
    let (terms, _) = market.terms();
    let (quote, gateway) = (quote(&market, &terms), market.gateway.insecure_clone());
    let changes: [fn(&mut JobTerms); 12] = [
        |terms| terms.vault = Pubkey::new_from_array([1; 32]),
        |terms| terms.worker = Pubkey::new_from_array([1; 32]),
        |terms| terms.offer = Pubkey::new_from_array([1; 32]),
        |terms| terms.model_hash[31] ^= 1,
        |terms| terms.session_key = Pubkey::new_from_array([1; 32]),
        |terms| terms.open_slot -= 1,
        |terms| terms.stake += 1,
        |terms| terms.max_price_in_per_mtok -= 1,
        |terms| terms.max_price_out_per_mtok += 1,
        |terms| terms.serve_until_unix_s += 1,
        |terms| terms.blockhash = Default::default(),
        |terms| terms.operator = Pubkey::new_from_array([1; 32]),
    ];
    for change in changes {
        let mut changed = terms.clone();
        change(&mut changed);
        let completed = changed.complete(&quote, &gateway);
        assert!(matches!(completed, Err(SignError::ForeignQuote)), "{changed:?}");
    }
    // A field that this version doesn't know may mean something to whoever wrote it.
    let mut json = serde_json::to_value(&terms).unwrap();
    json["tip_lamports"] = 1.into();
    assert!(serde_json::from_value::<JobTerms>(json).is_err());
    market.land(&terms.complete(&quote, &gateway).unwrap()).unwrap();
}

#[test]
fn no_byte_of_a_signed_transaction_can_be_changed() {
    let mut market = Market::new();
    let (terms, _) = market.terms();
    let gateway = market.gateway.insecure_clone();
    let signed = terms.complete(&quote(&market, &terms), &gateway).unwrap();
    let before = market.balance(&market.operator.pubkey());
    for at in 0..signed.wire.len() {
        let mut changed = signed.clone();
        changed.wire[at] ^= 1;
        // What still reads as a transaction is refused for its signature, or before that for its form.
        if let Ok(transaction) = bincode::deserialize::<VersionedTransaction>(&changed.wire) {
            let outcome = market.svm.send_transaction(transaction);
            assert!(outcome.is_err(), "byte {at} was changed");
        }
        assert!(!market.exists(&terms.job()), "byte {at} was changed");
    }
    assert_eq!(market.balance(&market.operator.pubkey()), before);
    market.land(&signed).unwrap();
    assert_eq!(market.land(&signed), Err("AlreadyProcessed".into()));
}

#[test]
fn a_transfer_appended_to_a_quote_is_not_signed() {
    let mut market = Market::new();
    let (terms, _) = market.terms();
    let [gateway, operator] = [&market.gateway, &market.operator].map(Keypair::insecure_clone);
    let quote = quote(&market, &terms);
    let genuine = terms.complete(&quote, &gateway).unwrap();
    let mut args = publish_args(&terms);
    args.allowed = vec![terms.worker];
    let publish = instruction::publish(&terms.authority, &terms.vault, args);
    let lock =
        instruction::lock(&terms.operator, &terms.worker, &terms.offer, &terms.vault, &terms.job());
    let theft = transfer(&terms.operator, &terms.authority, SOL);
    let on = |instructions: &[chainference_chain::Instruction]| {
        let hash = terms.blockhash;
        let blockhash = chainference_chain::Blockhash { hash, last_valid_block_height: u64::MAX };
        let mut forged =
            SignedTransaction::sign(instructions, &gateway, &[&operator], &blockhash).unwrap();
        forged.wire[OPERATOR_SIGNATURE_AT..][..64].copy_from_slice(quote.signature.as_ref());
        forged
    };
    // The same two instructions are the quoted bytes; with anything before, between or behind them they are not.
    assert_eq!(on(&[publish.clone(), lock.clone()]).wire, genuine.wire);
    let before = market.balance(&operator.pubkey());
    for theft in [
        [publish.clone(), lock.clone(), theft.clone()],
        [publish.clone(), theft.clone(), lock.clone()],
        [theft, publish, lock],
    ] {
        assert_eq!(market.land(&on(&theft)), Err("SignatureFailure".into()));
    }
    assert_eq!(market.balance(&operator.pubkey()), before);
    market.land(&genuine).unwrap();
}

#[test]
fn a_quote_is_good_until_its_blockhash_is_old() {
    let mut market = Market::new();
    let (terms, _) = market.terms();
    let gateway = market.gateway.insecure_clone();
    let late = terms.complete(&quote(&market, &terms), &gateway).unwrap();
    let in_time = market.fork().land(&late);
    market.blockhash();
    assert_eq!(market.land(&late), Err("BlockhashNotFound".into()));
    assert_eq!(in_time, Ok(()));
}
