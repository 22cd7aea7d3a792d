//! The whole thing, used as strangers would. One binary, so that it is linked once.

mod alone;
mod calls;
mod completions;
mod crashes;
mod decoding;
mod embeddings;
mod life;
mod messages;
mod money;
mod operator;
mod responses;
mod schemas;
mod sockets;
mod tools;
