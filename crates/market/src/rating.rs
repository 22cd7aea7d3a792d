//! What a worker's reputation comes to, and how far it moves its share.

use crate::reputation::NEUTRAL_BPS;
use crate::{Reputation, Shares};

/// How far, in basis points of itself, a rating may move a worker's share either way.
const ADJUSTMENT_BPS_MAX: i32 = 1_000;
const BPS: i32 = 10_000;

impl Reputation {
    /// `0.4 · uptime + 0.3 · speed + 0.2 · accuracy + 0.1 · success`, in basis points, rounded down. `prior`
    /// is the weight, in lamports, of what is assumed before anything is known. The preference ratio has
    /// no part in it: it compares workers, it doesn't measure one.
    pub fn rating_bps(&self, now_unix_s: i64, heartbeat_s: u32, prior: u64) -> u16 {
        let weighted = 4 * u32::from(self.uptime_bps(now_unix_s, heartbeat_s))
            + 3 * u32::from(self.speed_bps(prior))
            + 2 * u32::from(self.accuracy_bps(prior))
            + u32::from(self.success_bps(prior));
        (weighted / 10) as u16 // each ratio is at most 10,000
    }
}

impl Shares {
    /// The shares of a worker with this rating: its own moves by `(rating − 0.8) · 50 %` of itself, at most
    /// by a tenth, and the platform bears it, as far as it has a share. The stakers' share stays. Rounded
    /// towards no change.
    pub fn rated(self, rating_bps: u16) -> Self {
        let above = i32::from(rating_bps) - NEUTRAL_BPS as i32;
        let adjustment_bps = (above / 2).clamp(-ADJUSTMENT_BPS_MAX, ADJUSTMENT_BPS_MAX);
        let moved = i32::from(self.worker_bps()) * adjustment_bps / BPS;
        self.moved_to_worker(moved as i16) // at most a tenth of 10,000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    #[test]
    fn each_ratio_has_its_weight_in_the_rating() {
        let perfect = Reputation {
            fees_completed: 100,
            fees_timed: 100,
            fees_timed_fast: 100,
            fees_audited: 100,
            fees_audited_ok: 100,
            beats_due: u32::MAX,
            beats_kept: u32::MAX,
            beats_from_unix_s: NOW,
            ..Reputation::default()
        };
        // Without a prior every fee counts; the uptime's ten windows are next to nothing beside its many.
        for (reputation, expected) in [
            (perfect, 9_999),
            (Reputation { beats_kept: 0, ..perfect }, 6_000),
            (Reputation { fees_timed_fast: 0, ..perfect }, 6_999),
            (Reputation { fees_audited_ok: 0, ..perfect }, 7_999),
            (Reputation { fees_flagged: 100, ..perfect }, 8_999),
        ] {
            assert_eq!(reputation.rating_bps(NOW, 60, 0), expected, "{reputation:?}");
        }
    }

    #[test]
    fn an_unknown_worker_is_rated_by_what_is_assumed() {
        assert_eq!(Reputation::new(NOW).rating_bps(NOW, 60, 1_000), 8_200);
        assert_eq!(Reputation::new(NOW).rating_bps(NOW, 60, 0), 8_200);
    }

    #[test]
    fn a_rating_moves_the_workers_share_by_a_tenth_at_most_and_the_platform_bears_it() {
        for (rating_bps, worker, platform) in [
            (0, 5_400, 2_600),
            (5_999, 5_400, 2_600),
            (6_000, 5_400, 2_600),
            (6_004, 5_402, 2_598),
            (7_997, 6_000, 2_000),
            (7_996, 5_999, 2_001),
            (8_000, 6_000, 2_000),
            (8_003, 6_000, 2_000),
            (8_004, 6_001, 1_999),
            (9_996, 6_598, 1_402),
            (10_000, 6_600, 1_400),
            (u16::MAX, 6_600, 1_400),
        ] {
            let shares = Shares::FAR.rated(rating_bps);
            assert_eq!(Ok(shares), Shares::new(worker, 2_000, platform), "{rating_bps}");
        }
    }

    #[test]
    fn the_platform_gives_no_more_than_it_has() {
        let shares = |worker, stakers, platform| Shares::new(worker, stakers, platform).unwrap();
        assert_eq!(shares(9_500, 0, 500).rated(10_000), shares(10_000, 0, 0));
        assert_eq!(shares(9_500, 500, 0).rated(10_000), shares(9_500, 500, 0));
        assert_eq!(shares(10_000, 0, 0).rated(0), shares(9_000, 0, 1_000));
    }
}
