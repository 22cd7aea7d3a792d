//! What gateway and worker share as HTTP servers: who holds a connection, and what an answer holds.

mod connections;
mod held;

pub use connections::{Busy, Connections, Visit};
pub use held::holding;
