//! The client of `crates/chain` against the started chain: what is submitted lands once, and outlives a kill.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chainference_chain::accounts::{
    InitializeArgs, Job, JobStatus, PostOfferArgs, Preset, RegisterWorkerArgs, model_hash,
};
use chainference_chain::instruction::ClaimRequest;
use chainference_chain::{
    Chain, Commitment, Endpoints, Instruction, JobTerms, Keypair, Lamports, PROGRAM_ID, Pubkey,
    Quote, SignedTransaction, Signer, SubmitError, Totals, address, instruction,
};
use chainference_market::Voucher;

const SOL: u64 = 1_000_000_000;
const ARTIFACT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/artifacts/chainference.so");

/// A chain's process; it ends with the test.
struct Node {
    process: Child,
    chain: Chain,
}

impl Node {
    fn start(ledger: &Path, authority: &Keypair) -> Self {
        let [rpc_port, ws_port] = free_ports();
        let mut process = Command::new(env!("CARGO_BIN_EXE_chainference-chain"))
            .args(["--json", "--exit-with-parent", "--slot-ms", "100"])
            .args(["--rpc-port", &rpc_port.to_string(), "--ws-port", &ws_port.to_string()])
            .args(["--program", &format!("{PROGRAM_ID}={ARTIFACT}")])
            .args(["--upgrade-authority", &authority.pubkey().to_string()])
            .arg("--ledger")
            .arg(ledger)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the chain starts");
        let mut ready = String::new();
        let stdout = process.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut ready).expect("a ready line");
        assert!(ready.contains("\"ready\":true"), "{ready}");
        let endpoints = Endpoints {
            rpc_url: format!("http://127.0.0.1:{rpc_port}"),
            ws_url: format!("ws://127.0.0.1:{ws_port}"),
        };
        Self { process, chain: Chain::new(endpoints, Commitment::Processed) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_ports() -> [u16; 2] {
    let sockets = [0; 2].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a free port"));
    sockets.map(|socket| socket.local_addr().expect("an address").port())
}

async fn sign(chain: &Chain, instructions: &[Instruction], payer: &Keypair) -> SignedTransaction {
    let blockhash = chain.blockhash().await.unwrap();
    SignedTransaction::sign(instructions, payer, &[], &blockhash).unwrap()
}

fn initialize(admin: &Keypair) -> Instruction {
    let args = InitializeArgs {
        preset: Preset::Open,
        platform_payout: admin.pubkey(),
        stakers_payout: admin.pubkey(),
        bond_min: 0,
        reputation_prior: 2_000,
        rated_fees_min: 0,
        bond_cooldown_s: 0,
        grace_s: 600,
        heartbeat_s: 120,
    };
    instruction::initialize(&admin.pubkey(), args)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_submitted_lands_once_and_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("chain.sqlite");
    let admin = Keypair::new();
    let mut node = Node::start(&ledger, &admin);
    let chain = &node.chain;
    chain.health().await.unwrap();
    assert!(chain.deployed().await.unwrap());
    assert_eq!(chain.config().await.unwrap(), None);
    chain.airdrop(&admin.pubkey(), Lamports(10 * SOL)).await.unwrap();
    assert_eq!(chain.balance(&admin.pubkey()).await.unwrap(), Lamports(10 * SOL));

    let signed = sign(chain, &[initialize(&admin)], &admin).await;
    let began = Instant::now();
    chain.submit(&signed).await.unwrap();
    println!("submit took {:?}", began.elapsed());
    assert_eq!(chain.config().await.unwrap().expect("a market").admin, admin.pubkey());
    chain.submit(&signed).await.expect("submitting what has landed is no error");

    let (key, vault) = (admin.pubkey(), address::vault(&admin.pubkey()));
    let deposit = instruction::deposit(&key, &vault, Lamports(SOL));
    let open = sign(chain, &[instruction::open_vault(&key), deposit], &admin).await;
    chain.submit(&open).await.unwrap();
    let held = chain.balance(&vault).await.unwrap();
    let too_much = sign(chain, &[instruction::withdraw(&key, Lamports(2 * SOL))], &admin).await;
    let refused = chain.submit(&too_much).await.unwrap_err();
    assert_eq!(refused.error_name(), Some("InsufficientBalance"), "{refused:?}");

    let slot = chain.clock().await.unwrap().slot;
    node.process.kill().unwrap();
    node.process.wait().unwrap();
    let gone = node.chain.slot().await.unwrap_err();
    assert!(gone.to_string().contains("can't be reached"), "{gone}");

    let node = Node::start(&ledger, &admin);
    let chain = &node.chain;
    assert_eq!(chain.vault(&vault).await.unwrap().expect("the vault").owner, key);
    assert_eq!(chain.balance(&vault).await.unwrap(), held);
    assert!(chain.clock().await.unwrap().slot >= slot, "the clock does not go back");
    chain.submit(&open).await.expect("what landed before the kill is known after it");
    assert_eq!(chain.balance(&vault).await.unwrap(), held, "it landed once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_land_in_time_is_expired() {
    let folder = tempfile::tempdir().unwrap();
    let admin = Keypair::new();
    let node = Node::start(&folder.path().join("chain.sqlite"), &admin);
    let chain = &node.chain;
    chain.airdrop(&admin.pubkey(), Lamports(SOL)).await.unwrap();
    let mut old = sign(chain, &[instruction::open_vault(&admin.pubkey())], &admin).await;
    let unknown = chainference_chain::Blockhash {
        hash: chainference_chain::Hash::new_from_array([7; 32]),
        last_valid_block_height: 0,
    };
    let never = [instruction::open_vault(&admin.pubkey())];
    old.wire = SignedTransaction::sign(&never, &admin, &[], &unknown).unwrap().wire;
    old.last_valid_block_height = 0;
    let outcome = tokio::time::timeout(Duration::from_secs(20), chain.submit(&old)).await;
    assert!(matches!(outcome, Ok(Err(SubmitError::Expired))), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_found_by_its_vault_and_its_worker_and_paid() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("chain.sqlite");
    let [admin, operator, session] = [(); 3].map(|()| Keypair::new());
    let node = Node::start(&ledger, &admin);
    let chain = &node.chain;
    let terms = open_market(chain, &admin, &operator, &session).await;

    let quote = Quote { signature: terms.sign_as_worker(&operator), expires_unix_s: 0 };
    let signed = terms.complete(&quote, &admin).unwrap();
    chain.submit(&signed).await.unwrap();
    let job = terms.job();
    let by_vault = chain.jobs_of_vault(&terms.vault).await.unwrap();
    let by_worker = chain.jobs_of_worker(&terms.worker).await.unwrap();
    for jobs in [by_vault, by_worker] {
        assert_eq!(jobs.iter().map(|(address, _)| *address).collect::<Vec<_>>(), [job]);
        assert_eq!(jobs[0].1.status(), JobStatus::Locked);
    }
    assert_eq!(chain.jobs_of_worker(&terms.vault).await.unwrap(), []);
    let found = chain.jobs(&[terms.vault, job, terms.worker]).await;
    assert!(found.is_err(), "a vault is no job");
    let found = chain.jobs(&[admin.pubkey(), job, Pubkey::new_unique()]).await.unwrap();
    let is_locked = |job: &Option<Job>| job.as_ref().map(|job| job.status() == JobStatus::Locked);
    assert_eq!(found.iter().map(is_locked).collect::<Vec<_>>(), [None, Some(true), None]);
    let all = chain.market().await.unwrap();
    assert_eq!(all.config, chain.config().await.unwrap());
    assert!(all.clock.slot <= chain.clock().await.unwrap().slot);
    let nobody = Pubkey::new_unique();
    let known = chain.market_of(&[terms.worker], &[nobody, terms.offer]).await.unwrap();
    assert!(all.clock.slot <= known.clock.slot);
    for market in [all, known] {
        let workers: Vec<_> = market.workers.iter().map(|(address, _)| *address).collect();
        let offers: Vec<_> = market.offers.iter().map(|(address, _)| *address).collect();
        assert_eq!((workers, offers), (vec![terms.worker], vec![terms.offer]));
    }
    assert!(chain.market_of(&[terms.offer], &[]).await.is_err(), "an offer is no worker");

    let totals = Totals { tokens_in: 1_000_000, tokens_out: 0 };
    let voucher = Voucher { job: job.to_bytes(), totals };
    let request = ClaimRequest {
        operator: operator.pubkey(),
        worker: terms.worker,
        vault: terms.vault,
        job,
        voucher: Some((totals, session.sign_message(&voucher.to_bytes()))),
        is_final: true,
    };
    let claim = sign(chain, &[instruction::claim(&request)], &operator).await;
    chain.submit(&claim).await.unwrap();
    let settled = chain.job(&job).await.unwrap().expect("the job");
    assert_eq!((settled.status(), settled.credited), (JobStatus::Settled, 600_000));

    drop(node); // which kills it
    let node = Node::start(&ledger, &admin);
    let again = node.chain.jobs_of_vault(&terms.vault).await.unwrap();
    assert_eq!(again, [(job, settled)], "what the program owns is known after a kill");
}

/// A market in which `admin` is the client and another cold key runs the worker; terms of a first job.
async fn open_market(
    chain: &Chain,
    admin: &Keypair,
    operator: &Keypair,
    session: &Keypair,
) -> JobTerms {
    let owner = Keypair::new();
    for key in [admin, operator, &owner] {
        chain.airdrop(&key.pubkey(), Lamports(10 * SOL)).await.unwrap();
    }
    let (key, vault) = (admin.pubkey(), address::vault(&admin.pubkey()));
    let client = [
        initialize(admin),
        instruction::open_vault(&key),
        instruction::deposit(&key, &vault, Lamports(SOL)),
    ];
    chain.submit(&sign(chain, &client, admin).await).await.unwrap();
    let (registration, offer) = (registration(operator), offer());
    let worker = address::worker(&owner.pubkey());
    let terms = JobTerms {
        vault,
        authority: key,
        worker,
        operator: operator.pubkey(),
        offer: address::offer(&worker, &offer.model, &offer.quantisation),
        model_hash: model_hash(&offer.model, &offer.quantisation),
        session_key: session.pubkey(),
        open_slot: chain.clock().await.unwrap().slot,
        stake: 1_000_000,
        max_price_in_per_mtok: offer.price_in_per_mtok,
        max_price_out_per_mtok: offer.price_out_per_mtok,
        max_charge_min: offer.charge_min,
        serve_until_unix_s: chain.clock().await.unwrap().unix_s + 300,
        blockhash: chain.blockhash().await.unwrap().hash,
        last_valid_block_height: chain.blockhash().await.unwrap().last_valid_block_height,
    };
    let serve = [
        instruction::register_worker(&owner.pubkey(), registration),
        instruction::post_offer(&owner.pubkey(), &worker, offer),
    ];
    chain.submit(&sign(chain, &serve, &owner).await).await.unwrap();
    terms
}

fn registration(operator: &Keypair) -> RegisterWorkerArgs {
    RegisterWorkerArgs {
        operator: operator.pubkey(),
        x25519: [9; 32],
        endpoint: "http://127.0.0.1:7071".into(),
        bond: 0,
    }
}

fn offer() -> PostOfferArgs {
    PostOfferArgs {
        model: "example/Model-1B".into(),
        revision: "main".into(),
        quantisation: "Q4_1".into(),
        gguf_sha256: [1; 32],
        tokenizer_sha256: [2; 32],
        price_in_per_mtok: 600_000,
        price_out_per_mtok: 1_200_000,
        charge_min: 2_000,
        context_tokens: 2_048,
        abilities: 0,
    }
}

#[test]
fn trouble_at_the_start_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let broken = folder.path().join("broken.sqlite");
    std::fs::write(&broken, "no database").unwrap();
    let broken = broken.to_str().unwrap();
    let torn = folder.path().join("torn.sqlite");
    std::fs::write(&torn, [b"SQLite format 3\0".as_slice(), &[7; 4_000]].concat()).unwrap();
    let torn = torn.to_str().unwrap();
    let [free, _] = free_ports().map(|port| port.to_string());
    let cases: [(&[&str], &str); 5] = [
        (&["--rpc-port", &port], "is taken: choose another with --rpc-port"),
        (&["--rpc-port", &free, "--ws-port", &port], "is taken: choose another with --ws-port"),
        (&["--ledger", broken], "is not a chain's ledger"),
        (&["--rpc-port", &free, "--ledger", torn], "ledger"),
        (&["--program", "11111111111111111111111111111111=/nowhere"], "can't read /nowhere"),
    ];
    for (flags, message) in cases {
        let output = Command::new(env!("CARGO_BIN_EXE_chainference-chain"))
            .args(flags)
            .output()
            .expect("the chain runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{flags:?}: {stderr}");
        assert!(stderr.contains(message), "{flags:?}: {stderr}");
    }
}
