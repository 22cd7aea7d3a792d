//! What the chain's history tells of an account: its transactions, and the fees that it has paid.

use std::{collections::HashMap, sync::Mutex};

use chainference_chain::Pubkey;
use serde_json::{Value, json};

use crate::market::Market;

/// The most that a node tells at once.
const PAGE: usize = 1_000;
/// Transactions that are asked for in one request.
const BATCH: usize = 100;

/// The fees that a key has paid, as far as the chain's history was read. Each look reads what is new.
pub struct Fees {
    payer: Pubkey,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    /// Zero for what others paid.
    fees: HashMap<String, u64>,
    /// What comes before it in the list is all that may be new: the order of what is final stays.
    last_final: Option<String>,
}

impl Fees {
    pub fn of(payer: Pubkey) -> Self {
        Self { payer, read: Mutex::default() }
    }

    pub fn paid(&self, market: &Market) -> u64 {
        let mut read = self.read.lock().expect("no look has failed");
        let mut told = signatures_of(market, &self.payer, read.last_final.as_deref());
        let last_final = told.iter().find(|entry| entry["confirmationStatus"] == "finalized");
        if let Some(entry) = last_final.cloned() {
            read.last_final = Some(signature(&entry).to_owned());
        }
        told.retain(|entry| !read.fees.contains_key(signature(entry)));
        for (entry, transaction) in told.iter().zip(transactions(market, &told)) {
            let payer = &transaction["transaction"]["message"]["accountKeys"][0];
            let paid = if *payer == self.payer.to_string() { fee(&transaction) } else { 0 };
            read.fees.insert(signature(entry).to_owned(), paid);
        }
        read.fees.values().sum()
    }
}

/// Transactions that name an account, newest first.
pub fn transactions_of(market: &Market, address: &Pubkey) -> Vec<Value> {
    transactions(market, &signatures_of(market, address, None))
}

pub fn fee(transaction: &Value) -> u64 {
    transaction["meta"]["fee"].as_u64().expect("a fee")
}

fn signature(entry: &Value) -> &str {
    entry["signature"].as_str().expect("a signature")
}

/// The signatures of transactions that name an account, newest first, down to one that is left out.
fn signatures_of(market: &Market, address: &Pubkey, until: Option<&str>) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let before = all.last().map(signature);
        let options = json!({"limit": PAGE, "before": before, "until": until});
        let page = market.rpc("getSignaturesForAddress", json!([address.to_string(), options]));
        let page = page.as_array().expect("a list");
        all.extend_from_slice(page);
        if page.len() < PAGE {
            return all;
        }
    }
}

fn transactions(market: &Market, signatures: &[Value]) -> Vec<Value> {
    let options =
        json!({"encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 0});
    let params: Vec<Value> =
        signatures.iter().map(|entry| json!([entry["signature"], options])).collect();
    params.chunks(BATCH).flat_map(|batch| market.rpc_all("getTransaction", batch)).collect()
}
