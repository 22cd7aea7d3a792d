//! The figures for scripts and for people.

use std::path::Path;
use std::process::ExitCode;

use chainference_testkit::bench::{Spread, commit};
use serde_json::{Map, Value, json};

use crate::figures::Round;
use crate::overload::Overload;
use crate::peer::Flags;
use crate::settings::Settings;
use crate::workload::Point;

/// What must be left of the peak with ten times the calls.
const KEPT_MIN: f64 = 0.9;

/// What a run is about, from this package's folder.
const MEASURED: &[&str] = &[".", "../crates"];

/// The peer's version.
const PEER: &str = "llama-server of llama-cpp-python 0.3.36";

pub struct Report<'a> {
    pub settings: &'a Settings,
    pub flags: Flags,
    /// Prompts with the same text, of so many.
    pub same_text: (usize, usize),
    pub rounds: &'a [(Point, Round)],
    pub overload: &'a Overload,
}

/// One line: a name, what it is, and how to read it off a round.
pub struct Line {
    pub name: String,
    pub words: String,
    pub unit: &'static str,
    pub ours: Spread,
    pub theirs: Spread,
    pub ratio: Spread,
}

impl Report<'_> {
    pub fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = Point::ALL.into_iter().map(|point| self.speed(point)).collect();
        lines.insert(4, self.first_token());
        lines
    }

    fn of(&self, point: Point) -> impl Iterator<Item = &Round> {
        self.rounds.iter().filter(move |(of, _)| *of == point).map(|(_, round)| round)
    }

    fn speed(&self, point: Point) -> Line {
        let words = match point {
            Point::Streams(1) => "1 stream".into(),
            Point::Streams(count) => format!("{count} streams"),
            Point::SharedPrefix => "prompts that share 90 %, 4 at once".into(),
        };
        Line {
            name: point.name(),
            words,
            unit: "tokens/s",
            ours: Spread::of(self.of(point).map(|round| round.ours.tokens_per_s)),
            theirs: Spread::of(self.of(point).map(|round| round.theirs.tokens_per_s)),
            ratio: Spread::of(self.of(point).map(Round::speed_ratio)),
        }
    }

    fn first_token(&self) -> Line {
        let alone = Point::Streams(1);
        Line {
            name: "ttft_1".into(),
            words: "1 stream, first token".into(),
            unit: "ms",
            ours: Spread::of(self.of(alone).map(|round| round.ours.first_s * 1e3)),
            theirs: Spread::of(self.of(alone).map(|round| round.theirs.first_s * 1e3)),
            ratio: Spread::of(self.of(alone).map(Round::first_ratio)),
        }
    }

    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let json = serde_json::to_string_pretty(&self.json())?;
        std::fs::write(folder.join("worker.json"), json + "\n")?;
        std::fs::write(folder.join("worker.md"), self.markdown())
    }

    fn json(&self) -> Value {
        let lines = self.lines();
        let by_name = |of: &dyn Fn(&Line) -> Value| -> Map<String, Value> {
            lines.iter().map(|line| (line.name.clone(), of(line))).collect()
        };
        let spreads = |line: &Line| {
            json!({
                "unit": line.unit,
                "ours": line.ours.json(),
                "theirs": line.theirs.json(),
                "ratio": line.ratio.json(),
            })
        };
        let (same, of) = self.same_text;
        json!({
            "commit": commit(MEASURED),
            "peer": PEER,
            "peer_flags": self.flags.to_string(),
            "our_tuning": self.settings.tuning,
            "threads": self.settings.threads,
            "slots": self.settings.slots,
            "context_tokens": self.settings.context_tokens,
            "rounds": self.settings.rounds,
            "ratios": by_name(&|line| json!(line.ratio.median())),
            "spreads": by_name(&spreads),
            "load": Spread::of(self.rounds.iter().map(|(_, round)| round.load)).json(),
            "same_text": { "same": same, "of": of },
            "overload": self.overload.json(),
        })
    }

    pub fn markdown(&self) -> String {
        let Settings { threads, slots, context_tokens, rounds, .. } = self.settings;
        let load = Spread::of(self.rounds.iter().map(|(_, round)| round.load));
        let (same, of) = self.same_text;
        let rows: String = self.lines().iter().map(Line::row).collect();
        format!(
            "Commit {}; {PEER}, `{}`; ours with flash attention {}; SmolLM2-135M-Instruct Q4_1; {threads} threads, {slots} slots of {context_tokens} \
             tokens; {rounds} rounds; load {}.\n\n\
             | | ours | llama-server | ratio of a round, more is better |\n|---|---|---|---|\n{rows}\n\
             Medians, with the first and third quartile. The same text at temperature 0, with the same flags: {same} of \
             {of} prompts.\n\n{}",
            commit(MEASURED),
            self.flags,
            if self.settings.tuning.flash_attention == Some(true) { "on" } else { "off" },
            load.text(1),
            self.overload.sentence(),
        )
    }

    pub fn verdict(&self) -> ExitCode {
        let (same, of) = self.same_text;
        let slow: Vec<Line> =
            self.lines().into_iter().filter(|line| line.ratio.median() < 1.0).collect();
        for line in &slow {
            eprintln!("missed: {}: {:.3}, wanted at least 1", line.name, line.ratio.median());
        }
        if same < of {
            eprintln!("missed: the same text for {same} of {of} prompts");
        }
        let keeps_on = self.overload.kept() >= KEPT_MIN;
        if !keeps_on {
            eprintln!(
                "missed: {:.2} of the peak at overload, wanted {KEPT_MIN}",
                self.overload.kept()
            );
        }
        if slow.is_empty() && same == of && keeps_on {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl Line {
    fn row(&self) -> String {
        let Self { words, unit, ours, theirs, ratio, .. } = self;
        format!("| {words}, {unit} | {} | {} | {} |\n", ours.text(1), theirs.text(1), ratio.text(2))
    }
}
