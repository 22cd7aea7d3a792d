//! Whether the books hold under load: every call has its row, every token delivered is vouched for once, and what the
//! chain moved is what the ledger says.

use chainference_e2e::stranger::Purse;
use serde_json::{Value, json};

use crate::client::Connection;
use crate::ours::Settling;
use crate::target::{Target, Who};
use crate::workload::{Failed, Kind, Size};

const CONNECTIONS: usize = 8;
/// Every so many calls a client leaves in the middle of its answer.
const LEAVES_EVERY: usize = 5;
/// After so many tokens.
const STAYS_FOR: usize = 5;
const SETTLED_WITHIN_S: u64 = 150;

/// What clients saw of a gateway, over the whole run.
#[derive(Clone, Copy, Default)]
pub struct Seen {
    pub asked: usize,
    /// Got their whole answer.
    pub answered: usize,
    /// Left in the middle.
    pub left: usize,
    /// Were told to come again.
    pub busy: usize,
    pub tokens: usize,
}

impl Seen {
    /// Calls that were answered with whole answers.
    pub fn whole(calls: usize, kind_tokens: usize) -> Self {
        let tokens = calls * kind_tokens;
        Self { asked: calls, answered: calls, tokens, ..Self::default() }
    }

    pub fn add(&mut self, more: Self) {
        self.asked += more.asked;
        self.answered += more.answered;
        self.left += more.left;
        self.busy += more.busy;
        self.tokens += more.tokens;
    }
}

/// Calls at many connections, some of which are left.
pub async fn press(target: &Target, calls: usize) -> Result<Seen, Failed> {
    let whole = target.request(Kind::Whole, Size::Kb1);
    let paced = target.request(Kind::Paced, Size::Kb1);
    let asking: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (mut connection, whole, paced) =
                (Connection::new(target.address), whole.clone(), paced.clone());
            tokio::spawn(async move {
                let mut seen = Seen::default();
                for number in 1..=calls / CONNECTIONS {
                    let leaves = number % LEAVES_EVERY == 0;
                    let answer = match leaves {
                        true => connection.ask_until(&paced, STAYS_FOR).await,
                        false => connection.ask(&whole).await,
                    };
                    seen.asked += 1;
                    match answer {
                        Ok(answer) => {
                            seen.tokens += answer.tokens.len();
                            if leaves { seen.left += 1 } else { seen.answered += 1 }
                        }
                        // All places of the worker are taken for a moment.
                        Err(error) if error.to_string().starts_with("429:") => seen.busy += 1,
                        Err(error) if error.to_string().starts_with("503:") => seen.busy += 1,
                        Err(error) => return Err(error),
                    }
                }
                Ok::<_, Failed>(seen)
            })
        })
        .collect();
    let mut seen = Seen::default();
    for asked in asking {
        seen.add(asked.await??);
    }
    Ok(seen)
}

/// The ledger and the chain, once all is settled, beside what clients saw.
pub struct Books {
    pub who: Who,
    pub seen: Seen,
    rows: u64,
    /// Of all calls, and of all jobs' highest vouchers.
    call_tokens: [u64; 2],
    vouched_tokens: [u64; 2],
    jobs: usize,
    faults: Vec<String>,
}

impl Books {
    /// Ends the gateway first: what is still on its way is settled then.
    pub fn close(settling: Settling<'_>, before: Purse, seen: Seen) -> Self {
        let Settling { stranger, gateway, target } = settling;
        gateway.stop();
        // What did not settle in time is for the next start.
        let mode = if target.who == Who::Session { "session" } else { "per-call" };
        let gateway = stranger.start(mode, &[], &[]);
        let jobs = stranger.audit(before, SETTLED_WITHIN_S);
        gateway.stop();
        let spend = stranger.place.json(&["spend", "--json"])["spend"].clone();
        let spend = spend.as_array().expect("a list");
        let sum = |of: &[Value], name: &str| -> u64 {
            of.iter().filter_map(|one| one[name].as_u64()).sum()
        };
        let tokens = |of: &[Value]| ["tokens_in", "tokens_out"].map(|name| sum(of, name));
        let mut books = Self {
            who: target.who,
            seen,
            rows: sum(spend, "calls"),
            call_tokens: tokens(spend),
            vouched_tokens: tokens(&jobs),
            jobs: jobs.len(),
            faults: Vec::new(),
        };
        books.find_faults(&jobs, sum(spend, "reserved_lamports"));
        let (cost, paid) = (sum(spend, "cost_lamports"), sum(&jobs, "paid"));
        if cost != paid {
            books.faults.push(format!("calls cost {cost} lamports, jobs {paid}"));
        }
        books
    }

    fn find_faults(&mut self, jobs: &[Value], reserved: u64) {
        let Seen { asked, left, tokens, .. } = self.seen;
        let mut hold = |is_so: bool, fault: String| {
            if !is_so {
                self.faults.push(fault);
            }
        };
        hold(self.rows == asked as u64, format!("{} rows for {asked} calls", self.rows));
        hold(
            self.call_tokens == self.vouched_tokens,
            format!(
                "calls of {:?} tokens, vouchers of {:?}",
                self.call_tokens, self.vouched_tokens
            ),
        );
        // Who leaves may have been sent more than was read, but no more than there was.
        let (least, most) =
            (tokens as u64, (tokens + left * (Kind::Paced.tokens() - STAYS_FOR)) as u64);
        let delivered = self.call_tokens[1];
        hold(
            (least..=most).contains(&delivered),
            format!("{delivered} tokens booked, {least} to {most} delivered"),
        );
        hold(reserved == 0, format!("{reserved} lamports of budgets still reserved"));
        for job in jobs {
            let error = job["error"].as_str().unwrap_or_default();
            hold(!error.contains("vouched"), format!("job {}: {error}", job["id"]));
        }
    }

    pub fn is_right(&self) -> bool {
        self.faults.is_empty()
    }

    pub fn json(&self) -> Value {
        let Seen { asked, answered, left, busy, .. } = self.seen;
        json!({
            "calls": asked, "answered": answered, "left": left, "busy": busy, "rows": self.rows, "jobs": self.jobs,
            "tokens_of_calls": self.call_tokens, "tokens_vouched": self.vouched_tokens, "faults": self.faults,
        })
    }

    pub fn sentence(&self) -> String {
        let Seen { asked, answered, left, busy, .. } = self.seen;
        let verdict = match self.faults.as_slice() {
            [] => "equal, and so is the chain to the lamport".to_owned(),
            faults => format!("FAULTS: {}", faults.join("; ")),
        };
        format!(
            "{}: {asked} calls ({answered} answered, {left} left in the middle, {busy} refused as busy), {} rows, {} jobs; tokens of calls \
             and of vouchers: {verdict}.",
            self.who.words(),
            self.rows,
            self.jobs
        )
    }
}
