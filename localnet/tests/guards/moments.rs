//! The moments at which each cell is tried: both sides of each limit of time.

/// Since the job was published, and for what is settled since it was settled too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub seconds: i64,
    pub slots: u64,
}

pub const SERVE_UNTIL_S: i64 = 300;
/// Finished at once, a job may be claimed for one grace.
pub const FINISHED_UNTIL_S: i64 = 600;
pub const CLAIM_UNTIL_S: i64 = 900;
/// From here anyone may close a job that was settled at once.
pub const ANYONE_FROM_S: i64 = 3_600;
/// From here a job's address can't be published again.
pub const FREE_SLOTS: u64 = 1_501;

pub fn moments() -> impl Iterator<Item = Moment> {
    let limits = [SERVE_UNTIL_S, FINISHED_UNTIL_S, CLAIM_UNTIL_S, ANYONE_FROM_S];
    let seconds = limits.into_iter().flat_map(|limit| [limit - 1, limit, limit + 1]);
    seconds.flat_map(|seconds| {
        [FREE_SLOTS - 1, FREE_SLOTS, FREE_SLOTS + 1].map(|slots| Moment { seconds, slots })
    })
}
