//! Our gateway against others, in front of the same upstream: `make bench-gateway`.
//!
//! Everything runs on this machine: the upstream and the client in this process, each gateway in its own. Rounds
//! are paired: in each, every gateway gets the same calls, one gateway after the other, in random order. What counts is
//! the median of the rounds' ratios.
//!
//! Writes `gateway.json`, `gateway.md` and `gateway.svg` into the folder that `CHAINFERENCE_BENCH` names. Fails where
//! a target is missed, and where the books don't hold.

mod client;
mod correct;
mod engine;
mod figures;
mod ours;
mod peers;
mod plot;
mod report;
mod settings;
mod slow;
mod target;
mod targets;
mod upstream;
mod usage;
mod workload;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use chainference_testkit::bench::load;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use correct::{Books, Seen};
use figures::Figures;
use ours::{Off, Settling};
use peers::{Awake, Peer};
use report::Report;
use settings::Settings;
use slow::Slow;
use target::{Target, Who};
use workload::{Failed, Point};

/// How often each round measures what settlement adds: of fewer calls a p99 would be chance.
const BURSTS: usize = 4;
/// Before each of those.
const REST: Duration = Duration::from_millis(500);

fn main() -> Result<ExitCode, Failed> {
    // The worker starts this very program as its engine.
    if std::env::args().nth(1).as_deref() == Some("engine") {
        engine::run()?;
        return Ok(ExitCode::SUCCESS);
    }
    let settings = Settings::from_env()?;
    std::fs::create_dir_all(&settings.folder)?;
    let asking = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let upstream = upstream::start()?;
    let upstream_alone = Target {
        who: Who::Upstream,
        address: upstream,
        model: workload::MODEL.to_owned(),
        headers: Vec::new(),
        pid: None,
    };
    let off = Off::start(upstream)?;
    let peers = Peer::start_all(&settings, upstream)?;
    let market = ours::market();
    let settling = [Who::PerCall, Who::Session].map(|who| Settling::start(&market, who));
    let before = settling.each_ref().map(|one| one.stranger.purse());

    let mut all = vec![&upstream_alone, &off.target];
    all.extend(peers.iter().map(|peer| &peer.target));
    all.extend(settling.iter().map(|one| &one.target));
    all.retain(|target| settings.measures(target.who));
    let mut run =
        Run { settings: &settings, all, figures: Figures::default(), seen: BTreeMap::new() };
    asking.block_on(run.rounds(&settling))?;
    let slow = asking.block_on(Slow::measure(&off.target))?;
    for Settling { target, .. } in &settling {
        let seen = asking.block_on(correct::press(target, settings.calls))?;
        run.seen.entry(target.who).or_default().add(seen);
    }
    let Run { figures, seen, .. } = run;
    drop((off, peers));
    let closed = settling.into_iter().zip(before).map(|(one, before)| {
        let seen = seen.get(&one.target.who).copied().unwrap_or_default();
        Books::close(one, before, seen)
    });
    let books = closed.collect();
    let report = Report { settings: &settings, figures, slow, books };
    report.write(&settings.folder)?;
    plot::draw(&report.figures, &settings.folder.join("gateway.svg"))?;
    println!("{}\nWritten to {}.", report.markdown(), settings.folder.display());
    Ok(report.verdict())
}

/// A run, and what was measured so far.
struct Run<'a> {
    settings: &'a Settings,
    all: Vec<&'a Target>,
    figures: Figures,
    seen: BTreeMap<Who, Seen>,
}

impl Run<'_> {
    async fn rounds(&mut self, settling: &[Settling<'_>]) -> Result<(), Failed> {
        let mut rng = StdRng::seed_from_u64(self.settings.seed);
        for number in 0..=self.settings.rounds {
            let mut points = Point::ALL.to_vec();
            points.extend([Point::BURSTS; BURSTS].concat());
            points.extend(Point::SPACED);
            points.shuffle(&mut rng);
            for point in points {
                let mut order: Vec<&Target> = self.all.clone();
                order.retain(|target| point.is_for(target.who));
                order.shuffle(&mut rng);
                for target in order {
                    if Point::BURSTS.contains(&point) {
                        // What the last one left behind is no load of this one.
                        tokio::time::sleep(REST).await;
                    }
                    if target.who == Who::PerCall {
                        ours::get_ready(settling, point.calls()).await?;
                    }
                    self.take(target, point).await?;
                    if target.who == Who::PerCall {
                        // What follows its calls on the chain is no other gateway's load.
                        tokio::time::sleep(ours::AFTERMATH).await;
                        ours::get_ready(settling, point.calls()).await?;
                    }
                }
            }
            if number == 0 {
                // It warmed up.
                self.figures = Figures::default();
                continue;
            }
            self.figures.loads.push(load()[0]);
            println!("round {number} of {}: load {:.1}", self.settings.rounds, load()[0]);
        }
        Ok(())
    }

    /// One point of one gateway.
    async fn take(&mut self, target: &Target, point: Point) -> Result<(), Failed> {
        let _awake = Awake::keep(target).await;
        let began_s = target.pid.map(usage::cpu_s);
        let (measured, calls) = workload::measure(target, point)
            .await
            .map_err(|error| format!("{}, {}: {error}", target.who.words(), point.name()))?;
        self.figures.add(target.who, point, measured);
        let seen = Seen::whole(calls, point.kind().tokens());
        self.seen.entry(target.who).or_default().add(seen);
        if let (Some(pid), Some(began_s)) = (target.pid, began_s) {
            let usage = self.figures.usage.entry(target.who).or_default();
            usage.resident_mb = usage::resident_mb(pid);
            if matches!(point, Point::Rate(_)) {
                usage.cpu_s += usage::cpu_s(pid) - began_s;
                usage.calls += calls;
            }
        }
        Ok(())
    }
}
