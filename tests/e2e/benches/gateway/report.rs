//! The figures for scripts and for people.

use std::path::Path;
use std::process::ExitCode;

use chainference_testkit::bench::{Spread, commit};
use serde_json::{Map, Value, json};

use crate::correct::Books;
use crate::figures::Figures;
use crate::peers;
use crate::settings::Settings;
use crate::slow::Slow;
use crate::target::Who;
use crate::targets::Wanted;
use crate::workload::{Point, Size};

/// What a run is about, from this package's folder.
const MEASURED: &[&str] = &["../../gateway", "../../crates", "../../worker/src", "benches"];
const ALL: [Who; 7] =
    [Who::Upstream, Who::Off, Who::Session, Who::PerCall, Who::Smg, Who::Litellm, Who::Portkey];
/// How settlement's p99 is made.
const SUBTRACTED: &str = "p99 of the calls through the gateway that settles (worker, seal, engine's pipes and all) less p99 of the \
     calls through the gateway with settlement off in front of the upstream; both of all rounds, 16 calls one after the other; the worse of \
     whole answers and first tokens";

pub struct Report<'a> {
    pub settings: &'a Settings,
    pub figures: Figures,
    pub slow: Slow,
    pub books: Vec<Books>,
}

impl Report<'_> {
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let json = serde_json::to_string_pretty(&self.json())?;
        std::fs::write(folder.join("gateway.json"), json + "\n")?;
        std::fs::write(folder.join("gateway.md"), self.markdown())
    }

    fn json(&self) -> Value {
        let figures = &self.figures;
        let ratio = |point| figures.added_vs_smg(point).map(|ratio| ratio.median());
        let spread = |point| figures.added_vs_smg(point).map(|ratio| ratio.json());
        let (plain, stream) = (Point::Whole(Size::Kb1), Point::First);
        let added = |point| {
            [Who::PerCall, Who::Session]
                .map(|who| (who.name().to_owned(), json!(figures.settlement_added_p99(who, point))))
        };
        let each_burst = |point| {
            [Who::PerCall, Who::Session].map(|who| {
                (who.name().to_owned(), json!(figures.settlement_added_p99s(who, point)))
            })
        };
        let by_who = ALL.into_iter().map(|who| (who.name().to_owned(), self.gateway(who)));
        json!({
            "commit": commit(MEASURED),
            "peers": peers::VERSIONS,
            "rounds": self.settings.rounds,
            "load": Spread::of(figures.loads.iter().copied()).json(),
            "ratios": { "added_plain_vs_smg": ratio(plain), "added_stream_vs_smg": ratio(stream) },
            "ratio_spreads": { "added_plain_vs_smg": spread(plain), "added_stream_vs_smg": spread(stream) },
            "settlement_added_ms_p99": {
                "per_call": figures.settlement_added_worst(Who::PerCall),
                "session": figures.settlement_added_worst(Who::Session),
            },
            "settlement_added_ms_p99_by": {
                "subtracted": SUBTRACTED,
                "plain": Map::from_iter(added(Point::BurstWhole)),
                "first_token": Map::from_iter(added(Point::BurstFirst)),
                "spaced_plain": Map::from_iter(added(Point::SpacedWhole)),
                "spaced_first_token": Map::from_iter(added(Point::SpacedFirst)),
            },
            "settlement_added_ms_p99_each_burst": {
                "plain": Map::from_iter(each_burst(Point::BurstWhole)),
                "first_token": Map::from_iter(each_burst(Point::BurstFirst)),
            },
            "gateways": Map::from_iter(by_who),
            "slow_sockets": self.slow.json(),
            "books": Map::from_iter(self.books.iter().map(|books| (books.who.name().to_owned(), books.json()))),
            "targets": self.wanted().iter().map(Wanted::json).collect::<Vec<_>>(),
        })
    }

    /// Medians of the rounds, in quartiles; what is added beside what it took.
    fn gateway(&self, who: Who) -> Value {
        let figures = &self.figures;
        let mut all = Map::new();
        for point in Point::ALL.into_iter().chain(Point::BURSTS).chain(Point::SPACED) {
            if !figures.has(who, point) {
                continue;
            }
            let mut one = Spread::of(figures.medians(who, point)).json();
            if !point.is_rate() {
                one["p99"] = json!(figures.p99(who, point));
                one["added"] = Spread::of(figures.added(who, point)).json();
                one["added"]["p99"] = json!(figures.added_p99(who, point));
            }
            all.insert(point.name(), one);
        }
        if let Some(usage) = figures.usage.get(&who) {
            all.insert("cpu_s_per_1000_calls".into(), json!(usage.cpu_s_per_1000()));
            all.insert("resident_mb".into(), json!(usage.resident_mb));
        }
        Value::Object(all)
    }

    pub fn markdown(&self) -> String {
        let load = Spread::of(self.figures.loads.iter().copied());
        let wanted: String = self.wanted().iter().map(Wanted::row).collect();
        let books: String =
            self.books.iter().map(|books| format!("- {}\n", books.sentence())).collect();
        format!(
            "Commit {}; {}; {} rounds; load {}.\n\n\
             | Targets | figure | wanted |  |\n|---|---|---|---|\n{wanted}\n{}\n{}\n{}\n{}\n{}\n\nThe books after all of it:\n\n{books}",
            commit(MEASURED),
            peers::VERSIONS,
            self.settings.rounds,
            load.text(1),
            self.added(),
            self.throughput(),
            self.settlement("16 calls, one after the other", "burst", Point::BURSTS),
            self.settlement("A call each 40 ms", "round", Point::SPACED),
            self.slow.sentence(),
        )
    }

    fn known(&self, whose: Point) -> impl Iterator<Item = Who> {
        ALL.into_iter().filter(move |who| self.figures.has(*who, whose))
    }

    fn added(&self) -> String {
        let mut text =
            "| Added ms | 1 KB | p99 | 50 KB | 400 KB | first token | p99 | between two tokens |\n\
                        |---|---|---|---|---|---|---|---|\n"
                .to_owned();
        let figures = &self.figures;
        let (plain, first) = (Point::Whole(Size::Kb1), Point::First);
        for who in self.known(plain) {
            // The upstream alone is what others add to.
            let cell = |point| {
                let alone = who == Who::Upstream;
                let all =
                    if alone { figures.medians(who, point) } else { figures.added(who, point) };
                text_of(all, 2)
            };
            let p99 = |point| {
                let alone = who == Who::Upstream;
                let p99 =
                    if alone { figures.p99(who, point) } else { figures.added_p99(who, point) };
                if p99.is_nan() { "–".to_owned() } else { format!("{p99:.2}") }
            };
            text += &format!(
                "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
                who.words(),
                cell(plain),
                p99(plain),
                cell(Point::Whole(Size::Kb50)),
                cell(Point::Whole(Size::Kb400)),
                cell(first),
                p99(first),
                cell(Point::Between),
            );
        }
        text
    }

    fn throughput(&self) -> String {
        let mut text =
            "| Calls/s | 1 connection | 16 | 64 | streams/s at 16 | CPU-s per 1,000 calls | MB |\n\
                        |---|---|---|---|---|---|---|\n"
                .to_owned();
        let figures = &self.figures;
        for who in self.known(Point::Rate(1)) {
            let cell = |point| text_of(figures.medians(who, point), 0);
            let usage = figures.usage.get(&who).map_or("– | –".to_owned(), |usage| {
                format!("{:.2} | {:.0}", usage.cpu_s_per_1000(), usage.resident_mb)
            });
            text += &format!(
                "| {} | {} | {} | {} | {} | {usage} |\n",
                who.words(),
                cell(Point::Rate(1)),
                cell(Point::Rate(16)),
                cell(Point::Rate(64)),
                cell(Point::StreamRate(16)),
            );
        }
        text
    }

    /// What settlement adds to plain calls and to first tokens.
    fn settlement(&self, how: &str, unit: &str, [whole, first]: [Point; 2]) -> String {
        let mut text = format!(
            "| {how}, ms | whole answer | p99 | first token | p99 | p99 beyond settlement off | each {unit}'s |\n\
             |---|---|---|---|---|---|---|\n"
        );
        let figures = &self.figures;
        for who in self.known(whole) {
            let cell = |point| text_of(figures.medians(who, point), 2);
            let both = |of: &dyn Fn(Point) -> String| match who.settles() {
                true => format!("{}, {}", of(whole), of(first)),
                false => "–".to_owned(),
            };
            let beyond = both(&|point| format!("{:.2}", figures.settlement_added_p99(who, point)));
            let each = both(&|point| text_of(figures.settlement_added_p99s(who, point), 2));
            text += &format!(
                "| {} | {} | {:.2} | {} | {:.2} | {beyond} | {each} |\n",
                who.words(),
                cell(whole),
                figures.p99(who, whole),
                cell(first),
                figures.p99(who, first),
            );
        }
        text
    }

    pub fn verdict(&self) -> ExitCode {
        let missed: Vec<Wanted> =
            self.wanted().into_iter().filter(|wanted| !wanted.is_met()).collect();
        for wanted in &missed {
            eprint!("missed: {}", wanted.row());
        }
        if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// What was not measured has no figure.
fn text_of(figures: Vec<f64>, decimals: usize) -> String {
    if figures.is_empty() { "–".into() } else { Spread::of(figures).text(decimals) }
}
