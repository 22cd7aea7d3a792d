//! The whole thing, used as strangers would. One binary, so that it is linked once.

mod alone;
mod calls;
mod choice;
mod completions;
mod crashes;
mod crowds;
mod decoding;
mod embeddings;
mod keys;
mod leaving;
mod life;
mod messages;
mod modes;
mod money;
mod operator;
mod others;
mod recovery;
mod responses;
mod rpc;
mod schemas;
mod sockets;
mod succession;
mod tools;
mod upstreams;
mod verdicts;
