//! What a person sees while something is got ready: a spinner and a bar on a terminal, plain lines elsewhere.

use std::{
    io::IsTerminal,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// The steps of one start, each shown while it runs and with its duration when it is done.
pub struct Steps {
    terminal: bool,
    began: Instant,
}

impl Steps {
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), began: Instant::now() }
    }

    /// Starts a step; it ends with [`Step::done`]. A step that is dropped leaves its line without a mark.
    pub fn begin(&self, what: &str) -> Step {
        let bar = self.terminal.then(|| {
            let bar = ProgressBar::new_spinner().with_style(style("{spinner:.cyan} {msg}"));
            bar.set_message(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        if bar.is_none() {
            eprintln!("… {what}");
        }
        Step { bar, began: Instant::now(), told_tenths: AtomicU64::new(0) }
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

pub struct Step {
    bar: Option<ProgressBar>,
    began: Instant,
    told_tenths: AtomicU64,
}

impl Step {
    /// A download's state, both in bytes. On a terminal a bar; elsewhere a line each tenth.
    pub fn bytes(&self, done: u64, total: u64, what: &str) {
        match &self.bar {
            Some(bar) => {
                if bar.length() != Some(total) {
                    bar.set_style(style("{spinner:.cyan} {msg} [{bar:30.cyan}] {bytes} of {total_bytes}, {eta} left"));
                    bar.set_length(total);
                }
                bar.set_message(what.to_owned());
                bar.set_position(done);
            }
            None => {
                let tenths = (done * 10).checked_div(total).unwrap_or(0);
                if tenths > self.told_tenths.fetch_max(tenths, Ordering::Relaxed) {
                    eprintln!("… {what}: {} of {} MB", done / 1_000_000, total / 1_000_000);
                }
            }
        }
    }

    pub fn done(self, outcome: &str) {
        let line = format!("✓ {outcome} ({:.1} s)", self.began.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => {
                bar.finish_and_clear();
                eprintln!("{line}");
            }
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
