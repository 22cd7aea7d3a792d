//! How a call comes to its job. Pure.

use std::{fmt, str::FromStr};

use chainference_market::Lamports;
use serde::{Serialize, Serializer};

use crate::limits::{CALL_FEES, FEES_ARE_SMALL};

/// How a gateway, or one call, is to be settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Each call has its own job, published when the call arrives: the true cost of a stake.
    Strict,
    /// Each call has its own job, published and locked before the call arrives.
    PerCall,
    /// One job carries many calls, and one claim settles them.
    Session,
    /// Per call where fees are small beside the calls, else sessions.
    #[default]
    Auto,
}

/// What `auto` has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    Strict,
    PerCall,
    Session,
}

impl Mode {
    /// The way of a call whose model's calls typically cost `typical`; `None` where none was made.
    /// On the embedded chain fees are play money.
    pub fn way(self, fees_matter: bool, typical: Option<Lamports>) -> Way {
        let is_small = || typical.is_some_and(|cost| cost.0 / FEES_ARE_SMALL >= CALL_FEES.0);
        match self {
            Self::Strict => Way::Strict,
            Self::PerCall => Way::PerCall,
            Self::Session => Way::Session,
            Self::Auto if !fees_matter || is_small() => Way::PerCall,
            Self::Auto => Way::Session,
        }
    }
}

impl Way {
    /// As the ledger writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::PerCall => "per-call",
            Self::Session => "session",
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "strict" => Ok(Self::Strict),
            "per-call" => Ok(Self::PerCall),
            "session" => Ok(Self::Session),
            "auto" => Ok(Self::Auto),
            _ => Err(format!("`{text}` is none of strict, per-call, session, auto")),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::PerCall => "per-call",
            Self::Session => "session",
            Self::Auto => "auto",
        })
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_a_job_for_each_call_only_where_fees_are_small_beside_it() {
        let edge = CALL_FEES.0 * FEES_ARE_SMALL;
        for (fees_matter, typical, way) in [
            (false, None, Way::PerCall),
            (false, Some(1), Way::PerCall),
            (true, None, Way::Session),
            (true, Some(edge - 1), Way::Session),
            (true, Some(edge), Way::PerCall),
        ] {
            assert_eq!(Mode::Auto.way(fees_matter, typical.map(Lamports)), way, "{typical:?}");
        }
    }

    #[test]
    fn what_was_named_is_what_is_done() {
        for (text, way) in
            [("strict", Way::Strict), ("per-call", Way::PerCall), ("session", Way::Session)]
        {
            let mode: Mode = text.parse().unwrap();
            assert_eq!((mode.way(true, None), mode.to_string().as_str()), (way, text));
            assert_eq!(way.name(), text);
        }
        assert_eq!("auto".parse(), Ok(Mode::Auto));
        assert!("Auto".parse::<Mode>().is_err());
    }
}
