//! What gateway and worker share as HTTP servers: who holds a connection, what an answer holds, and what becomes of
//! samples that nobody reads.

mod connections;
mod held;
mod samples;

pub use connections::{Busy, Connections, Visit};
pub use held::holding;
pub use samples::count_samples_until;
