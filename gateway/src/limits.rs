//! Every limit of the gateway, in one place.

use std::time::Duration;

use chainference_market::Lamports;

/// A request's headers must be complete within this time.
pub const HEADERS_DEADLINE: Duration = Duration::from_secs(10);
/// A request's body must be complete within this time after its headers.
pub const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// What is still on its way of a request that was answered is taken so long, and so much of it, before its connection ends.
pub const LINGER_DEADLINE: Duration = Duration::from_secs(5);
pub const LINGER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The whole way to the first token, over all workers that are tried.
pub const FIRST_TOKEN_DEADLINE: Duration = Duration::from_secs(120);
/// The longest silence between two frames of a worker.
pub const IDLE_DEADLINE: Duration = Duration::from_secs(30);
/// A client that takes no bytes for this long is treated as gone.
pub const CLIENT_STALL_DEADLINE: Duration = Duration::from_secs(60);
/// A call's own limit, from its first byte to its last.
pub const CALL_DEADLINE: Duration = Duration::from_secs(300);
/// How far ahead of publishing a job's serving time ends, in seconds: longer than any call.
pub const SERVE_S: i64 = 360;
/// Calls still running this long after shutdown began are cut.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// Before this, a call that fails is answered with its own HTTP status. After it, a streamed call
/// gets its headers and comments that keep the connection alive.
pub const STREAM_STARTS_AFTER: Duration = Duration::from_secs(5);
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// A worker's answer to a quote, or to a voucher.
pub const WORKER_REPLY_DEADLINE: Duration = Duration::from_secs(5);
pub const WORKER_CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// The longest event that a worker may send, so that none can fill the memory.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;
/// More text than this a token is not: vocabularies have runs of spaces or dashes of a few hundred bytes.
pub const TOKEN_BYTES_MAX: u64 = 1_024;
/// What an answer may have besides, such as the ids of tool calls.
pub const SPARE_BYTES: u64 = 64 * 1024;
/// Numbers of an embedding; the longest known have 12,288.
pub const DIMENSIONS_MAX: usize = 16_384;

/// A connection to an upstream that is unused for so long is not used again: it is about to be hung up on.
pub const UPSTREAM_IDLE: Duration = Duration::from_secs(4);
/// The longest answer of an upstream that is not streamed.
pub const UPSTREAM_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How often upstreams are asked what they serve …
pub const UPSTREAM_INTERVAL: Duration = Duration::from_secs(10);
/// … and while one is away.
pub const UPSTREAM_AWAY_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is written down what upstreams have served.
pub const UPSTREAM_NOTE_INTERVAL: Duration = Duration::from_secs(5);

/// An answer's tokens are counted again, where that can be, when it has so many, at each doubling, and at its end …
pub const RECOUNT_TOKENS: u64 = 256;
/// … for whose count its last voucher waits no longer than this.
pub const RECOUNT_DEADLINE: Duration = Duration::from_secs(1);

/// Workers that one call is tried on before its failure is the client's.
pub const ATTEMPTS_MAX: usize = 3;
pub const STOP_SEQUENCES_MAX: usize = 4;
/// Answers of one call: the prompts, times `n`.
pub const ANSWERS_MAX: u32 = 128;
pub const TOP_LOGPROBS_MAX: u32 = 20;
pub const TOOLS_MAX: usize = 128;
/// The name of a function or of a schema.
pub const NAME_BYTES_MAX: usize = 64;
/// Schemas and variables that nest deeper are refused: readers of JSON give up at 128, with all that is around them.
pub const JSON_DEPTH_MAX: usize = 100;
pub const EMBEDDING_INPUTS_MAX: usize = 2_048;
/// The length of a completion that names none.
pub const COMPLETION_TOKENS: u32 = 16;

/// Responses that are kept for later ones to go on from, where an operator wants that.
pub const STORED_RESPONSES_MAX: usize = 1_024;
pub const STORED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a chat template may add to the text of the messages, in tokens: once, and per message.
pub const TEMPLATE_TOKENS: u64 = 512;
pub const TEMPLATE_TOKENS_PER_MESSAGE: u64 = 32;
/// What it may add where there are tools (how to call them): once, and per tool or call.
pub const TEMPLATE_TOKENS_TOOLS: u64 = 1_024;
pub const TEMPLATE_TOKENS_PER_TOOL: u64 = 256;

/// A voucher is due after this many unvouched tokens (half of the least credit window) …
pub const VOUCH_TOKENS: u64 = 32;
/// … or this long after the last one, whichever is first.
pub const VOUCH_INTERVAL: Duration = Duration::from_millis(250);

/// Pieces of an answer that follow each other within this are told before vouchers for them are made.
pub const PIECES_GAP: Duration = Duration::from_millis(2);

/// Calls are in nobody's way when none has moved for this long: the books of those that were answered are written then …
pub const STILL_AFTER: Duration = Duration::from_millis(3);
/// … and what they owe is vouched for; after this in any case.
pub const BOOKS_WAIT_MAX: Duration = Duration::from_millis(50);
/// The same of a job's end, which a worker, a chain and we are long busy with.
pub const END_WAIT_MAX: Duration = Duration::from_millis(250);
/// A voucher for so long a prompt does not wait: workers bound what one client owes them for input.
pub const PROMPT_TOKENS_LONG: u64 = 1_024;

/// A worker whose answer has ended but not its stream loses the connection after this.
pub const HEAR_OUT_DEADLINE: Duration = Duration::from_millis(250);

/// At shutdown, what the jobs of the last calls get to settle.
pub const SETTLE_DEADLINE: Duration = Duration::from_secs(15);

/// How often the directory of workers and offers is read anew: those that it knows …
pub const DIRECTORY_INTERVAL: Duration = Duration::from_secs(1);
/// … unless they are more than one question can hold, beside the chain's clock and the market's configuration …
pub const DIRECTORY_KNOWN_MAX: usize = 98;
/// … and all that there are: the node looks at each account of the program for them.
pub const DIRECTORY_LIST_INTERVAL: Duration = Duration::from_secs(5);
/// Failures of a worker are forgotten so long after the pause that they brought.
pub const FAILURES_FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// What calls took on a worker says nothing any more after this time …
pub const MEASURED_AGE_MAX: Duration = Duration::from_secs(600);
/// … and is looked through for what is old beyond so many offers.
pub const MEASURED_OFFERS_MAX: usize = 1_024;
/// A worker may have a conversation's beginning in memory for so long …
pub const CONVERSATION_AGE_MAX: Duration = Duration::from_secs(600);
/// … and of so many it is known where they went.
pub const CONVERSATIONS_MAX: usize = 8_192;
/// Workers that one request may name as unwanted.
pub const AVOIDED_MAX: usize = 8;

/// The chain must answer for the directory within this time.
pub const DIRECTORY_DEADLINE: Duration = Duration::from_secs(5);
/// A directory older than this is not acted on: the chain is away.
pub const DIRECTORY_AGE_MAX: Duration = Duration::from_secs(10);

/// How often jobs that no call drives any more are moved on.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(2);
/// A worker gets this long to claim after the last voucher, before the client finishes the job.
pub const CLAIM_PATIENCE_S: i64 = 20;
/// A job's account must outlive this many slots after its opening, so that its address can't be
/// used again with an old voucher.
pub const CLOSE_AFTER_SLOTS: u64 = 1_500;
/// So many accounts are closed in one transaction, which is what fits, for one fee …
pub const CLOSE_TOGETHER: usize = 19;
/// … and fewer once the oldest has waited this long for others; a minute at 400 ms.
pub const CLOSE_GATHER_SLOTS: u64 = 150;
/// After a call the worker's claim is watched for this long; then the sweeper takes over.
pub const SETTLE_WATCH: Duration = Duration::from_secs(10);
pub const SETTLE_POLL: Duration = Duration::from_millis(100);
/// Jobs that the sweeper moves on at once.
pub const SWEEP_CONCURRENCY: usize = 8;

/// Why a client says what it says of a job.
pub const REASON_BYTES_MAX: usize = 500;

/// An issuer's keys are read again when they are so old …
pub const JWKS_AGE_MAX: Duration = Duration::from_secs(600);
/// … or a token names one that is not among them; but never sooner than this …
pub const JWKS_INTERVAL: Duration = Duration::from_secs(10);
/// … and never for longer than this.
pub const JWKS_DEADLINE: Duration = Duration::from_secs(5);
pub const JWKS_BYTES_MAX: usize = 256 * 1024;
/// By how many seconds an issuer's clock may differ from ours.
pub const JWT_LEEWAY_S: u64 = 30;

/// An `Idempotency-Key`.
pub const REPEAT_NAME_BYTES_MAX: usize = 255;
/// It stands for the same request this long …
pub const REPEAT_NAME_AGE_MS: i64 = 24 * 3_600_000;
/// … and its answer is in memory this long, if it and all others fit.
pub const REPEAT_AGE_MS: i64 = 3_600_000;
pub const REPEAT_BYTES_MAX: usize = 4 * 1024 * 1024;
pub const REPEATS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How often the vault's balance is looked at, to warn in time.
pub const BALANCE_INTERVAL: Duration = Duration::from_secs(30);
/// Below this many lamports the gateway's own key is about to fail at fees and rent.
pub const OWN_KEY_LOW: u64 = 20_000_000;

/// Lamports that a signature costs on Solana.
pub const FEE_PER_SIGNATURE: u64 = 5_000;

/// A client that lets a piece wait for so long gets no company in its session.
pub const SLOW_CLIENT: Duration = Duration::from_secs(1);

/// What a job of its own costs a call in fees, the worker's claim included.
pub const CALL_FEES: Lamports = Lamports(25_000);
/// Fees are small beside a call that costs so many times as much.
pub const FEES_ARE_SMALL: u64 = 20;

/// How far ahead the serving time of a job that waits for its call ends, in seconds …
pub const READY_SERVE_S: i64 = 1_800;
/// … and that of one that carries many calls. Workers take jobs of up to an hour.
pub const SESSION_SERVE_S: i64 = 3_000;
/// A job with less time to serve than this carries no new call: one could last longer.
pub const SERVE_S_MIN: i64 = 330;
/// A session with less time left than this is followed by another, or goes without more stake.
pub const SESSION_RENEW_S: i64 = 600;
/// A session without a call for so long is ended: soon after that a worker would claim it unasked.
pub const SESSION_IDLE: Duration = Duration::from_secs(90);
/// A session's stake covers so many calls like its first.
pub const SESSION_CALLS: u64 = 32;
/// Ready jobs at one worker. It has 64 places for one client; calls need some, too.
pub const READY_PER_WORKER_MAX: usize = 24;
/// Jobs that wait for calls hold at most one part in so many of what is free.
pub const AHEAD_SHARE: u64 = 4;
/// Jobs for the next calls are made when none has moved for this long …
pub const AHEAD_PAUSE: Duration = Duration::from_millis(100);
/// … or after this, however many come.
pub const AHEAD_WAIT_MAX: Duration = Duration::from_millis(500);
/// How often the pool is looked after, though nothing happens.
pub const AHEAD_INTERVAL: Duration = Duration::from_millis(500);
/// How often the chain is asked whether jobs that wait are still there.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// A call that money is too short for waits so long for what waiting jobs hold.
pub const SQUEEZE_WAIT: Duration = Duration::from_secs(5);

const _: () = assert!(CALL_DEADLINE.as_secs() < SERVE_S as u64);
const _: () = assert!(REPEAT_BYTES_MAX <= REPEATS_BYTES_MAX && REPEAT_AGE_MS <= REPEAT_NAME_AGE_MS);
const _: () = assert!((CALL_DEADLINE.as_secs() as i64) < SERVE_S_MIN && SERVE_S_MIN < SERVE_S);
const _: () = assert!(SERVE_S_MIN < SESSION_RENEW_S && SESSION_RENEW_S < SESSION_SERVE_S);
const _: () = assert!(VOUCH_INTERVAL.as_millis() < IDLE_DEADLINE.as_millis());
const _: () = assert!(DIRECTORY_INTERVAL.as_millis() < DIRECTORY_AGE_MAX.as_millis());
const _: () = assert!(STREAM_STARTS_AFTER.as_millis() < FIRST_TOKEN_DEADLINE.as_millis());
