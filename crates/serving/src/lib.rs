//! What gateway and worker share as HTTP servers: who holds a connection.

mod connections;

pub use connections::{Busy, Connections, Visit};
