//! The worker against llama-server, on the same file: `make bench-worker`.
//!
//! Both answer over their real HTTP: ours sealed, for vouchers, with a real chain behind; the peer by
//! its server-sent events. Rounds are paired: in each, both get the same prompts one after the other,
//! in random order, so that what else the machine does hits both alike. What counts is the median of
//! the rounds' ratios.
//!
//! Writes `worker.json`, `worker.md` and `worker.svg` into the folder that `CHAINFERENCE_BENCH`
//! names. Also fails where the two give different text for the same prompt at temperature 0.

#[expect(dead_code, reason = "made for the tests, which use more of it")]
#[path = "../../tests/market/client.rs"]
mod client;
mod figures;
mod ours;
mod overload;
mod peer;
#[expect(dead_code, reason = "made for the tests, which use more of it")]
#[path = "../../tests/market/place.rs"]
mod place;
mod plot;
mod prompts;
mod report;
mod settings;
mod workload;

use std::process::ExitCode;

use chainference_testkit::bench::load;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use figures::Round;
use ours::Ours;
use peer::{Flags, Peer};
use settings::Settings;
use workload::{Figure, Point, Target};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut settings = Settings::from_env()?;
    std::fs::create_dir_all(&settings.folder)?;
    // Apart, as two processes would be: the worker's tasks get no help from the client's threads.
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (serving, asking) = (runtime()?, runtime()?);
    let flags = asking.block_on(choose(&settings))?;
    println!("llama-server: {flags}");
    // Both with what suits the workloads: flash attention is slower with long contexts and faster with
    // short ones.
    settings.tuning.flash_attention.get_or_insert(flags.flash_attention);
    let ours = serving.block_on(serving.spawn(Ours::start(settings.clone())))?;
    let outcome = asking.block_on(run(&settings, ours, flags));
    serving.shutdown_background();
    outcome
}

async fn run(
    settings: &Settings,
    ours: Ours,
    flags: Flags,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let ours = Target::Ours(ours);
    let mut rng = StdRng::seed_from_u64(settings.seed);
    let same_text = compare_texts(settings, &ours, &mut rng).await?;
    let theirs = Target::Peer(Peer::start(settings, flags).await?);
    let mut rounds = Vec::new();
    for number in 0..=settings.rounds {
        for (point, round) in one_round(&ours, &theirs, &mut rng).await? {
            // The first warms caches up.
            if number > 0 {
                println!("{number:3} {:14} {round}", point.name());
                rounds.push((point, round));
            }
        }
    }
    let overload = ours.overload(settings.slots, &mut rng).await?;
    let report =
        report::Report { settings, flags, same_text, rounds: &rounds, overload: &overload };
    report.write(&settings.folder)?;
    plot::draw(&report, &settings.folder.join("worker.svg"))?;
    print!("{}", report.markdown());
    println!("\nWritten to {}.", settings.folder.display());
    Ok(report.verdict())
}

/// Every point once, in random order, by both.
async fn one_round(
    ours: &Target,
    theirs: &Target,
    rng: &mut StdRng,
) -> Result<Vec<(Point, Round)>, Box<dyn std::error::Error>> {
    let mut points = Point::ALL;
    points.shuffle(rng);
    let mut measured = Vec::new();
    for point in points {
        let prompts = point.prompts(rng);
        ours.get_ready(point).await;
        let mut order = [true, false];
        order.shuffle(rng);
        let (mut our_figure, mut their_figure) = (Figure::default(), Figure::default());
        for is_ours in order {
            let (target, figure) =
                if is_ours { (ours, &mut our_figure) } else { (theirs, &mut their_figure) };
            *figure = workload::measure(target, point, &prompts).await?;
        }
        let load = load()[0];
        measured.push((point, Round { ours: our_figure, theirs: their_figure, load }));
    }
    Ok(measured)
}

/// How many of the prompts both answer alike, with the same flags, each asked alone.
async fn compare_texts(
    settings: &Settings,
    ours: &Target,
    rng: &mut StdRng,
) -> Result<(usize, usize), Box<dyn std::error::Error>> {
    let flash_attention = settings.tuning.flash_attention.unwrap_or(false);
    let flags = Flags { flash_attention, ..Flags::PLAIN };
    let theirs = Target::Peer(Peer::start(settings, flags).await?);
    let mut same = 0;
    for number in 0..settings.texts {
        let prompt = prompts::story(rng);
        ours.get_ready(Point::Streams(1)).await;
        let [our_text, their_text] =
            [ours.answer(&prompt, 64).await?.text, theirs.answer(&prompt, 64).await?.text];
        if our_text == their_text {
            same += 1;
        } else {
            println!("different text, prompt {number}:\n  {our_text:?}\n  {their_text:?}");
        }
    }
    println!("the same text: {same} of {}", settings.texts);
    Ok((same, settings.texts))
}

/// The peer's flags with which it does best over all points, from a few rounds against each other.
async fn choose(settings: &Settings) -> Result<Flags, Box<dyn std::error::Error>> {
    if let Some(flags) = settings.peer_flags {
        return Ok(flags);
    }
    let rng = &mut StdRng::seed_from_u64(settings.seed);
    let mut scores = Vec::new();
    for flags in Flags::TRIED {
        scores.push((flags, Target::Peer(Peer::start(settings, flags).await?), 0.0));
    }
    for number in 0..=settings.trials {
        for point in Point::ALL {
            let prompts = point.prompts(rng);
            scores.shuffle(rng);
            for (_, peer, score) in &mut scores {
                let figure = workload::measure(peer, point, &prompts).await?;
                // The first warms up; a sum of logarithms is a product of speeds.
                if number > 0 {
                    *score += figure.score(point);
                }
            }
        }
    }
    scores.sort_by(|(_, _, one), (_, _, two)| two.total_cmp(one));
    for (flags, _, score) in &scores {
        let mean = score / (settings.trials * Point::ALL.len()) as f64;
        println!("tried {flags}: {:.1} tokens/s, geometric mean of all points", mean.exp());
    }
    scores.first().map(|(flags, _, _)| *flags).ok_or_else(|| "no flags to try".into())
}
