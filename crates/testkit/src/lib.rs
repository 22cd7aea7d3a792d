//! What tests put between parts to see them fail, and what benches share. Everything here panics with a reason: it is
//! only ever called by tests and benches.

pub mod bench;
mod corpus;
mod rpc_proxy;

pub use corpus::replay;
pub use rpc_proxy::{Faults, RpcProxy};
