//! How much memory the worker and its engines hold.

use std::fs;

/// Resident bytes of this process and of its children, the engines. 0 where the system doesn't tell.
pub(crate) fn family() -> u64 {
    let children = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let children =
        children.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<String> = children
        .flat_map(|found| found.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let children = children.iter().map(|pid| resident(pid));
    resident("self").saturating_add(children.fold(0, u64::saturating_add))
}

fn resident(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_childs_memory_counts() {
        let alone = resident("self");
        assert!(alone > 1_000_000, "{alone}");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let with_child = family();
        let childs = resident(&child.id().to_string());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(childs > 0 && with_child >= childs + alone / 2, "{with_child} {childs} {alone}");
    }
}
