//! What can go wrong on the way to the chain.

use solana_rpc_client_api::client_error::Error as RpcError;

/// A question to the chain that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    #[error("the chain can't be reached at {url}")]
    Unreachable { url: String, source: Box<RpcError> },
    #[error("the chain refused the request: {0}")]
    Refused(Box<RpcError>),
    #[error("account {address} does not hold what it should: {what}")]
    BadAccount { address: crate::Pubkey, what: &'static str },
    #[error("the chain's answer took too long")]
    Timeout,
}

/// A transaction that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The program or the chain refused it; sending the same again is of no use.
    #[error("the chain refused the transaction: {message}")]
    Rejected {
        /// Whether it has landed all the same, so that its fee is paid.
        has_landed: bool,
        /// The program's own name of the refusal, such as `InsufficientBalance`.
        error_name: Option<String>,
        message: String,
        logs: Vec<String>,
    },
    /// It did not land while its blockhash was valid, and never will: sign anew.
    #[error("the transaction's blockhash expired before it landed")]
    Expired,
    /// Nobody knows yet: submit the same bytes again.
    #[error(transparent)]
    Unreachable(#[from] ChainError),
    #[error("the stored transaction is damaged")]
    Damaged,
}

impl SubmitError {
    /// A node's refusal to take it, named after what the program logged.
    pub(crate) fn rejected(message: String, logs: Vec<String>) -> Self {
        Self::Rejected { has_landed: false, error_name: error_name(&logs), message, logs }
    }

    /// The program's refusal of what has landed.
    pub(crate) fn failed(message: String, logs: Vec<String>) -> Self {
        Self::Rejected { has_landed: true, error_name: error_name(&logs), message, logs }
    }

    /// The program's own name of the refusal, such as `InsufficientBalance`.
    pub fn error_name(&self) -> Option<&str> {
        match self {
            Self::Rejected { error_name, .. } => error_name.as_deref(),
            _ => None,
        }
    }
}

/// Anchor logs `… Error Code: NAME. Error Number: …`.
fn error_name(logs: &[String]) -> Option<String> {
    let rest = logs.iter().find_map(|line| line.split_once("Error Code: "))?.1;
    rest.split_once('.').map(|(name, _)| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_named_after_the_programs_log() {
        let logs = vec![
            "Program log: Instruction: Withdraw".to_string(),
            "Program log: AnchorError occurred. Error Code: InsufficientBalance. Error Number: 6304. Error Message: x."
                .to_string(),
        ];
        let error = SubmitError::rejected("custom program error".to_string(), logs);
        assert_eq!(error.error_name(), Some("InsufficientBalance"));
        assert_eq!(SubmitError::rejected(String::new(), Vec::new()).error_name(), None);
    }
}
