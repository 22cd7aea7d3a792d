//! The front desk: requests in, orders for the engine loop out.

use std::fs::OpenOptions;
use std::io;
use std::sync::mpsc::Sender;

use super::super::wire::{Reply, Request};
use super::model::Model;
use super::pipe::{Input, Output};
use super::prepare::{Ready, ready};

/// What the engine loop is told.
pub(super) enum Order {
    Start { id: u64, ready: Box<Ready> },
    Allow { id: u64, tokens_out: u64 },
    Cancel { id: u64 },
}

/// Serves until stdin closes, then ends the process: there is nobody left to compute for.
pub(super) fn run(model: &Model, mut input: Input, output: &Output, orders: Sender<Order>) {
    loop {
        let order = match input.next() {
            Ok(Some(request)) => order(model, output, request),
            Ok(None) => break,
            Err(error) => {
                eprintln!("error: {error}");
                break;
            }
        };
        if order.is_some_and(|order| orders.send(order).is_err()) {
            break;
        }
    }
    // The other thread may be deep in a step. An orderly exit would run llama.cpp's destructors
    // under it; nothing here needs one.
    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
}

/// Turns a request into an order, or answers it right away.
fn order(model: &Model, output: &Output, request: Request) -> Option<Order> {
    match request {
        Request::Allow { id, tokens_out } => Some(Order::Allow { id, tokens_out }),
        Request::Cancel { id } => Some(Order::Cancel { id }),
        Request::Generate { id, request } => {
            let (reply, order) = match quietly(|| ready(model, *request)) {
                Ok(ready) => {
                    let (tokens_in, ready) = (ready.tokens_in, Box::new(ready));
                    (Reply::Accepted { id, tokens_in }, Some(Order::Start { id, ready }))
                }
                Err(error) => (Reply::Failed { id, error }, None),
            };
            // If stdout is closed the parent is gone, and stdin says so next.
            output.send(&reply).ok()?;
            order
        }
        Request::Load(_) | Request::Recount { .. } => {
            eprintln!("error: what an engine isn't there for was asked, and ignored");
            None
        }
    }
}

/// llama.cpp prints grammars and schemas that it can't read to stderr, and with them what a client
/// asked: for that moment stderr leads nowhere.
pub(super) fn quietly<T>(run: impl FnOnce() -> T) -> T {
    let silence = || -> io::Result<std::os::fd::OwnedFd> {
        let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
        let stderr = nix::unistd::dup(io::stderr())?;
        nix::unistd::dup2_stderr(nowhere)?;
        Ok(stderr)
    };
    let stderr = silence();
    let result = run();
    if let Ok(stderr) = stderr {
        let _ = nix::unistd::dup2_stderr(stderr);
    }
    result
}
