//! Every limit of the market in one place.

/// The least time, in seconds, between the end of serving and the end of claiming.
pub const GRACE_S_MIN: u32 = 600;
/// The longest grace, in seconds: money never waits longer than this for a dead worker.
pub const GRACE_S_MAX: u32 = 86_400;
/// The longest time, in seconds, that a worker that leaves waits for its bond.
pub const BOND_COOLDOWN_S_MAX: u32 = 2_592_000;
/// The shortest heartbeat window, in seconds: a shorter one would cost more in fees than it tells.
pub const HEARTBEAT_S_MIN: u32 = 30;
/// The longest heartbeat window, in seconds.
pub const HEARTBEAT_S_MAX: u32 = 86_400;
/// How far ahead, in seconds, `serve_until` may lie.
pub const SERVE_S_MAX: i64 = 86_400;
/// How old, in slots, `open_slot` may be at publish. A job's account outlives this window, so that
/// no address (and no voucher for it) can come back.
pub const OPEN_SLOT_AGE_MAX: u64 = 1_500;
/// After this long, in seconds, anyone may close a settled job.
pub const CLOSE_BY_ANYONE_S: i64 = 3_600;
/// How many workers a job can name.
pub const ALLOWED_WORKERS_MAX: usize = 8;
/// The longest published endpoint, in bytes.
pub const ENDPOINT_BYTES_MAX: usize = 128;
/// The longest model id, in bytes.
pub const MODEL_BYTES_MAX: usize = 96;
/// The longest revision (a git hash), in bytes.
pub const REVISION_BYTES_MAX: usize = 40;
/// The longest quantisation name, in bytes.
pub const QUANTISATION_BYTES_MAX: usize = 16;

const _: () = assert!(GRACE_S_MIN <= GRACE_S_MAX);
const _: () = assert!(0 < HEARTBEAT_S_MIN && HEARTBEAT_S_MIN <= HEARTBEAT_S_MAX);
// A job must be closable by anyone only after its address is safe: 1,500 slots of 400 ms are 10 min.
const _: () = assert!(CLOSE_BY_ANYONE_S as u64 * 1_000 > OPEN_SLOT_AGE_MAX * 400);
