//! The whole thing, used as strangers would. One binary, so that it is linked once.

mod alone;
mod calls;
mod crashes;
mod life;
mod money;
mod operator;
