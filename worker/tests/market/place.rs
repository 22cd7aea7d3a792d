//! A chain with the market on it, and workers that run on it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use chainference_chain::accounts::{
    InitializeArgs, Job as ChainJob, JobStatus, Preset, Worker as Record,
};
use chainference_chain::{
    Chain, Commitment, Endpoints, Instruction, Keypair, Lamports, PROGRAM_ID, SignedTransaction,
    Signer, address, instruction,
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
        self.send(&[instruction::initialize(&me, args)]).await;
        self.send(&[instruction::open_vault(&me), deposit]).await;
    }

    async fn send(&self, instructions: &[Instruction]) {
        let blockhash = self.chain.blockhash().await.unwrap();
        let signed = SignedTransaction::sign(instructions, &self.wallet, &[], &blockhash).unwrap();
        self.chain.submit(&signed).await.unwrap();
    }

    pub async fn client(&self) -> Client {
        self.client_for("").await
    }

    /// A client of the offer whose model's name holds `name`.
    pub async fn client_for(&self, name: &str) -> Client {
        let mut offers = self.chain.offers().await.unwrap().into_iter();
        let offer = offers.find(|(_, offer)| offer.model().contains(name)).expect("it is offered");
        let url = format!("http://127.0.0.1:{}", self.ports[2]);
        Client::new(self.chain.clone(), self.wallet.insecure_clone(), url, offer)
    }

    /// A worker in this process, changed by `change`, once it answers.
    pub async fn worker(&self, change: impl FnOnce(&mut Options)) -> Worker {
        let engine = env!("CARGO_BIN_EXE_chainference-engine").into();
        let mut options = Options::new(self.folder.path(), endpoints(self.ports), engine);
        options.engine_args.clear();
        options.listen.set_port(self.ports[2]);
        options.models = vec![ModelSource::File(MODEL.clone()).into()];
        options.sweep_s = 1;
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
        Worker { chain: self.chain.clone(), record: address::worker(&owner), running, shutdown }
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
        let settled = async {
            loop {
                match self.chain.job(&job.terms.job()).await {
                    Ok(Some(found)) if found.status() == JobStatus::Settled => return found,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        tokio::time::timeout(WITHIN, settled).await.expect("the job is settled")
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
    shutdown: CancellationToken,
}

impl Worker {
    /// Drains and ends.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().expect("the worker ends well");
    }

    pub async fn record(&self) -> Record {
        self.chain.worker(&self.record).await.unwrap().expect("the worker is registered")
    }
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
