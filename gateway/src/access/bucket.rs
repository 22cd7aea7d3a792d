//! So much a minute, as a bucket that fills evenly. Pure: the time is an argument.
//!
//! `governor` was looked at: it has no way to give back what was reserved and not used, nor to charge
//! what turned out dearer, and tokens need both.

/// Parts of one unit, so that a millisecond fills in a whole number of them.
const PARTS: i64 = 60_000;

/// A limit of `per_min` units a minute; a whole minute's worth may be taken at once.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    per_min: i64,
    /// Parts that can be taken now; below zero where more was charged than there was.
    level: i64,
    filled_ms: i64,
}

/// What a bucket holds, as clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    pub limit: u64,
    pub remaining: u64,
    /// Until it is full again.
    pub reset_ms: u64,
}

impl Bucket {
    pub fn new(per_min: u64, now_ms: i64) -> Self {
        // Nothing fills a bucket of zero, and a limit beyond the other end is none.
        let per_min = i64::try_from(per_min).unwrap_or(i64::MAX).clamp(1, i64::MAX / PARTS / 4);
        Self { per_min, level: per_min * PARTS, filled_ms: now_ms }
    }

    /// Takes `units`, or says after how many milliseconds that can be done. More than the bucket
    /// holds takes all of a full one, and leaves it in debt.
    pub fn take(&mut self, units: u64, now_ms: i64) -> Result<(), u64> {
        self.fill(now_ms);
        let wanted = parts(units);
        let needed = wanted.min(self.per_min * PARTS);
        if self.level >= needed {
            self.level = self.level.saturating_sub(wanted);
            return Ok(());
        }
        let missing = needed.saturating_sub(self.level);
        Err(milliseconds(missing, self.per_min))
    }

    /// Corrects what was taken for something to what it needed.
    pub fn correct(&mut self, taken: u64, used: u64, now_ms: i64) {
        self.fill(now_ms);
        let back = parts(taken).saturating_sub(parts(used));
        self.level = self.level.saturating_add(back).min(self.per_min * PARTS);
    }

    pub fn level(&mut self, now_ms: i64) -> Level {
        self.fill(now_ms);
        let full = self.per_min * PARTS;
        Level {
            limit: self.per_min.unsigned_abs(),
            remaining: (self.level.max(0) / PARTS).unsigned_abs(),
            reset_ms: milliseconds(full.saturating_sub(self.level), self.per_min),
        }
    }

    fn fill(&mut self, now_ms: i64) {
        let passed = now_ms.saturating_sub(self.filled_ms).max(0);
        let more = passed.saturating_mul(self.per_min);
        self.level = self.level.saturating_add(more).min(self.per_min * PARTS);
        self.filled_ms = self.filled_ms.max(now_ms);
    }
}

fn parts(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX).saturating_mul(PARTS)
}

/// How long `missing` parts take to fill.
fn milliseconds(missing: i64, per_min: i64) -> u64 {
    missing.max(0).unsigned_abs().div_ceil(per_min.max(1).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_at_once_and_then_evenly() {
        let mut bucket = Bucket::new(60, 0);
        for _ in 0..60 {
            bucket.take(1, 0).unwrap();
        }
        assert_eq!(bucket.take(1, 0), Err(1_000));
        assert_eq!(bucket.take(1, 999), Err(1));
        assert_eq!(bucket.take(1, 1_000), Ok(()));
        let full = Level { limit: 60, remaining: 60, reset_ms: 0 };
        assert_eq!(bucket.level(1_000 + 60_000), full, "it never holds more than a minute's worth");
    }

    #[test]
    fn what_was_not_used_comes_back_and_what_was_used_beyond_is_a_debt() {
        let mut bucket = Bucket::new(1_000, 0);
        bucket.take(900, 0).unwrap();
        bucket.correct(900, 100, 0);
        assert_eq!(bucket.level(0).remaining, 900);
        bucket.correct(0, 1_900, 0);
        assert_eq!(bucket.level(0), Level { limit: 1_000, remaining: 0, reset_ms: 120_000 });
        assert_eq!(bucket.take(1, 0), Err(60_060));
    }

    #[test]
    fn what_is_larger_than_the_bucket_passes_when_it_is_full() {
        let mut bucket = Bucket::new(100, 0);
        assert_eq!(bucket.take(250, 0), Ok(()));
        assert_eq!(bucket.take(250, 0), Err(150_000), "its debt and a full bucket come first");
        assert_eq!(bucket.take(250, 150_000), Ok(()));
    }

    #[test]
    fn neither_zero_nor_huge_limits_nor_a_clock_that_goes_back_break_it() {
        assert_eq!(Bucket::new(0, 0).level(0).limit, 1);
        let mut huge = Bucket::new(u64::MAX, 0);
        huge.take(u64::MAX, 0).unwrap();
        let _ = huge.level(i64::MAX);
        let mut back = Bucket::new(60, 10_000);
        back.take(60, 10_000).unwrap();
        assert_eq!(back.take(1, 0), Err(1_000));
    }
}
