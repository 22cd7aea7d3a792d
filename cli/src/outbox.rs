//! The command line's own transactions. Each is stored, signed, before it is sent: if this process ends in between, the
//! next one that needs the chain finishes it, and no deposit is made twice.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use chainference_chain::{Chain, Instruction, Keypair, SignedTransaction, SubmitError};

use crate::{error::CliError, home::Home};

pub struct Outbox<'a> {
    home: &'a Home,
    chain: &'a Chain,
    /// One process at a time: the file holds one transaction.
    _lock: File,
}

impl<'a> Outbox<'a> {
    /// Finishes what an earlier process left behind.
    pub async fn open(home: &'a Home, chain: &'a Chain) -> Result<Self, CliError> {
        let path = home.run().join("outbox.lock");
        let lock = File::create(&path)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(CliError::file(&path))?;
        let outbox = Self { home, chain, _lock: lock };
        if let Some(left) = outbox.stored()? {
            match chain.submit(&left).await {
                // It can't land any more, or never will: whoever meant it decides anew.
                Ok(())
                | Err(SubmitError::Expired | SubmitError::Rejected { .. } | SubmitError::Damaged) => {
                    outbox.clear()?
                }
                Err(error) => return Err(failed("finish an earlier transaction", error)),
            }
        }
        Ok(outbox)
    }

    /// Signs, stores, sends and waits until it has landed. `what` completes "the chain refused to …".
    pub async fn send(
        &self,
        what: &'static str,
        instructions: &[Instruction],
        payer: &Keypair,
    ) -> Result<(), CliError> {
        let unreachable = |error: chainference_chain::ChainError| CliError::Unreachable {
            what: "the chain",
            message: error.to_string(),
        };
        let blockhash = self.chain.blockhash().await.map_err(unreachable)?;
        let signed = SignedTransaction::sign(instructions, payer, &[], &blockhash)
            .map_err(|error| CliError::Chain { what, message: error.to_string() })?;
        self.store(&signed)?;
        let outcome = self.chain.submit(&signed).await;
        if !matches!(outcome, Err(SubmitError::Unreachable(_))) {
            self.clear()?;
        }
        outcome.map_err(|error| failed(what, error))
    }

    fn path(&self) -> PathBuf {
        self.home.run().join("outbox.json")
    }

    fn store(&self, signed: &SignedTransaction) -> Result<(), CliError> {
        let text = serde_json::to_vec(signed)
            .map_err(|error| CliError::Content { path: self.path(), message: error.to_string() })?;
        crate::home::write_durably(&self.path(), &text)
    }

    fn stored(&self) -> Result<Option<SignedTransaction>, CliError> {
        match fs::read(self.path()) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                CliError::Content { path: self.path(), message: error.to_string() }
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CliError::File { path: self.path(), source }),
        }
    }

    fn clear(&self) -> Result<(), CliError> {
        fs::remove_file(self.path()).map_err(CliError::file(&self.path()))
    }
}

fn failed(what: &'static str, error: SubmitError) -> CliError {
    match error {
        SubmitError::Unreachable(error) => {
            CliError::Unreachable { what: "the chain", message: error.to_string() }
        }
        error => CliError::Chain { what, message: error.to_string() },
    }
}
