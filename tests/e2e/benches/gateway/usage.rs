//! What processes use, as the system counts it.

use chainference_e2e::process::family;

/// Clock ticks a second, in which the system counts a process's time.
const TICKS_PER_S: f64 = 100.0;
const PAGE_MB: f64 = 4_096.0 / 1e6;

/// Seconds that the process, its children and its threads have computed so far.
pub fn cpu_s(pid: u32) -> f64 {
    let ticks = |pid: &u32| -> f64 {
        // Behind the name in parentheses: state is the first, utime the 12th, stime the 13th.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let times = fields.split_whitespace().skip(11).take(2);
        times.filter_map(|ticks| ticks.parse::<f64>().ok()).sum()
    };
    family(pid).iter().map(ticks).sum::<f64>() / TICKS_PER_S
}

/// Memory that the process and its children hold now.
pub fn resident_mb(pid: u32) -> f64 {
    let pages = |pid: &u32| -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0)
    };
    family(pid).iter().map(pages).sum::<f64>() * PAGE_MB
}
