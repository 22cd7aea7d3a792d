//! Jobs from quote to payment: the shell around [`life`]. It keeps the ledger, talks to the chain
//! and wakes the calls that wait for a voucher.

mod batch;
mod choice;
mod claims;
mod clients;
mod clock;
mod error;
mod life;
mod look;
mod market;
mod quotes;
mod restore;
mod sending;
mod status;
mod sweep;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chainference_chain::terms::JobTerms;
use chainference_chain::{Chain, Keypair, Pubkey};
use chainference_market::{Lamports, Prices, Totals};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::failpoint;
use crate::ledger::{JobEnd, Ledger, StoredVoucher, Write};
pub use choice::{Serving, Wanted};
use claims::Asked;
pub use clients::Clients;
pub(crate) use clock::{ChainTime, lock};
pub use error::SettlementError;
use life::{Agreed, Command, Event, Life};
pub use life::{Gate, Policy, Refusal};
pub(crate) use market::Stall;
pub use status::Snapshot;

/// Claims that are sent at once: a burst of ended jobs must not flood the node.
const CLAIMS_AT_ONCE: usize = 16;
/// The smallest credit window, in output tokens.
const WINDOW_TOKENS_MIN: u64 = 64;
/// The window's length at the speed that is measured, in seconds.
const WINDOW_S: u64 = 2;
/// So long a call waits for its lock to become final: twice what a slow cluster takes.
const FINAL_PATIENCE: Duration = Duration::from_secs(60);

/// Limits and keys of the settlement.
pub struct Settings {
    pub operator: Arc<Keypair>,
    /// Address of the worker's record.
    pub worker: Pubkey,
    pub policy: Policy,
    pub jobs_max: usize,
    pub jobs_per_client_max: usize,
    /// The most credit of a window, by the job's output price.
    pub credit_max: Lamports,
    /// The most input tokens of one client, over all its jobs, that may be unpaid.
    pub unpaid_in_max: u64,
    /// The most that a job is served, by cost, before its lock is final; `None` where the chain never
    /// forks.
    pub unfinal_max: Option<Lamports>,
    /// So long claims that don't earn their fee wait for others.
    pub claim_company: Duration,
    pub clients: Clients,
}

/// A live job.
#[derive(Debug)]
pub struct Job {
    pub address: Pubkey,
    pub terms: JobTerms,
    life: Mutex<Life>,
    calls: Mutex<HashSet<u32>>,
    changed: watch::Sender<()>,
}

/// A cheap handle.
#[derive(Clone)]
pub struct Settlement(Arc<Shared>);

struct Shared {
    chain: Chain,
    ledger: Ledger,
    settings: Settings,
    time: ChainTime,
    jobs: Mutex<HashMap<Pubkey, Arc<Job>>>,
    tokens_per_s: AtomicU64,
    is_draining: AtomicBool,
    /// The owner has said that the worker leaves the market.
    is_retiring: AtomicBool,
    claims: mpsc::UnboundedSender<Asked>,
    claims_at_once: Semaphore,
    tasks: TaskTracker,
    /// Ends what waits for a chain that is away.
    stop: CancellationToken,
}

impl Job {
    fn new(terms: JobTerms, life: Life, calls: HashSet<u32>) -> Arc<Self> {
        Arc::new(Self {
            address: terms.job(),
            terms,
            life: Mutex::new(life),
            calls: Mutex::new(calls),
            changed: watch::Sender::new(()),
        })
    }

    /// Changes whenever a voucher arrives or the job ends.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub fn produced(&self) -> Totals {
        lock(&self.life).produced()
    }

    /// Whether the voucher that is held covers this much input.
    pub fn is_input_vouched(&self, tokens_in: u64) -> bool {
        lock(&self.life).vouched().tokens_in >= tokens_in
    }
}

impl Settlement {
    /// A live job of this worker.
    pub fn job(&self, job: &Pubkey) -> Result<Arc<Job>, SettlementError> {
        lock(&self.0.jobs).get(job).cloned().ok_or(SettlementError::UnknownJob)
    }

    /// Begins a call of a job that the chain shows locked. A number is taken once, also after a
    /// restart. [`Self::end_call`] must follow.
    pub async fn begin_call(&self, job: &Arc<Job>, call: u32) -> Result<(), SettlementError> {
        if lock(&job.life).is_quoted() {
            self.0.see_locked(job).await?;
        }
        let now_unix_s = self.0.time.now_unix_s();
        lock(&job.life).admits_call(now_unix_s)?;
        if !lock(&job.calls).insert(call) {
            return Err(SettlementError::Replayed);
        }
        self.tell(job, Event::CallBegan);
        Ok(())
    }

    /// Counts a call's prompt, unless the stake can't pay for it, or the client owes for too many
    /// prompts already.
    pub fn accept_input(&self, job: &Job, tokens_in: u64) -> Result<Totals, SettlementError> {
        // Held until the prompt is counted: two calls of a client must not both fit into what is left.
        let jobs = lock(&self.0.jobs);
        let of_client = jobs.values().filter(|other| other.terms.vault == job.terms.vault);
        let unpaid = of_client.map(|other| lock(&other.life).unpaid_input());
        let unpaid_tokens = unpaid.fold(tokens_in, u64::saturating_add);
        let max_tokens = self.0.settings.unpaid_in_max;
        if unpaid_tokens > max_tokens {
            return Err(Refusal::UnpaidInput { unpaid_tokens, max_tokens }.into());
        }
        Ok(lock(&job.life).accept_input(tokens_in)?)
    }

    /// How long a call waits at a closed gate: `for_voucher`, or longer where it may be the lock that
    /// is waited for.
    pub fn patience(&self, job: &Job, for_voucher: Duration) -> Duration {
        if lock(&job.life).is_final() { for_voucher } else { for_voucher.max(FINAL_PATIENCE) }
    }

    /// Stores that a call has begun. Nothing waits for it: what is owed is in the vouchers, and a call whose row a crash takes
    /// can at most be made once more, unpaid.
    pub async fn store_call(&self, job: &Job, call: u32) -> Result<(), SettlementError> {
        let now_unix_s = self.0.time.now_unix_s();
        let write = Write::BeginCall { job: job.address, call, now_unix_s };
        Ok(self.0.ledger.note(write).await?)
    }

    /// Ends a begun call; `totals` are its own tokens.
    pub async fn end_call(&self, job: &Arc<Job>, call: u32, totals: Totals, outcome: &'static str) {
        let now_unix_s = self.0.time.now_unix_s();
        let write = Write::EndCall { job: job.address, call, totals, outcome, now_unix_s };
        if let Err(error) = self.0.ledger.write(write).await {
            tracing::error!(%error, job = %job.address, "the end of a call could not be stored");
        }
        self.tell(job, Event::CallEnded);
    }

    /// Whether `tokens_out` more tokens of this job may be sent; counts them if so. The second value
    /// asks for a voucher.
    pub fn pass(&self, job: &Job, tokens_out: u64) -> (Gate, bool) {
        let mut life = lock(&job.life);
        let window = self.window_tokens(life.prices());
        let gate = life.gate(tokens_out, window);
        let ask = matches!(gate, Gate::Open { .. }) && life.count_output(tokens_out, window);
        (gate, ask)
    }

    /// What [`Self::pass`] would say of the next token, without counting it.
    pub fn gate(&self, job: &Job) -> Gate {
        let life = lock(&job.life);
        life.gate(1, self.window_tokens(life.prices()))
    }

    /// Stores a voucher whose signature was checked. It is on disk when this returns.
    pub async fn voucher(
        &self,
        job: &Arc<Job>,
        voucher: StoredVoucher,
        is_last: bool,
    ) -> Result<(), SettlementError> {
        if lock(&job.life).is_quoted() {
            self.0.see_locked(job).await?;
        }
        {
            let life = lock(&job.life);
            let window = self.window_tokens(life.prices());
            life.admits_voucher(voucher.totals, window, &self.0.settings.policy)?;
        }
        let now_unix_s = self.0.time.now_unix_s();
        let write = Write::Voucher { job: job.address, voucher, is_last, now_unix_s };
        if !self.0.ledger.write(write).await? {
            return Err(Refusal::GoesBack.into());
        }
        failpoint::reached("voucher stored");
        self.tell(job, Event::Vouched { voucher, is_last });
        Ok(())
    }

    /// Whether an ended job had already covered this voucher: a client that lost the answer may post
    /// its last one again.
    pub async fn was_covered(&self, job: &Pubkey, totals: Totals) -> Result<bool, SettlementError> {
        let stored = self.0.ledger.job(job).await?;
        let held = stored.and_then(|stored| stored.voucher);
        Ok(held.is_some_and(|held| held.totals.covers(totals)))
    }

    /// The credit window, in output tokens, at this output price.
    fn window_tokens(&self, prices: Prices) -> u64 {
        let by_speed = self.0.tokens_per_s.load(Ordering::Relaxed).saturating_mul(WINDOW_S);
        let credit = u128::from(self.0.settings.credit_max.0) * 1_000_000;
        let by_money = credit.checked_div(u128::from(prices.output_per_mtok));
        let by_money =
            by_money.map_or(u64::MAX, |tokens| u64::try_from(tokens).unwrap_or(u64::MAX));
        by_speed.max(WINDOW_TOKENS_MIN).min(by_money).max(1)
    }

    /// Learns how fast calls run, for the credit window: one part in four is the newest.
    pub fn observe_speed(&self, tokens_per_s: u64) {
        let learn = |old: u64| if old == 0 { tokens_per_s } else { (3 * old + tokens_per_s) / 4 };
        let speed = &self.0.tokens_per_s;
        let _ = speed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(learn(old)));
    }

    pub fn live_jobs(&self) -> usize {
        lock(&self.0.jobs).len()
    }

    pub fn now_unix_s(&self) -> i64 {
        self.0.time.now_unix_s()
    }

    fn tell(&self, job: &Arc<Job>, event: Event) {
        self.0.tell(job, event);
    }
}

impl Shared {
    /// Tells a job what happened and starts what must be done about it.
    fn tell(self: &Arc<Self>, job: &Arc<Job>, event: Event) {
        let command = self.handle(job, event);
        if command != Command::Nothing {
            let (shared, job) = (Arc::clone(self), Arc::clone(job));
            self.tasks.spawn(async move { shared.carry_out(job, command).await });
        }
    }

    fn handle(&self, job: &Job, event: Event) -> Command {
        let now_unix_s = self.time.now_unix_s();
        let command = lock(&job.life).handle(event, now_unix_s, &self.settings.policy);
        job.changed.send_replace(());
        command
    }

    /// Runs a command and those that its outcome brings.
    async fn carry_out(self: Arc<Self>, job: Arc<Job>, mut command: Command) {
        loop {
            let event = match command {
                Command::Nothing => return,
                Command::Claim(due) => {
                    self.claims.send(Asked { job, due }).ok(); // else it stops: the ledger knows
                    return;
                }
                Command::Look => match self.look(&job).await {
                    Ok(seen) => Event::Seen(seen),
                    Err(_) => return, // the next tick tries again
                },
                Command::End(end) => return self.end(&job, end).await,
            };
            command = self.handle(&job, event);
        }
    }

    async fn end(&self, job: &Job, end: JobEnd) {
        let now_unix_s = self.time.now_unix_s();
        let write = Write::EndJob { job: job.address, end, now_unix_s };
        if let Err(error) = self.ledger.write(write).await {
            tracing::error!(%error, job = %job.address, "the end of a job could not be stored");
        }
        lock(&self.jobs).remove(&job.address);
        crate::metrics::job_ended(end);
        tracing::info!(job = %job.address, ?end, "job ended");
    }
}

fn agreed(terms: &JobTerms, unfinal_max: Option<Lamports>) -> Agreed {
    Agreed {
        stake: Lamports(terms.stake),
        serve_until_unix_s: terms.serve_until_unix_s,
        quote_last_valid_block_height: terms.last_valid_block_height,
        unfinal_max,
    }
}
