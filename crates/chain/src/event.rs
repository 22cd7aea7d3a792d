//! What the program says happened, read out of a transaction's logs.

use anchor_lang::{AnchorDeserialize, Discriminator};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chainference::events;

use crate::PROGRAM_ID;

macro_rules! events {
    ($($name:ident),* $(,)?) => {
        /// One change, as the program tells it; see `chainference::events`.
        #[derive(Debug, PartialEq, Eq)]
        pub enum Event {
            $($name(events::$name)),*
        }

        impl Event {
            /// Reads the bytes of one event; `None` for what isn't one.
            fn read(bytes: &[u8]) -> Option<Self> {
                $(if let Some(mut rest) = bytes.strip_prefix(events::$name::DISCRIMINATOR) {
                    let event = events::$name::deserialize(&mut rest).ok()?;
                    return rest.is_empty().then_some(Self::$name(event));
                })*
                None
            }
        }
    };
}

events!(
    ConfigChanged,
    WorkerRegistered,
    WorkerChanged,
    WorkerRetired,
    OfferPosted,
    OfferChanged,
    OfferRetracted,
    EarningsWithdrawn,
    FeesSwept,
    FeesWithdrawn,
    VaultOpened,
    Deposited,
    DelegateSet,
    Withdrawn,
    VaultClosed,
    JobPublished,
    JobLocked,
    JobToppedUp,
    JobClaimed,
    JobFinished,
    JobCancelled,
    JobExpired,
    JobClosed,
    JobsCompared,
);

/// The program's events in the logs of one transaction, in their order.
///
/// Other programs of the transaction can log the same bytes, so only lines that the program itself wrote count:
/// the log says who runs. Empty for a failed transaction's logs is up to the caller: what failed changed nothing.
pub fn events(logs: &[String]) -> Vec<Event> {
    let program = PROGRAM_ID.to_string();
    let mut running: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for line in logs {
        if let Some(data) = line.strip_prefix("Program data: ") {
            if running.last() == Some(&program.as_str()) {
                found.extend(BASE64.decode(data).ok().and_then(|bytes| Event::read(&bytes)));
            }
            continue;
        }
        let Some((id, what)) = line.strip_prefix("Program ").and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        if what.starts_with("invoke [") {
            running.push(id);
        } else if running.last() == Some(&id) && (what == "success" || what.starts_with("failed: "))
        {
            running.pop();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use anchor_lang::Event as _;
    use chainference_market::Lamports;

    use super::*;
    use crate::Pubkey;

    fn withdrawn(amount: Lamports) -> (Event, String) {
        let event =
            || events::Withdrawn { vault: Pubkey::new_from_array([7; 32]), lamports: amount.0 };
        (Event::Withdrawn(event()), format!("Program data: {}", BASE64.encode(event().data())))
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_the_program_itself_wrote_counts() {
        let (event, data) = withdrawn(Lamports(5));
        let (enter, leave) =
            (format!("Program {PROGRAM_ID} invoke [1]"), format!("Program {PROGRAM_ID} success"));
        let other = "Program 11111111111111111111111111111111 invoke [2]";
        let other_ends = "Program 11111111111111111111111111111111 success";
        let inside = lines(&[&enter, other, other_ends, &data, &leave]);
        assert_eq!(events(&inside), [event]);
        for forged in [
            lines(&[&data]),
            lines(&[&enter, &leave, &data]),
            lines(&[&enter, other, &data, other_ends, &leave]),
            lines(&[other, &data]),
        ] {
            assert_eq!(events(&forged), [], "{forged:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_event_are_passed_over() {
        let enter = format!("Program {PROGRAM_ID} invoke [1]");
        let (_, data) = withdrawn(Lamports(5));
        for line in ["Program data: !", "Program data: AAAA", &format!("{data}AAAA")] {
            assert_eq!(events(&lines(&[&enter, line])), [], "{line}");
        }
    }
}
