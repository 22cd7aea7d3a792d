use super::*;

const NOW: i64 = 1_000_000;

fn after(steps: &[fn(&mut Reputation)]) -> Reputation {
    let mut reputation = Reputation::new(NOW);
    for step in steps {
        step(&mut reputation);
    }
    reputation
}

#[test]
fn each_step_moves_its_own_counters() {
    let new = Reputation::new(NOW);
    for (steps, expected) in [
        (&[] as &[fn(&mut Reputation)], new),
        (
            &[|r| r.pay(Lamports(5)), |r| r.pay(Lamports(7))],
            Reputation { fees_completed: 12, ..new },
        ),
        (&[Reputation::completed], Reputation { jobs_completed: 1, ..new }),
        (&[|r| r.flag(Lamports(5))], Reputation { fees_flagged: 5, jobs_flagged: 1, ..new }),
        (
            &[|r| r.compare(Lamports(5), true), |r| r.compare(Lamports(7), false)],
            Reputation {
                fees_compared: 12,
                fees_preferred: 5,
                jobs_compared: 2,
                jobs_preferred: 1,
                ..new
            },
        ),
        (
            &[|r| r.time(Lamports(100), 9_999), |r| r.time(Lamports(7), 10_000)],
            Reputation { fees_timed: 107, fees_timed_fast: 106, jobs_timed: 2, ..new },
        ),
        (
            &[|r| r.audit(Lamports(5), true), |r| r.audit(Lamports(7), false)],
            Reputation {
                fees_audited: 12,
                fees_audited_ok: 5,
                jobs_audited: 2,
                jobs_audited_ok: 1,
                ..new
            },
        ),
    ] {
        assert_eq!(after(steps), expected);
    }
}

#[test]
fn a_free_job_weighs_nothing_but_is_counted() {
    let free = Lamports::ZERO;
    let mut reputation = Reputation::new(NOW);
    reputation.pay(free);
    reputation.completed();
    reputation.flag(free);
    reputation.compare(free, true);
    reputation.time(free, 0);
    reputation.audit(free, false);
    let counts = Reputation {
        jobs_completed: 1,
        jobs_flagged: 1,
        jobs_compared: 1,
        jobs_preferred: 1,
        jobs_timed: 1,
        jobs_audited: 1,
        ..Reputation::new(NOW)
    };
    assert_eq!(reputation, counts);
    assert_eq!(reputation.rating_bps(NOW, 60, 1), Reputation::new(NOW).rating_bps(NOW, 60, 1));
}

#[test]
fn full_counters_stay_full() {
    let full = Reputation {
        fees_completed: u64::MAX,
        fees_flagged: u64::MAX - 1,
        fees_compared: u64::MAX,
        fees_preferred: u64::MAX,
        fees_timed: u64::MAX,
        fees_timed_fast: u64::MAX,
        fees_audited: u64::MAX,
        fees_audited_ok: u64::MAX,
        jobs_completed: u32::MAX,
        jobs_flagged: u32::MAX,
        jobs_compared: u32::MAX,
        jobs_preferred: u32::MAX,
        jobs_timed: u32::MAX,
        jobs_audited: u32::MAX,
        jobs_audited_ok: u32::MAX,
        beats_due: u32::MAX,
        beats_kept: u32::MAX,
        beats_from_unix_s: NOW,
    };
    let mut reputation = full;
    let dear = Lamports(u64::MAX);
    reputation.pay(dear);
    reputation.completed();
    reputation.flag(dear);
    reputation.compare(dear, true);
    reputation.time(dear, 10_000);
    reputation.audit(dear, true);
    reputation.beat(i64::MAX, 1);
    let expected = Reputation { fees_flagged: u64::MAX, beats_from_unix_s: i64::MAX, ..full };
    assert_eq!(reputation, expected);
    assert_eq!(reputation.success_bps(u64::MAX), 5_000);
    assert_eq!(reputation.speed_bps(u64::MAX), 9_000);
    assert_eq!(full.uptime_bps(i64::MAX, 1), 0);
}

#[test]
fn a_speed_beyond_what_was_offered_counts_as_full_speed() {
    let mut reputation = Reputation::new(NOW);
    reputation.time(Lamports(100), u16::MAX);
    assert_eq!((reputation.fees_timed, reputation.fees_timed_fast), (100, 100));
}

#[test]
fn success_starts_from_good_jobs_and_falls_by_what_was_flagged() {
    for (completed, flagged, prior, expected) in [
        (0, 0, 0, 10_000),
        (0, 0, 1_000, 10_000),
        (1_000, 0, 1_000, 10_000),
        (1_000, 1, 0, 9_990),
        (1_000, 1_000, 0, 0),
        (1_000, 1_000, 1_000, 5_000),
        (2, 1, 1, 6_666),
        (0, 5, 1_000, 10_000),
        (1_000, 1_001, 1_000, 5_000),
    ] {
        let reputation = Reputation {
            fees_completed: completed,
            fees_flagged: flagged,
            ..Reputation::default()
        };
        assert_eq!(reputation.success_bps(prior), expected, "{completed} {flagged} {prior}");
    }
}

#[test]
fn preference_starts_from_a_half_and_the_rest_from_the_value_that_moves_no_share() {
    for (part, whole, prior, preference, neutral) in [
        (0, 0, 0, 5_000, 8_000),
        (0, 0, 1, 5_000, 8_000),
        (10, 10, 10, 7_500, 9_000),
        (0, 10, 10, 2_500, 4_000),
        (10, 10, 0, 10_000, 10_000),
        (0, 10, 0, 0, 0),
        (1, 3, 0, 3_333, 3_333),
        (11, 10, 0, 10_000, 10_000),
    ] {
        let reputation = Reputation {
            fees_compared: whole,
            fees_preferred: part,
            fees_timed: whole,
            fees_timed_fast: part,
            fees_audited: whole,
            fees_audited_ok: part,
            ..Reputation::default()
        };
        assert_eq!(reputation.preference_bps(prior), preference, "{part} {whole} {prior}");
        assert_eq!(reputation.speed_bps(prior), neutral, "{part} {whole} {prior}");
        assert_eq!(reputation.accuracy_bps(prior), neutral, "{part} {whole} {prior}");
    }
}

#[test]
fn a_heartbeat_counts_once_a_window_and_ends_the_windows_that_were_missed() {
    for (beats_s, due, kept, from_s) in [
        (&[] as &[i64], 0, 0, 0),
        (&[-1], 0, 0, 0),
        (&[59], 0, 0, 0),
        (&[60], 1, 1, 60),
        (&[60, 61, 119], 1, 1, 60),
        (&[61, 120], 1, 1, 61),
        (&[61, 121], 2, 2, 121),
        (&[119], 1, 1, 119),
        (&[120], 2, 1, 120),
        (&[600, 660], 11, 2, 660),
    ] {
        let mut reputation = Reputation::new(NOW);
        for beat_s in beats_s {
            reputation.beat(NOW + beat_s, 60);
        }
        let expected = Reputation {
            beats_due: due,
            beats_kept: kept,
            beats_from_unix_s: NOW + from_s,
            ..Reputation::default()
        };
        assert_eq!(reputation, expected, "{beats_s:?}");
    }
}

#[test]
fn uptime_starts_from_ten_windows_and_falls_while_the_worker_is_silent() {
    let known = Reputation { beats_due: 10, beats_kept: 10, ..Reputation::new(NOW) };
    for (reputation, silent_s, expected) in [
        (Reputation::new(NOW), 0, 8_000),
        (Reputation::new(NOW), 119, 8_000),
        (Reputation::new(NOW), 120, 7_272),
        (Reputation::new(NOW), 180, 6_666),
        (known, -1, 9_000),
        (known, 0, 9_000),
        (known, 119, 9_000),
        (known, 120, 8_571),
        (known, 60 * 21, 4_500),
        (Reputation { beats_kept: 0, ..known }, 0, 4_000),
    ] {
        assert_eq!(reputation.uptime_bps(NOW + silent_s, 60), expected, "{silent_s}");
    }
}

#[test]
fn a_late_heartbeat_never_lowers_the_uptime() {
    for late_s in 0..1_000 {
        let mut reputation = Reputation { beats_due: 3, beats_kept: 2, ..Reputation::new(NOW) };
        let before = reputation.uptime_bps(NOW + late_s, 60);
        reputation.beat(NOW + late_s, 60);
        assert!(reputation.uptime_bps(NOW + late_s, 60) >= before, "{late_s}");
    }
}

#[test]
fn windows_of_no_length_never_end() {
    let mut reputation = Reputation::new(NOW);
    reputation.beat(i64::MAX, 0);
    assert_eq!(reputation, Reputation::new(NOW));
    assert_eq!(reputation.uptime_bps(i64::MAX, 0), 8_000);
}
