//! What a fuzzer and the replay of its corpus run: what a node may answer. Panics are bugs.

use chainference_market::{Lamports, Reputation, Totals, Voucher};
use solana_account_decoder_client_types::UiAccount;

use crate::{
    Abilities, Pubkey, QuoteRequest, SignedTransaction,
    accounts::{Config, Job, Offer, Stored, Treasury, Vault, Worker},
    client::{decode, parse_clock},
    event::events,
};

/// Everything that gateway and worker read of the chain: accounts, the clock, logs; and of each other about it:
/// terms of jobs and stored transactions.
pub fn accounts(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 10 {
        0 => read(rest, config),
        1 => {
            let _ = Job::allowed(rest);
            read(rest, job);
        }
        2 => read(rest, offer),
        3 => read(rest, |_: Treasury| ()),
        4 => read(rest, vault),
        5 => read(rest, worker),
        6 => logs(rest),
        7 => terms(rest),
        8 => answer(rest),
        _ => assert_eq!(parse_clock(rest).is_some(), rest.len() >= 40),
    }
}

/// The type's tag stands in front already: what else there is is the account's.
fn read<T: Stored>(fields: &[u8], look: impl Fn(T)) {
    let whole = [T::DISCRIMINATOR, fields].concat();
    let found = T::read(&whole);
    assert_eq!(found.is_some(), whole.len() >= T::BYTES, "only what is too short is refused");
    if let Some(found) = found {
        look(found);
    }
    assert!(T::read(fields).is_none() || fields.starts_with(T::DISCRIMINATOR));
}

fn config(found: Config) {
    let reputation = Reputation::new(found.grace_s.into());
    let (shares, rating) = found.shares_for(&reputation, i64::MAX);
    assert!(rating <= 10_000);
    let parts = shares.split(Lamports(found.bond_min));
    let sum = parts.worker.plus(parts.stakers).and_then(|sum| sum.plus(parts.platform));
    assert_eq!(sum, Ok(Lamports(found.bond_min)));
    let _ = (found.paused(), found.pending_admin(), found.check().is_ok());
}

fn job(found: Job) {
    let _ = (found.status(), found.prices());
    let totals = Totals { tokens_in: found.tokens_in, tokens_out: found.tokens_out };
    if let Ok(cost) = found.prices().cost(totals)
        && !totals.is_zero()
    {
        assert!(cost.0 >= found.charge_min);
    }
    if let Ok(rules) = found.rules() {
        let _ = rules.invariant();
    }
    let voucher = Voucher { job: found.vault.to_bytes(), totals };
    assert_eq!(Voucher::from_bytes(&voucher.to_bytes()), Some(voucher));
}

fn offer(found: Offer) {
    let abilities = Abilities::of(&found);
    assert!(!abilities.is_empty(), "nothing said is plain chat");
    let _ = (abilities.to_string(), found.prices(), found.active());
    for text in [found.model(), found.revision(), found.quantisation()] {
        assert!(!text.contains('\0'));
    }
}

fn vault(found: Vault) {
    for lamports in [0, found.rent, u64::MAX] {
        assert!(found.free(lamports).0 <= lamports);
    }
    let _ = (found.delegate(), found.is_client(&found.owner));
}

fn worker(found: Worker) {
    assert!(!found.endpoint().contains('\0'));
    let reputation = Reputation::from(found.reputation);
    for prior in [0, found.bond, u64::MAX] {
        assert!(reputation.success_bps(prior) <= 10_000);
        assert!(reputation.preference_bps(prior) <= 10_000);
        assert!(reputation.rating_bps(found.last_heartbeat_unix_s, 60, prior) <= 10_000);
    }
    let _ = found.status();
}

/// Logs of a transaction, a line each.
fn logs(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let written = lines.iter().filter(|line| line.starts_with("Program data: ")).count();
    assert!(events(&lines).len() <= written);
}

fn terms(bytes: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<QuoteRequest>(bytes) {
        assert!(!request.is_signed(), "nobody has signed");
        let _ = request.terms.job();
    }
    let stored = SignedTransaction {
        signature: crate::Signature::default(),
        wire: bytes.to_vec(),
        last_valid_block_height: 0,
    };
    let _ = stored.decode();
}

/// An account as a node tells it, in one of its encodings.
fn answer(bytes: &[u8]) {
    if let Ok(account) = serde_json::from_slice::<UiAccount>(bytes) {
        let _ = decode(&Pubkey::default(), &account);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_fuzzers_began_with_holds() {
        chainference_testkit::replay("accounts", super::accounts);
    }
}
