//! How many threads compute: one for each core that nobody else uses. Threads of one computation wait
//! for each other many times a token, so one that has to share its core holds up all the others.
#![expect(
    unsafe_code,
    reason = "OpenMP's bound on threads is a directive of C++; the call is argued for below"
)]

use std::ffi::{c_int, c_void};
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};

use super::super::wire::Load;
use super::model::LoadError;

/// How often the machine's load is looked at. The kernel counts in hundredths of a second.
const INTERVAL: Duration = Duration::from_millis(300);
/// What others may use of a core that still counts as ours.
const TOLERATED: f64 = 0.4;

// As defined in shim/threads.cpp.
unsafe extern "C" {
    fn chainference_with_threads(
        most: c_int,
        compute: extern "C" fn(*mut c_void),
        data: *mut c_void,
    );
}

pub(super) struct Threads {
    most: u32,
    now: u32,
    /// `None` where the number is fixed, or the system doesn't tell.
    last: Option<Sample>,
}

/// Processor time used so far, in seconds.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    /// The machine's, hyperthreads too: a container may use fewer, but sees the work on all.
    cores: usize,
    /// By all processes.
    all: f64,
    own: f64,
}

impl Threads {
    /// A number that was asked for is kept to.
    pub fn new(load: &Load) -> Self {
        let most = most(load).map_or(1, i32::unsigned_abs);
        let last = if load.threads.is_some() { None } else { Sample::take() };
        Self { most, now: most, last }
    }

    /// Runs a computation of llama.cpp with as many threads as have a core to themselves.
    pub fn run<T>(&mut self, compute: impl FnOnce() -> T) -> T {
        self.look();
        if self.now == self.most { compute() } else { with_threads(self.now, compute) }
    }

    fn look(&mut self) {
        let Some(last) = self.last.filter(|last| last.at.elapsed() >= INTERVAL) else { return };
        self.last = Sample::take();
        let Some(Sample { at, cores, all, own }) = self.last else { return };
        let others = (all - last.all) - (own - last.own);
        let others = others / (at - last.at).as_secs_f64();
        self.now = fit(self.most, cores, others);
    }
}

/// Those asked for, else one for each physical core, or fewer if this process may use fewer: two threads
/// on one core only wait for each other's memory.
pub(super) fn most(load: &Load) -> Result<i32, LoadError> {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get).min(num_cpus::get_physical());
    let threads = load.threads.map_or_else(|| i32::try_from(cores), i32::try_from);
    threads.map_err(|_| LoadError::TooLarge)
}

/// The threads for `cores` of which others use so many.
fn fit(most: u32, cores: usize, others: f64) -> u32 {
    let free = cores as f64 - others.max(0.0) + TOLERATED;
    (free as u32).clamp(1, most)
}

impl Sample {
    /// `None` where there is no `/proc/stat`.
    fn take() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let ticks_per_s = sysconf(SysconfVar::CLK_TCK).ok()??;
        let all = busy_ticks(&stat)? as f64 / ticks_per_s as f64;
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let used = [usage.user_time(), usage.system_time()];
        let own = used.iter().map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6).sum();
        Some(Self { at: Instant::now(), cores: cores(&stat), all, own })
    }
}

/// What all cores have worked, by `/proc/stat`: user, nice, system and both kinds of interrupts (see
/// proc_stat(5)); waiting and what a hypervisor took are not work.
fn busy_ticks(stat: &str) -> Option<u64> {
    let of_all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = of_all.split_whitespace().map_while(|it| it.parse().ok()).collect();
    [0, 1, 2, 5, 6].iter().map(|&kind| ticks.get(kind)).sum()
}

fn cores(stat: &str) -> usize {
    let number = |line: &str| line.strip_prefix("cpu")?.chars().next()?.to_digit(10);
    stat.lines().filter_map(number).count()
}

fn with_threads<T, F: FnOnce() -> T>(most: u32, compute: F) -> T {
    struct Call<T, F> {
        compute: Option<F>,
        result: Option<T>,
    }
    extern "C" fn run<T, F: FnOnce() -> T>(call: *mut c_void) {
        // SAFETY: `with_threads` passes its own `Call` of the same types, which nothing else touches
        // until this returns.
        let call = unsafe { &mut *call.cast::<Call<T, F>>() };
        call.result = call.compute.take().map(|compute| compute());
    }
    let mut call = Call { compute: Some(compute), result: None };
    let most = c_int::try_from(most).unwrap_or(c_int::MAX);
    // SAFETY: the function calls `run` once with the pointer, on this thread, and keeps neither. A panic
    // inside can't unwind into C++: `extern "C"` makes it an abort, which the parent survives.
    unsafe { chainference_with_threads(most, run::<T, F>, (&raw mut call).cast()) };
    call.result.expect("it was run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_free_core_gets_a_thread_and_one_is_always_there() {
        for (others, threads) in
            [(0.0, 4), (0.3, 4), (0.5, 3), (1.0, 3), (2.7, 1), (9.0, 1), (-0.1, 4)]
        {
            assert_eq!(fit(4, 4, others), threads, "{others} used");
        }
        assert_eq!(fit(2, 8, 3.0), 2, "no more than are asked for");
    }

    #[test]
    fn waiting_is_no_work() {
        let stat = "cpu  1 2 3 50 60 4 5 70 80 90\ncpu0 9 9 9 9 9 9 9 9 9 9\nintr 5 5\n";
        assert_eq!((busy_ticks(stat), cores(stat)), (Some(15), 1));
        assert_eq!(busy_ticks("cpu  1 2 3\n"), None);
    }

    #[test]
    fn what_a_bounded_computation_gives_comes_back() {
        let mut list = vec![1];
        let len = with_threads(1, || {
            list.push(2);
            list.len()
        });
        assert_eq!((len, list), (2, vec![1, 2]));
    }
}
