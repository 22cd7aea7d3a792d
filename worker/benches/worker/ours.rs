//! Our worker as the gateway sees it: locked jobs, sealed calls, vouchers beside the stream.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chainference_market::Totals;
use chainference_protocol::{Delta, ErrorCode, Frame};
use tokio::sync::watch;

use crate::client::{Ask, Client, Job};
use crate::place::{Place, Worker};
use crate::settings::Settings;
use crate::workload::{Answer, Failed};

/// When the gateway vouches: half of the least credit window, or this long after the last.
const VOUCH_TOKENS: u64 = 32;
const VOUCH_INTERVAL: Duration = Duration::from_millis(250);
/// Jobs serve for ten minutes.
const JOB_LIFE: Duration = Duration::from_secs(400);
/// Pays for all calls of a job in that time.
const STAKE: u64 = 200_000_000;

/// A locked job that takes the next call.
struct Ready {
    job: Job,
    opened: Instant,
    /// The next call's number, and all that came so far.
    call: u32,
    totals: Totals,
}

pub struct Ours {
    // In the order in which they end: the worker before its chain.
    _worker: Worker,
    client: Arc<Client>,
    _place: Place,
    ready: Arc<Mutex<Vec<Ready>>>,
}

impl Ours {
    pub async fn start(settings: Settings) -> Self {
        let place = Place::new().await;
        let worker = place
            .worker(|options| {
                options.threads = NonZeroU32::new(settings.threads);
                options.context_tokens = NonZeroU32::new(settings.context_tokens);
                options.slots = NonZeroU32::new(settings.slots).expect("there are slots");
                options.tuning = settings.tuning;
                // What is measured is serving: jobs are claimed when the client says so.
                options.idle_claim_s = 3_600;
            })
            .await;
        let client = Arc::new(place.client().await);
        Self { _worker: worker, client, _place: place, ready: Arc::default() }
    }

    /// Has so many jobs published and locked, as a gateway has ahead of need.
    pub async fn get_ready(&self, count: usize) {
        let old: Vec<Ready> = {
            let mut ready = self.lock();
            let (old, young) = ready.drain(..).partition(|job| job.opened.elapsed() > JOB_LIFE);
            *ready = young;
            old
        };
        for Ready { job, totals, .. } in old {
            self.client.vouch(&job, totals, true).await.expect("the last voucher is taken");
        }
        while self.lock().len() < count {
            let job = self.client.open_job(STAKE).await;
            let fresh = Ready { job, opened: Instant::now(), call: 0, totals: Totals::ZERO };
            self.lock().push(fresh);
        }
    }

    pub async fn answer(&self, prompt: &str, max_tokens: u32) -> Result<Answer, Failed> {
        self.answer_unless_busy(prompt, max_tokens).await?.ok_or_else(|| "refused: busy".into())
    }

    /// `None` where the worker says that it is busy.
    pub async fn answer_unless_busy(
        &self,
        prompt: &str,
        max_tokens: u32,
    ) -> Result<Option<Answer>, Failed> {
        let mut ready = self.lock().pop().ok_or("no job is ready")?;
        let began = Instant::now();
        let ask = Ask::new(prompt, max_tokens);
        let call = ready.call;
        ready.call += 1; // a refused call has used its number
        let mut frames = match self.client.call(&ready.job, call, ask).await {
            Ok(frames) => frames,
            Err((429, ErrorCode::Busy)) => {
                self.lock().push(ready);
                return Ok(None);
            }
            Err((status, code)) => return Err(format!("refused: {status} {code:?}").into()),
        };
        let (wanted, newest) = watch::channel(Totals::ZERO);
        let vouching = tokio::spawn(vouch(Arc::clone(&self.client), ready.job.clone(), newest));
        let mut answer = Answer { text: String::new(), tokens_out: 0, first_s: 0.0 };
        let (mut vouched_out, mut vouched_at) = (ready.totals.tokens_out, Instant::now());
        while let Some(frame) = frames.next().await {
            match frame {
                Frame::Accepted { receipt, .. } => ready.totals = receipt.totals(),
                Frame::Delta(Delta { tokens, text, .. }) => {
                    if answer.text.is_empty() && !text.is_empty() {
                        answer.first_s = began.elapsed().as_secs_f64();
                    }
                    answer.text.push_str(&text);
                    answer.tokens_out += tokens.len() as u64;
                    ready.totals.tokens_out += tokens.len() as u64;
                }
                Frame::Error { code, .. } => return Err(format!("broke off: {code:?}").into()),
                _ => {}
            }
            let due = ready.totals.tokens_out - vouched_out >= VOUCH_TOKENS;
            if due || vouched_at.elapsed() >= VOUCH_INTERVAL {
                (vouched_out, vouched_at) = (ready.totals.tokens_out, Instant::now());
                wanted.send_replace(ready.totals);
            }
        }
        // The last voucher goes beside whatever comes next, as a gateway's does.
        wanted.send_replace(ready.totals);
        drop(wanted);
        let jobs = Arc::clone(&self.ready);
        tokio::spawn(async move {
            vouching.await.expect("vouchers are taken");
            jobs.lock().unwrap_or_else(PoisonError::into_inner).push(ready);
        });
        Ok(Some(answer))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Posts the newest totals, beside the stream.
async fn vouch(client: Arc<Client>, job: Job, mut newest: watch::Receiver<Totals>) {
    while newest.changed().await.is_ok() {
        let totals = *newest.borrow_and_update();
        client.vouch(&job, totals, false).await.expect("the voucher is taken");
    }
}
