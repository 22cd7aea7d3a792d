//! What tests put between parts to see them fail. Everything here panics with a reason: it is only ever called
//! by tests.

mod corpus;
mod rpc_proxy;

pub use corpus::replay;
pub use rpc_proxy::{Faults, RpcProxy};
