//! `chainference up` under test.

use std::{
    fs::{self, File},
    net::TcpListener,
    ops::Deref,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::Arc,
};

use chainference_chain::{Chain, Commitment, Endpoints};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{binary, cache, eventually, process};

/// Short slots, so that a job's account may be closed (1,500 slots later) within a minute.
const SLOT_MS: u64 = 25;
const READY_WITHIN_S: u64 = 120;
const END_WITHIN_S: u64 = 60;

/// A home folder with its ports, whether a market runs in it or not.
pub struct Place {
    folder: TempDir,
    pub gateway: u16,
    pub worker: u16,
    pub rpc: u16,
    pub ws: u16,
    settings: Vec<String>,
    slot_ms: u64,
}

impl Place {
    /// A fresh one. The model comes from a folder that all tests share.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let models = cache().join("models");
        fs::create_dir_all(&models).expect("a folder for models");
        fs::create_dir(folder.path().join("home")).expect("a home");
        symlink(&models, folder.path().join("home/models")).expect("a link");
        let [gateway, worker, rpc, ws] = free_ports();
        Self { folder, gateway, worker, rpc, ws, settings: Vec::new(), slot_ms: SLOT_MS }
    }

    /// Adds settings in the form of flags of `up`.
    pub fn with(mut self, settings: &[&str]) -> Self {
        self.settings.extend(settings.iter().map(|setting| (*setting).to_owned()));
        self
    }

    /// With slots of another length than tests need.
    pub fn with_slots_of(mut self, slot_ms: u64) -> Self {
        self.slot_ms = slot_ms;
        self
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// `chainference …` in this home.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary("chainference"));
        command
            .args(args)
            .env("CHAINFERENCE_HOME", self.home())
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null());
        command
    }

    /// `chainference up` with this place's settings.
    pub fn up(&self) -> Command {
        let mut command = self.command(&["up"]);
        command
            .args(["--gateway-listen", &format!("127.0.0.1:{}", self.gateway)])
            .args(["--worker-listen", &format!("127.0.0.1:{}", self.worker)])
            .args(["--rpc-port", &self.rpc.to_string(), "--ws-port", &self.ws.to_string()])
            .args(["--slot-ms", &self.slot_ms.to_string()])
            .args(&self.settings);
        command
    }

    /// Runs a command that ends by itself.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("chainference runs")
    }

    /// What a command prints as JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("chainference {args:?}: {error}: {output:?}"))
    }

    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.gateway)
    }

    pub fn key(&self) -> String {
        fs::read_to_string(self.home().join("api-key")).expect("a key").trim().to_owned()
    }

    pub fn jobs(&self) -> Vec<Value> {
        self.json(&["jobs", "--json"]).as_array().expect("a list").clone()
    }

    /// The jobs that calls have used; others wait for theirs.
    pub fn used_jobs(&self) -> Vec<Value> {
        let is_used = |job: &Value| job["call"].is_string() || job["calls"] != 0;
        self.jobs().into_iter().filter(is_used).collect()
    }

    /// The stakes of the jobs that are on the chain and not settled, as the ledger knows them.
    pub fn staked(&self) -> u64 {
        let is_live = |job: &&Value| job["status"] == "locked" || job["status"] == "ended";
        let stake = |job: &Value| job["stake"].as_u64().expect("lamports");
        self.jobs().iter().filter(is_live).map(stake).sum()
    }

    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.home().join("logs").join(name)).unwrap_or_default()
    }

    /// Starts the market and waits until it is ready.
    pub fn start(self) -> Market {
        Market::start(Arc::new(self))
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// A running market. Dropped, it ends like after Ctrl-C.
pub struct Market {
    process: Option<Child>,
    pub place: Arc<Place>,
}

impl Market {
    pub fn new() -> Self {
        Place::new().start()
    }

    /// Starts a market in that place, where one may have run before.
    pub fn start(place: Arc<Place>) -> Self {
        // The first start of all fetches the model; the others wait for it instead of fetching it too.
        let fetched = cache().join("models.lock");
        let lock = File::create(&fetched).expect("a lock file");
        lock.lock().expect("locked");
        let output = File::create(place.folder.path().join("up.out")).expect("a file");
        let errors = output.try_clone().expect("a second handle");
        let process = place.up().stdout(output).stderr(errors).spawn().expect("up starts");
        let mut market = Self { process: Some(process), place };
        market.await_ready();
        market
    }

    fn await_ready(&mut self) {
        eventually("up is ready", READY_WITHIN_S, || {
            let process = self.process.as_mut().expect("up was started");
            if let Some(status) = process.try_wait().expect("up can be waited for") {
                panic!(
                    "up ended with {status}:\n{}\nworker:\n{}\ngateway:\n{}",
                    self.output(),
                    self.place.log("worker.log"),
                    self.place.log("gateway.log")
                );
            }
            self.output().contains("Ready after").then_some(())
        });
    }

    /// All that `up` has said so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.place.folder.path().join("up.out")).unwrap_or_default()
    }

    pub fn status(&self) -> Value {
        self.place.json(&["status", "--json"])
    }

    /// The only job that a call has used, once it has that status.
    pub fn await_job(&self, status: &str, within_s: u64) -> Value {
        eventually(&format!("a job that is {status}"), within_s, || {
            self.used_jobs().into_iter().find(|job| job["status"] == status)
        })
    }

    pub fn chain(&self) -> Chain {
        let endpoints = Endpoints { rpc_url: self.rpc_url(), ws_url: self.ws_url() };
        Chain::new(endpoints, Commitment::Processed)
    }

    pub fn rpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.place.rpc)
    }

    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.place.ws)
    }

    /// A JSON-RPC request to the chain.
    pub fn rpc(&self, method: &str, params: Value) -> Value {
        self.rpc_all(method, &[params]).pop().expect("one answer")
    }

    /// The same for many, in one request; the answers in the order of the questions.
    pub fn rpc_all(&self, method: &str, params: &[Value]) -> Vec<Value> {
        let asked = params.iter().enumerate().map(
            |(id, params)| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}),
        );
        let asked = Value::Array(asked.collect()).to_string();
        let json = "content-type: application/json";
        let told = crate::client::curl(&["-s", &self.rpc_url(), "-H", json, "-d", &asked]);
        let mut told: Vec<Value> =
            serde_json::from_str(&told).unwrap_or_else(|error| panic!("{method}: {error}: {told}"));
        told.sort_by_key(|answer| answer["id"].as_u64());
        assert_eq!(told.len(), params.len(), "{method}");
        let result = |mut answer: Value| {
            assert!(answer["error"].is_null(), "{method}: {answer}");
            answer["result"].take()
        };
        told.into_iter().map(result).collect()
    }

    /// Sets the chain's clock forward. Its slots go with it.
    pub fn time_travel(&self, seconds: i64) {
        let now = block_on(self.chain().clock()).expect("a clock").unix_s;
        let to_ms = (now + seconds) * 1_000;
        self.rpc("surfnet_timeTravel", json!([{"absoluteTimestamp": to_ms}]));
        eventually("the clock has moved", 10, || {
            (block_on(self.chain().clock()).ok()?.unix_s >= now + seconds - 1).then_some(())
        });
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("up runs").id()
    }

    /// The process of a part: `chain`, `worker` or `gateway`.
    pub fn part(&self, name: &str) -> u32 {
        eventually(&format!("a process of the {name}"), 30, || {
            let pid = self.status()["processes"][name]
                .as_u64()
                .and_then(|pid| u32::try_from(pid).ok())?;
            process::is_alive(pid).then_some(pid)
        })
    }

    /// kill −9 for one part. `up` starts it again.
    pub fn kill_part(&self, name: &str) {
        let pid = self.part(name);
        process::send(pid, Signal::SIGKILL);
        eventually("it is dead", 5, || (!process::is_alive(pid)).then_some(()));
    }

    /// Waits until a part that was killed is back and the market is ready.
    pub fn await_recovery(&self) {
        eventually("the market is ready again", 60, || {
            (self.status()["ready"] == true).then_some(())
        });
    }

    /// Ctrl-C, and the end of all.
    pub fn interrupt(mut self) -> (Arc<Place>, ExitStatus) {
        let status = self.end(Signal::SIGINT);
        (self.place.clone(), status)
    }

    /// kill −9 for `up` alone; all others must end by themselves.
    pub fn kill(mut self) -> Arc<Place> {
        let family = process::family(self.pid());
        assert!(family.len() >= 5, "up, chain, worker, engine, gateway: {family:?}");
        self.end(Signal::SIGKILL);
        eventually("nothing is left running", 15, || {
            family.iter().all(|pid| !process::is_alive(*pid)).then_some(())
        });
        self.place.clone()
    }

    fn end(&mut self, signal: Signal) -> ExitStatus {
        let mut process = self.process.take().expect("up runs");
        process::send(process.id(), signal);
        eventually("up has ended", END_WITHIN_S, || {
            process.try_wait().expect("up can be waited for")
        })
    }
}

impl Deref for Market {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Default for Market {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Market {
    fn drop(&mut self) {
        self.close();
        // Its worker is an honest one, whatever a test has asked of it.
        let log = self.place.log("gateway.log");
        assert!(std::thread::panicking() || !log.contains("a worker miscounts"), "{log}");
    }
}

impl Market {
    fn close(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        if std::thread::panicking() {
            eprintln!("--- up said:\n{}", self.output());
            for name in ["gateway.log", "worker.log", "chain.log"] {
                let log = self.place.log(name);
                let tail: Vec<_> = log.lines().rev().take(40).collect();
                eprintln!("--- {name}:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
        }
        // It may have ended already, which is what failed the test.
        let _ = process::try_send(process.id(), Signal::SIGTERM);
        for _ in 0..600 {
            if matches!(process.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// Runs one question to the chain.
pub fn block_on<T>(question: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(question)
}

/// Ports that were free a moment ago, all different.
fn free_ports() -> [u16; 4] {
    let held = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.each_ref().map(|port| port.local_addr().expect("bound").port())
}
