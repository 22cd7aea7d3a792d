//! The published IDL against the typed client: whoever builds a client from the IDL sends and reads the same bytes.

mod instructions;

use std::collections::BTreeMap;

use anchor_lang::error::Error;
use anchor_lang::{Discriminator, prelude::Result};
use chainference::error::{FromMarket, ProgramErrorCode};
use chainference::events;
use chainference_chain::accounts::{Config, Job, Offer, Stored, Treasury, Vault, Worker};
use chainference_market::MarketError;
use serde_json::Value;

const STALE: &str = "the IDL is older than the program: run scripts/build-program";

fn idl() -> Value {
    let text = include_str!("../../../../programs/artifacts/chainference.idl.json");
    serde_json::from_str(text).expect("JSON")
}

fn list<'a>(idl: &'a Value, key: &str) -> &'a [Value] {
    idl[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn name(item: &Value) -> &str {
    item["name"].as_str().expect("each has a name")
}

fn named<'a>(items: &'a [Value], wanted: &str) -> &'a Value {
    items.iter().find(|item| name(item) == wanted).unwrap_or_else(|| panic!("{wanted}: {STALE}"))
}

fn discriminator(item: &Value) -> Vec<u8> {
    serde_json::from_value(item["discriminator"].clone()).expect("bytes")
}

/// Bytes that a value of this type takes at the start of `data`.
fn width(idl: &Value, of: &Value, data: &[u8]) -> usize {
    let count = || u32::from_le_bytes(data[..4].try_into().expect("four bytes")) as usize;
    if let Some(primitive) = of.as_str() {
        return match primitive {
            "bool" | "u8" => 1,
            "u16" => 2,
            "u32" => 4,
            "u64" | "i64" => 8,
            "pubkey" => 32,
            "string" => 4 + count(),
            other => panic!("no program of ours has a {other}"),
        };
    }
    let sum = |start: usize, items: &mut dyn Iterator<Item = &Value>| {
        items.fold(start, |at, item| at + width(idl, item, &data[at..]))
    };
    let (kind, inner) = of.as_object().and_then(|of| of.iter().next()).expect("a compound type");
    match kind.as_str() {
        "array" => inner[1].as_u64().expect("a length") as usize * width(idl, &inner[0], data),
        "option" if data[0] == 0 => 1,
        "option" => sum(1, &mut std::iter::once(inner)),
        "vec" => sum(4, &mut std::iter::repeat_n(inner, count())),
        "defined" => {
            let defined = &named(list(idl, "types"), name(inner))["type"];
            if defined["kind"] == "enum" {
                let variants = list(defined, "variants");
                assert!(variants.iter().all(|variant| variant.get("fields").is_none()));
                return 1;
            }
            sum(0, &mut list(defined, "fields").iter().map(|field| &field["type"]))
        }
        other => panic!("no program of ours has a {other}"),
    }
}

#[test]
fn each_account_has_the_tag_and_the_size_that_the_client_reads() {
    let idl = idl();
    macro_rules! accounts {
        ($($account:ident),*) => {
            BTreeMap::from([$((stringify!($account), ($account::DISCRIMINATOR.to_vec(), $account::BYTES))),*])
        };
    }
    let known = accounts!(Config, Job, Offer, Treasury, Vault, Worker);
    let zeros = [0; 1_024];
    let published = list(&idl, "accounts").iter().map(|account| {
        let tag = discriminator(account);
        let fields = serde_json::json!({ "defined": { "name": name(account) } });
        let bytes = tag.len() + width(&idl, &fields, &zeros);
        (name(account), (tag, bytes))
    });
    assert_eq!(published.collect::<BTreeMap<_, _>>(), known, "{STALE}");
}

#[test]
fn each_event_has_the_tag_that_the_program_writes() {
    macro_rules! events {
        ($($event:ident),* $(,)?) => {
            BTreeMap::from([$((stringify!($event), events::$event::DISCRIMINATOR.to_vec())),*])
        };
    }
    let known = events!(
        ConfigChanged,
        DelegateSet,
        Deposited,
        EarningsWithdrawn,
        FeesSwept,
        FeesWithdrawn,
        JobCancelled,
        JobClaimed,
        JobClosed,
        JobExpired,
        JobFinished,
        JobLocked,
        JobPublished,
        JobToppedUp,
        JobsCompared,
        OfferChanged,
        OfferPosted,
        OfferRetracted,
        VaultClosed,
        VaultOpened,
        Withdrawn,
        WorkerChanged,
        WorkerRegistered,
        WorkerRetired,
    );
    let idl = idl();
    let published = list(&idl, "events").iter().map(|event| (name(event), discriminator(event)));
    assert_eq!(published.collect::<BTreeMap<_, _>>(), known, "{STALE}");
}

/// A refusal as a client meets it.
fn refusal(error: Error) -> (u64, String, String) {
    let Error::AnchorError(error) = error else { panic!("{error:?} has no number") };
    (error.error_code_number.into(), error.error_name, error.error_msg)
}

/// Each variant; one that is missing doesn't compile.
macro_rules! all {
    ($errors:ident: $($name:ident),* $(,)?) => {{
        let _ = |error: $errors| match error {
            $($errors::$name => ()),*
        };
        [$($errors::$name),*]
    }};
}

#[test]
fn each_refusal_has_its_number_its_name_and_its_words() {
    let market = all!(
        MarketError: Overflow, SharesDoNotSum, WrongStatus, BadServeUntil, TooLateToLock, TooEarlyToExpire,
        TooEarlyToClose, BadOpenSlot, BadGrace, ServingOver, PriceTooHigh, StakeTooSmall, BeyondStake,
        VoucherGoesBack, InsufficientBalance, OverDelegateLimit,
    );
    let program = all!(
        ProgramErrorCode: NotUpgradeAuthority, NotAdmin, NotClient, NotVaultOwner, NotWorkerOwner, NotOperator,
        NotWorkerAgent, WrongVault, WrongWorker, WrongOffer, WrongDestination, Paused, BadText, TooManyAllowed,
        WorkerNotAllowed, WorkerIsClient, WorkerRetiring, BondTooSmall, HasJobs, UnsweptFees, NothingOwed,
        NothingPaid, BondCoolingDown, WorkerActive, NotComparable, BadFeedback, BadLimits, NoVoucher,
        BadVoucherSignature, InvariantBroken,
    );
    let refused = market.map(|error| {
        let result: Result<()> = Err(error).or_refuse();
        refusal(result.unwrap_err())
    });
    let known: Vec<_> =
        refused.into_iter().chain(program.map(|code| refusal(code.into()))).collect();
    let text = |error: &Value, key: &str| error[key].as_str().expect("text").to_string();
    let idl = idl();
    let published = list(&idl, "errors").iter().map(|error| {
        (error["code"].as_u64().expect("a number"), text(error, "name"), text(error, "msg"))
    });
    assert_eq!(published.collect::<Vec<_>>(), known, "{STALE}");
}
