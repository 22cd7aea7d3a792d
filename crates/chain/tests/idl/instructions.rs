//! What the builders send, beside what the IDL says.

use std::collections::BTreeSet;

use chainference_chain::accounts::*;
use chainference_chain::instruction::{self, ClaimRequest, CloseRequest, Compared};
use chainference_chain::{Instruction, Lamports, PROGRAM_ID, Pubkey, Signature, Totals, address};
use serde_json::Value;
use solana_sdk_ids::{bpf_loader_upgradeable, system_program};

use super::{STALE, discriminator, idl, list, name, named, width};

const MODEL: (&str, &str) = ("example/Model-1B", "Q4_1");
const SLOT: u64 = 7;
const SOME: Lamports = Lamports(5);

/// The address of the account that the IDL calls so, where all belongs to one owner.
fn place(name: &str) -> Pubkey {
    match name {
        "config" => address::config(),
        "treasury" => address::treasury(),
        "vault" => address::vault(&place("owner")),
        "worker" => address::worker(&place("owner")),
        "offer" => address::offer(&place("worker"), MODEL.0, MODEL.1),
        "job" => address::job(&place("vault"), &place("session_key"), SLOT),
        "program" => PROGRAM_ID,
        "program_data" => {
            Pubkey::find_program_address(&[PROGRAM_ID.as_ref()], &bpf_loader_upgradeable::ID).0
        }
        "system_program" => system_program::ID,
        other => {
            let mut bytes = [1; 32];
            bytes[..other.len()].copy_from_slice(other.as_bytes());
            Pubkey::new_from_array(bytes)
        }
    }
}

#[test]
fn each_builder_sends_what_the_idl_says() {
    let idl = idl();
    let published = list(&idl, "instructions");
    let mut built = BTreeSet::new();
    for (wanted, instruction) in [market(), jobs(), endings()].concat() {
        check(&idl, named(published, wanted), &instruction);
        built.insert(wanted);
    }
    assert_eq!(published.iter().map(name).collect::<BTreeSet<_>>(), built, "{STALE}");
}

#[track_caller]
fn check(idl: &Value, published: &Value, sent: &Instruction) {
    let what = name(published);
    let args = sent.data.strip_prefix(discriminator(published).as_slice());
    let args = args.unwrap_or_else(|| panic!("{what}: another discriminator: {STALE}"));
    let read = list(published, "args")
        .iter()
        .fold(0, |at, arg| at + width(idl, &arg["type"], &args[at..]));
    assert_eq!(read, args.len(), "{what}: bytes of its arguments: {STALE}");

    let flag = |account: &Value, flag: &str| account[flag] == true;
    let accounts = list(published, "accounts");
    assert_eq!(accounts.len(), sent.accounts.len(), "{what}: {STALE}");
    for (account, meta) in accounts.iter().zip(&sent.accounts) {
        let (name, is_none) = (name(account), meta.pubkey == PROGRAM_ID);
        if flag(account, "optional") && is_none {
            assert!(!meta.is_signer && !meta.is_writable, "{what}: {name}");
            continue;
        }
        assert_eq!(meta.pubkey, place(name), "{what}: {name}");
        let flags = (flag(account, "signer"), flag(account, "writable"));
        assert_eq!((meta.is_signer, meta.is_writable), flags, "{what}: {name}: {STALE}");
        let fixed = account["address"].as_str().map(|address| address.parse().expect("a key"));
        assert_eq!(fixed.unwrap_or(meta.pubkey), meta.pubkey, "{what}: {name}: {STALE}");
    }
}

/// The configuration, workers and vaults.
fn market() -> Vec<(&'static str, Instruction)> {
    let [admin, owner, operator, worker, offer, agent, payer, payout] =
        ["admin", "owner", "operator", "worker", "offer", "agent", "payer", "payout"].map(place);
    let mut config = Config::read(&[b"cf.conf\x01".as_slice(), &[0; 256]].concat()).expect("zeros");
    (config.platform_payout, config.stakers_payout) = (payout, payout);
    let pause = UpdateConfigArgs {
        paused: Some(true),
        preset: Some(Preset::Far),
        pending_admin: Some(admin),
        ..Default::default()
    };
    let update = UpdateWorkerArgs {
        endpoint: Some("https://example.com".into()),
        status: Some(WorkerStatus::Retiring),
        ..Default::default()
    };
    let delegate = SetDelegateArgs { delegate: Some(operator), limit: 1, period_s: 2 };
    vec![
        ("initialize", instruction::initialize(&place("authority"), initialize_args())),
        ("update_config", instruction::update_config(&admin, pause)),
        ("accept_admin", instruction::accept_admin(&place("new_admin"))),
        ("register_worker", instruction::register_worker(&owner, register_args())),
        ("update_worker", instruction::update_worker(&owner, update)),
        ("heartbeat", instruction::heartbeat(&operator, &worker)),
        ("post_offer", instruction::post_offer(&agent, &worker, offer_args())),
        ("update_offer", {
            let args = UpdateOfferArgs { active: Some(false), ..Default::default() };
            instruction::update_offer(&agent, &worker, &offer, args)
        }),
        ("retract_offer", instruction::retract_offer(&owner, &offer, &payer)),
        ("withdraw_earnings", instruction::withdraw_earnings(&owner)),
        ("sweep_fees", instruction::sweep_fees(&worker)),
        ("withdraw_fees", instruction::withdraw_fees(FeePart::Stakers, &config)),
        ("retire_worker", instruction::retire_worker(&owner)),
        ("open_vault", instruction::open_vault(&owner)),
        ("deposit", instruction::deposit(&payer, &place("vault"), SOME)),
        ("set_delegate", instruction::set_delegate(&owner, delegate)),
        ("withdraw", instruction::withdraw(&owner, SOME)),
        ("close_vault", instruction::close_vault(&owner)),
    ]
}

/// A job while it lives.
fn jobs() -> Vec<(&'static str, Instruction)> {
    let [authority, operator, worker, offer, vault, job, client] =
        ["authority", "operator", "worker", "offer", "vault", "job", "client"].map(place);
    let args = PublishArgs {
        session_key: place("session_key"),
        open_slot: SLOT,
        model_hash: [4; 32],
        stake: 1,
        max_price_in_per_mtok: 2,
        max_price_out_per_mtok: 3,
        max_charge_min: 4,
        serve_until_unix_s: 5,
        filters: Filters::default(),
        allowed: vec![worker, client],
    };
    let totals = Totals { tokens_in: 1, tokens_out: 2 };
    let request = |voucher| ClaimRequest { operator, worker, vault, job, voucher, is_final: true };
    let voucher = Some((totals, Signature::from([8; 64])));
    vec![
        ("publish", instruction::publish(&authority, &vault, args)),
        ("lock", instruction::lock(&operator, &worker, &offer, &vault, &job)),
        ("claim", instruction::claim(&request(voucher))),
        ("claim", instruction::claim(&request(None))),
        ("finish", instruction::finish(&client, &vault, &job)),
        ("top_up", instruction::top_up(&client, &vault, &job, SOME)),
    ]
}

/// A job's end.
fn endings() -> Vec<(&'static str, Instruction)> {
    let [closer, vault, job, authority, worker, client] =
        ["closer", "vault", "job", "authority", "worker", "client"].map(place);
    let close =
        |feedback| instruction::close(&CloseRequest { closer, vault, job, authority, feedback });
    let feedback =
        Feedback { verdict: Verdict::Flag, speed_bps: Some(1), audit_passed: Some(true) };
    let compared = ["first", "second"].map(|job| Compared {
        job: place(job),
        worker: place(&format!("{job}_worker")),
        authority: place(&format!("{job}_authority")),
    });
    vec![
        ("cancel", instruction::cancel(&client, &vault, &job)),
        ("expire", instruction::expire(&vault, &job, None)),
        ("expire", instruction::expire(&vault, &job, Some(worker))),
        ("close", close(None)),
        ("close", close(Some((worker, feedback)))),
        ("compare", instruction::compare(&client, &vault, compared, Preferred::Second)),
    ]
}

fn initialize_args() -> InitializeArgs {
    InitializeArgs {
        preset: Preset::Open,
        platform_payout: place("payout"),
        stakers_payout: place("payout"),
        bond_min: 1,
        reputation_prior: 2,
        rated_fees_min: 3,
        bond_cooldown_s: 4,
        grace_s: 600,
        heartbeat_s: 30,
    }
}

fn register_args() -> RegisterWorkerArgs {
    RegisterWorkerArgs {
        operator: place("operator"),
        x25519: [1; 32],
        endpoint: "https://example.com".into(),
        bond: 1,
    }
}

fn offer_args() -> PostOfferArgs {
    PostOfferArgs {
        model: MODEL.0.into(),
        revision: "main".into(),
        quantisation: MODEL.1.into(),
        gguf_sha256: [1; 32],
        tokenizer_sha256: [2; 32],
        price_in_per_mtok: 1,
        price_out_per_mtok: 2,
        charge_min: 3,
        context_tokens: 4,
        abilities: 5,
    }
}
