//! What is asked, and how long the answers take.

use std::time::{Duration, Instant};

use crate::client::Connection;
use crate::target::{Target, Who};

/// Whatever ended a run.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The name under which the upstream serves.
pub const MODEL: &str = "bench-model";
pub const TOKENS_IN: usize = 20;
/// Between two tokens of a paced answer.
pub const PACE: Duration = Duration::from_millis(4);

/// An answer's form. Upstream and engine know it by the most tokens that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Not streamed.
    Whole,
    /// Streamed, all tokens at once.
    AtOnce,
    /// Streamed, a token a while.
    Paced,
}

impl Kind {
    pub fn tokens_max(self) -> u64 {
        match self {
            Self::Whole => 100,
            Self::AtOnce => 64,
            Self::Paced => 16,
        }
    }

    pub fn of_tokens_max(most: u64) -> Self {
        [Self::AtOnce, Self::Paced]
            .into_iter()
            .find(|kind| kind.tokens_max() == most)
            .unwrap_or(Self::Whole)
    }

    /// How long the answer is.
    pub fn tokens(self) -> usize {
        match self {
            Self::Whole | Self::AtOnce => 64,
            Self::Paced => 16,
        }
    }

    /// As the body of a request has it, wherever in its first and last bytes.
    pub fn asked(body: &[u8]) -> Self {
        const NAME: &[u8] = b"_tokens\"";
        let (head, tail) =
            (&body[..body.len().min(512)], &body[body.len().saturating_sub(2_048)..]);
        let number = |part: &[u8]| {
            let at = part.windows(NAME.len()).position(|window| window == NAME)?;
            let digits = part[at + NAME.len()..].iter().skip_while(|byte| !byte.is_ascii_digit());
            let digits: Vec<u8> =
                digits.take_while(|byte| byte.is_ascii_digit()).copied().collect();
            String::from_utf8(digits).ok()?.parse().ok()
        };
        Self::of_tokens_max(number(head).or_else(|| number(tail)).unwrap_or(0))
    }
}

/// Of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    Kb1,
    Kb50,
    Kb400,
}

impl Size {
    pub fn kb(self) -> usize {
        match self {
            Self::Kb1 => 1,
            Self::Kb50 => 50,
            Self::Kb400 => 400,
        }
    }

    /// Prose, with line ends, which JSON escapes.
    pub fn text(self) -> String {
        let words =
            "The upstream answers at once, and what a call takes longer is the gateway's.\n";
        // A request has about 200 bytes beside its text.
        words.chars().cycle().take(self.kb() * 1_024 - 200).collect()
    }
}

/// One figure, or one figure a call, of a gateway in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// The whole answer, in ms, one call after the other.
    Whole(Size),
    /// The first token of a streamed answer.
    First,
    /// Between two tokens of a paced answer.
    Between,
    /// The whole answer and the first token of a few calls, one after the other …
    BurstWhole,
    BurstFirst,
    /// … and of calls that come a while apart.
    SpacedWhole,
    SpacedFirst,
    /// Calls a second, at so many connections.
    Rate(usize),
    StreamRate(usize),
}

impl Point {
    pub const ALL: [Self; 9] = [
        Self::Whole(Size::Kb1),
        Self::Whole(Size::Kb50),
        Self::Whole(Size::Kb400),
        Self::First,
        Self::Between,
        Self::Rate(1),
        Self::Rate(16),
        Self::Rate(64),
        Self::StreamRate(16),
    ];
    /// What settlement adds to: no more calls at once than jobs of their own can be ready.
    pub const BURSTS: [Self; 2] = [Self::BurstWhole, Self::BurstFirst];
    pub const SPACED: [Self; 2] = [Self::SpacedWhole, Self::SpacedFirst];

    pub fn name(self) -> String {
        match self {
            Self::Whole(size) => format!("plain_{}kb_ms", size.kb()),
            Self::First => "first_token_ms".into(),
            Self::Between => "between_tokens_ms".into(),
            Self::BurstWhole => "burst_plain_ms".into(),
            Self::BurstFirst => "burst_first_token_ms".into(),
            Self::SpacedWhole => "spaced_plain_ms".into(),
            Self::SpacedFirst => "spaced_first_token_ms".into(),
            Self::Rate(connections) => format!("calls_per_s_{connections}"),
            Self::StreamRate(connections) => format!("streams_per_s_{connections}"),
        }
    }

    /// Jobs of their own can be had for some calls at once; the peers have nothing to be compared with there.
    pub fn is_for(self, who: Who) -> bool {
        let is_ours = Self::BURSTS.contains(&self) || Self::SPACED.contains(&self);
        match who {
            Who::PerCall => is_ours,
            Who::Smg | Who::Litellm => !is_ours,
            // Its streams fail here.
            Who::Portkey => matches!(self, Self::Whole(_) | Self::Rate(_)),
            // Its paced tokens come from another clock.
            Who::Session => self != Self::Between,
            Who::Upstream | Who::Off => true,
        }
    }

    pub fn is_rate(self) -> bool {
        matches!(self, Self::Rate(_) | Self::StreamRate(_))
    }

    pub fn kind(self) -> Kind {
        match self {
            Self::Whole(_) | Self::BurstWhole | Self::SpacedWhole | Self::Rate(_) => Kind::Whole,
            Self::First | Self::BurstFirst | Self::SpacedFirst | Self::StreamRate(_) => {
                Kind::AtOnce
            }
            Self::Between => Kind::Paced,
        }
    }

    fn size(self) -> Size {
        if let Self::Whole(size) = self { size } else { Size::Kb1 }
    }

    pub fn calls(self) -> usize {
        match self {
            Self::Whole(Size::Kb1) | Self::First => 40,
            Self::Whole(_) => 8,
            Self::Between => 3,
            Self::BurstWhole | Self::BurstFirst => BURST_CALLS,
            Self::SpacedWhole | Self::SpacedFirst => SPACED_CALLS,
            Self::Rate(_) | Self::StreamRate(_) => 0,
        }
    }
}

/// How long connections ask for a rate.
const RATE_FOR: Duration = Duration::from_millis(300);
/// Spaced calls begin so long after the last.
const SPACE: Duration = Duration::from_millis(40);
const SPACED_CALLS: usize = 10;
/// Of the 24 jobs that may be ready at one worker.
const BURST_CALLS: usize = 16;

/// A figure for a rate, and one for each call otherwise; with the calls that were made.
pub async fn measure(target: &Target, point: Point) -> Result<(Vec<f64>, usize), Failed> {
    let request = target.request(point.kind(), point.size());
    if let Point::Rate(connections) | Point::StreamRate(connections) = point {
        let (rate, calls) = rate(target, &request, connections).await?;
        return Ok((vec![rate], calls));
    }
    let mut connection = Connection::new(target.address);
    // The first call has no connection yet, neither to the gateway nor from it.
    connection.ask(&request).await?;
    let mut figures = Vec::new();
    for _ in 0..point.calls() {
        let began = Instant::now();
        let answer = connection.ask(&request).await?;
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        expect_all(answer.tokens.len(), point.kind())?;
        match point {
            Point::Whole(_) | Point::BurstWhole | Point::SpacedWhole => {
                figures.push(ms(answer.whole))
            }
            Point::First | Point::BurstFirst | Point::SpacedFirst => {
                figures.push(ms(answer.tokens[0]))
            }
            Point::Between => {
                figures.extend(answer.tokens.windows(2).map(|two| ms(two[1] - two[0])));
            }
            Point::Rate(_) | Point::StreamRate(_) => {}
        }
        if Point::SPACED.contains(&point) {
            tokio::time::sleep(SPACE.saturating_sub(began.elapsed())).await;
        }
    }
    Ok((figures, point.calls() + 1))
}

fn expect_all(tokens: usize, kind: Kind) -> Result<(), Failed> {
    if tokens == kind.tokens() {
        return Ok(());
    }
    Err(format!("{tokens} of {} tokens came", kind.tokens()).into())
}

/// Calls a second, and all that were made.
async fn rate(target: &Target, request: &[u8], connections: usize) -> Result<(f64, usize), Failed> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut connection = Connection::new(target.address);
        connection.ask(request).await?;
        open.push(connection);
    }
    let began = Instant::now();
    let asking = open.into_iter().map(|mut connection| {
        let request = request.to_vec();
        tokio::spawn(async move {
            let mut calls = 0;
            while began.elapsed() < RATE_FOR {
                connection.ask(&request).await?;
                calls += 1;
            }
            Ok::<_, Failed>(calls)
        })
    });
    let asking: Vec<_> = asking.collect();
    let mut calls = 0;
    for asked in asking {
        calls += asked.await??;
    }
    let rate = f64::from(calls) / began.elapsed().as_secs_f64();
    Ok((rate, calls as usize + connections))
}
