//! A chain with the market on it, and workers that run on it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use chainference_chain::accounts::{
    InitializeArgs, Job as ChainJob, JobStatus, Preset, UpdateWorkerArgs, Worker as Record,
    WorkerStatus,
};
use chainference_chain::instruction::ClaimRequest;
use chainference_chain::{
    Chain, Commitment, Endpoints, Instruction, Keypair, Lamports, PROGRAM_ID, Pubkey,
    SignedTransaction, Signer, address, instruction,
};
use chainference_market::Prices;
use chainference_worker::models::{Hub, ModelSource, ModelStore};
use chainference_worker::{Options, WorkerError};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Job};

const SOL: u64 = 1_000_000_000;
const WITHIN: Duration = Duration::from_secs(60);
/// Makes this test's binary a worker.
const CHILD_VARIABLE: &str = "CHAINFERENCE_TEST_WORKER";

/// The model's file.
pub static MODEL: LazyLock<PathBuf> =
    LazyLock::new(|| match std::env::var_os("CHAINFERENCE_TEST_MODEL") {
        Some(path) => path.into(),
        None => std::thread::spawn(quickstart).join().expect("the quickstart model can be fetched"),
    });

fn quickstart() -> PathBuf {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("models");
    let store = ModelStore::new(dir, Hub::from_env());
    runtime.block_on(store.resolve(&ModelSource::Quickstart, &|_| ())).expect("resolved").path
}

pub struct Place {
    folder: TempDir,
    pub chain: Chain,
    process: Option<Child>,
    ports: [u16; 3],
    /// The market's admin and the client's vault owner.
    pub wallet: Keypair,
}

impl Place {
    pub async fn new() -> Self {
        let ports = free_ports();
        let chain = Chain::new(endpoints(ports), Commitment::Processed);
        let folder = tempfile::tempdir().unwrap();
        let mut place = Self { folder, chain, process: None, ports, wallet: Keypair::new() };
        place.make_keys();
        place.start_chain().await;
        place.set_up_market().await;
        place
    }

    pub async fn start_chain(&mut self) {
        let artifact = root().join("programs/artifacts/chainference.so");
        let mut process = Command::new(chain_binary())
            .args([
                "--rpc-port",
                &self.ports[0].to_string(),
                "--ws-port",
                &self.ports[1].to_string(),
            ])
            .args(["--slot-ms", "50", "--exit-with-parent"])
            .args(["--program", &format!("{PROGRAM_ID}={}", artifact.display())])
            .args(["--upgrade-authority", &self.wallet.pubkey().to_string()])
            .arg("--ledger")
            .arg(self.folder.path().join("chain.sqlite"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the chain's binary is built: see the top of this test");
        let stdout = process.stdout.take().unwrap();
        self.process = Some(process);
        let line = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next());
        let line = tokio::time::timeout(WITHIN, line).await.expect("in time").unwrap();
        assert!(line.unwrap().unwrap().starts_with("ready"));
    }

    /// As after a power cut.
    pub fn stop_chain(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }

    /// A chain that takes connections and says nothing, or goes on.
    pub fn freeze_chain(&self, is_frozen: bool) {
        let pid = self.process.as_ref().expect("the chain runs").id().to_string();
        signal(&[pid], if is_frozen { "-STOP" } else { "-CONT" });
    }

    fn make_keys(&self) {
        std::fs::create_dir(self.folder.path().join("keys")).unwrap();
        for name in ["worker-owner.json", "worker-operator.json"] {
            let bytes = Keypair::new().to_bytes().to_vec();
            self.write_key(name, &serde_json::to_string(&bytes).unwrap());
        }
        self.write_key("worker-x25519.key", &"17".repeat(32));
    }

    fn write_key(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join("keys").join(name), text).unwrap();
    }

    fn key(&self, name: &str) -> Keypair {
        let text = std::fs::read_to_string(self.folder.path().join("keys").join(name)).unwrap();
        let bytes: Vec<u8> = serde_json::from_str(&text).unwrap();
        Keypair::try_from(bytes.as_slice()).unwrap()
    }

    async fn set_up_market(&self) {
        for key in [&self.wallet, &self.key("worker-owner.json"), &self.key("worker-operator.json")]
        {
            self.chain.airdrop(&key.pubkey(), Lamports(100 * SOL)).await.unwrap();
        }
        let me = self.wallet.pubkey();
        let args = InitializeArgs {
            preset: Preset::Open,
            platform_payout: me,
            stakers_payout: me,
            bond_min: SOL,
            reputation_prior: 0,
            rated_fees_min: 0,
            bond_cooldown_s: 0,
            grace_s: 600,
            heartbeat_s: 120,
        };
        let vault = address::vault(&me);
        let deposit = instruction::deposit(&me, &vault, Lamports(10 * SOL));
        send(&self.chain, &[instruction::initialize(&me, args)], &self.wallet).await;
        send(&self.chain, &[instruction::open_vault(&me), deposit], &self.wallet).await;
    }

    pub async fn client(&self) -> Client {
        self.client_of(self.wallet.insecure_clone()).await
    }

    /// A client of the offer whose model's name holds `name`.
    pub async fn client_for(&self, name: &str) -> Client {
        self.client_with(self.wallet.insecure_clone(), name).await
    }

    async fn client_of(&self, wallet: Keypair) -> Client {
        self.client_with(wallet, "").await
    }

    async fn client_with(&self, wallet: Keypair, name: &str) -> Client {
        let mut offers = self.chain.offers().await.unwrap().into_iter();
        let offer = offers.find(|(_, offer)| offer.model().contains(name)).expect("it is offered");
        let url = format!("http://127.0.0.1:{}", self.ports[2]);
        Client::new(self.chain.clone(), wallet, url, offer)
    }

    /// A client of its own, with a vault.
    pub async fn other_client(&self) -> Client {
        let wallet = Keypair::new();
        let me = wallet.pubkey();
        self.chain.airdrop(&me, Lamports(100 * SOL)).await.unwrap();
        let deposit = instruction::deposit(&me, &address::vault(&me), Lamports(SOL));
        send(&self.chain, &[instruction::open_vault(&me), deposit], &wallet).await;
        self.client_of(wallet).await
    }

    /// What the worker's owner says.
    pub async fn set_status(&self, status: WorkerStatus) {
        let owner = self.key("worker-owner.json");
        let args = UpdateWorkerArgs { status: Some(status), ..UpdateWorkerArgs::default() };
        send(&self.chain, &[instruction::update_worker(&owner.pubkey(), args)], &owner).await;
    }

    /// Settles a job with nothing paid, by the operator's key and behind the worker's back.
    pub async fn let_go(&self, job: &Job) {
        let operator = self.key("worker-operator.json");
        let claim = instruction::claim(&ClaimRequest {
            operator: operator.pubkey(),
            worker: job.terms.worker,
            vault: job.terms.vault,
            job: job.terms.job(),
            voucher: None,
            is_final: true,
        });
        send(&self.chain, &[claim], &operator).await;
    }

    pub async fn operator_balance(&self) -> u64 {
        let operator = self.key("worker-operator.json").pubkey();
        self.chain.balance(&operator).await.unwrap().0
    }

    pub fn worker_record(&self) -> Pubkey {
        address::worker(&self.key("worker-owner.json").pubkey())
    }

    pub async fn record(&self) -> Record {
        let found = self.chain.worker(&self.worker_record()).await.unwrap();
        found.expect("the worker is registered")
    }

    /// A worker in a process of its own, which ends as by kill −9 where `abort_at` says.
    pub async fn spawn_worker(&self, abort_at: Option<&str>) -> Child {
        let ports = self.ports.map(|port| port.to_string()).join(",");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "crashes::worker_process", "--nocapture"])
            .env(CHILD_VARIABLE, format!("{}|{ports}", self.folder.path().display()))
            .stdout(Stdio::null());
        if let Some(point) = abort_at {
            command.env("CHAINFERENCE_TEST_ABORT_AT", point);
        }
        let process = command.spawn().unwrap();
        let health = format!("http://127.0.0.1:{}/health", self.ports[2]);
        let up = async {
            while reqwest::get(&health).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(WITHIN, up).await.expect("the worker answers");
        process
    }

    /// A worker in this process, changed by `change`, once it answers.
    pub async fn worker(&self, change: impl FnOnce(&mut Options)) -> Worker {
        let mut options = options(self.folder.path(), self.ports);
        change(&mut options);
        let health = format!("{}/health", options.endpoint_url());
        let shutdown = CancellationToken::new();
        let mut running = tokio::spawn(chainference_worker::run(options, shutdown.clone()));
        let up = async {
            while reqwest::get(&health).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            ended = &mut running => panic!("the worker ended at its start: {ended:?}"),
            up = tokio::time::timeout(WITHIN, up) => up.expect("the worker answers"),
        }
        let owner = self.key("worker-owner.json").pubkey();
        let (chain, record) = (self.chain.clone(), address::worker(&owner));
        let ledger_lock = self.folder.path().join("worker/ledger.lock");
        Worker { chain, record, running, ledger_lock, shutdown }
    }

    /// Waits until a worker that was stopped has let go of its ledger, as the end of a process would.
    pub async fn ledger_is_free(&self) {
        let lock = std::fs::File::open(self.folder.path().join("worker/ledger.lock")).unwrap();
        let free = async {
            while lock.try_lock().is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(WITHIN, free).await.expect("the ledger is let go");
    }

    pub fn prices(&self) -> Prices {
        Prices { input_per_mtok: 600_000, output_per_mtok: 1_200_000, charge_min: 2_000 }
    }

    pub async fn status(&self, job: &Job) -> JobStatus {
        self.chain.job(&job.terms.job()).await.unwrap().expect("the job is on chain").status()
    }

    /// The job once it is settled.
    pub async fn settled(&self, job: &Job) -> ChainJob {
        self.once(job, |found| found.status() == JobStatus::Settled).await
    }

    /// The job once this is true of it.
    pub async fn once(&self, job: &Job, is_so: impl Fn(&ChainJob) -> bool) -> ChainJob {
        let asked = async {
            loop {
                match self.chain.job(&job.terms.job()).await {
                    Ok(Some(found)) if is_so(&found) => return found,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        tokio::time::timeout(WITHIN, asked).await.expect("the job comes so far")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop_chain();
    }
}

pub struct Worker {
    chain: Chain,
    record: chainference_chain::Pubkey,
    running: JoinHandle<Result<(), WorkerError>>,
    ledger_lock: PathBuf,
    shutdown: CancellationToken,
}

impl Worker {
    /// Drains and ends.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().expect("the worker ends well");
        // The ledger's writer ends a moment later; a process would take it along.
        let lock = std::fs::File::open(self.ledger_lock).unwrap();
        while lock.try_lock().is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn record(&self) -> Record {
        self.chain.worker(&self.record).await.unwrap().expect("the worker is registered")
    }
}

/// What `CHILD_VARIABLE` says: the folder and the ports of a place.
pub fn childs_options() -> Option<Options> {
    let text = std::env::var(CHILD_VARIABLE).ok()?;
    let (folder, ports) = text.split_once('|').unwrap();
    let ports: Vec<u16> = ports.split(',').map(|port| port.parse().unwrap()).collect();
    let mut options = options(Path::new(folder), ports.try_into().unwrap());
    options.idle_max_s = 10;
    Some(options)
}

fn options(folder: &Path, ports: [u16; 3]) -> Options {
    let engine = env!("CARGO_BIN_EXE_chainference-engine").into();
    let mut options = Options::new(folder, endpoints(ports), engine);
    options.engine_args.clear();
    options.listen.set_port(ports[2]);
    options.models = vec![ModelSource::File(MODEL.clone()).into()];
    options.sweep_s = 1;
    options.claim_company_s = 0;
    options.heartbeat_s = 3_600; // costs a fee, and fees are counted
    options
}

/// The engine that a worker's process has as its child.
pub fn engine_of(worker: u32) -> u32 {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        entry.unwrap().file_name().to_str().and_then(|name| name.parse::<u32>().ok())
    });
    let is_it = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // `pid (name) state parent …`, where the name may hold anything and is cut at 15 bytes.
        let Some((name, rest)) = stat.rsplit_once(')') else { return false };
        let parent = rest.split_whitespace().nth(1).and_then(|parent| parent.parse().ok());
        name.ends_with("(chainference-en") && parent == Some(worker)
    };
    pids.into_iter().find(is_it).expect("the engine runs")
}

pub fn signal(pids: &[String], name: &str) {
    assert!(Command::new("kill").arg(name).args(pids).status().unwrap().success());
}

async fn send(chain: &Chain, instructions: &[Instruction], payer: &Keypair) {
    let blockhash = chain.blockhash().await.unwrap();
    let signed = SignedTransaction::sign(instructions, payer, &[], &blockhash).unwrap();
    chain.submit(&signed).await.unwrap();
}

fn endpoints([rpc, ws, _]: [u16; 3]) -> Endpoints {
    Endpoints { rpc_url: format!("http://127.0.0.1:{rpc}"), ws_url: format!("ws://127.0.0.1:{ws}") }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where `scripts/build` puts it: beside our own binaries.
fn chain_binary() -> PathBuf {
    let beside = || {
        Path::new(env!("CARGO_BIN_EXE_chainference-engine")).with_file_name("chainference-chain")
    };
    std::env::var_os("CHAINFERENCE_CHAIN_BIN").map_or_else(beside, PathBuf::from)
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
