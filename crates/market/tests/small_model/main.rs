//! Everything that can happen in a market of a few lamports, without exception: each cost under each
//! rating, each short history of a worker, each state that any sequence of steps can bring a job to. What
//! is expected is counted, lamport by lamport and second by second, never divided.

mod amounts;
mod job;
mod reputation;
