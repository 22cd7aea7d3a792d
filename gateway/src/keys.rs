//! API keys' secrets: how they are made and hashed. The first one is kept in a file that only its
//! owner can read, for the tools on this machine; all others are printed once and kept nowhere.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::ledger::{KeyRow, Ledger, LedgerError, NewKey, StoredSecret};

const PREFIX: &str = "sk-cf-";
const RANDOM_BYTES: usize = 24;
/// How much of a secret is shown for its owner to tell it from others.
const HINT_BYTES: usize = 4;

#[derive(Debug, Error)]
pub enum KeyError {
    #[error("API key file {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("API key file {path} holds no key: one line that starts with sk-cf- is expected")]
    Malformed { path: PathBuf },
    #[error("the system gave no random bytes")]
    Random,
}

/// Why a key can't be made.
#[derive(Debug, Error)]
pub enum NewKeyError {
    #[error(transparent)]
    Secret(#[from] KeyError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A key's secret, of which only the hash goes into the ledger.
#[derive(Clone)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0; RANDOM_BYTES];
        OsRng.try_fill_bytes(&mut bytes).map_err(|_| KeyError::Random)?;
        Ok(Self(format!("{PREFIX}{}", bs58::encode(bytes).into_string())))
    }

    pub fn stored(&self) -> StoredSecret {
        let hint = self.0.get(self.0.len().saturating_sub(HINT_BYTES)..).unwrap_or_default();
        StoredSecret { sha256: hash(&self.0), hint: hint.to_owned() }
    }

    /// Reads the key from `path`, or makes one there (mode 0600) where no file is.
    ///
    /// # Errors
    /// [`KeyError`], where the file can't be read or written, or holds something else.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        match fs::read_to_string(path) {
            Ok(text) => {
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
                let key = text.trim();
                let whole = key.len() > PREFIX.len() && key.starts_with(PREFIX);
                if !whole || key.contains(char::is_whitespace) {
                    return Err(KeyError::Malformed { path: path.to_owned() });
                }
                Ok(Self(key.to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate()?;
                write_private(path, &key.0).map_err(failed)?;
                Ok(key)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// What the ledger looks a presented key up by. Who doesn't know the secret can't aim at a hash, so
/// that the time of the look-up tells nothing.
pub fn hash(presented: &str) -> String {
    hex::encode(Sha256::digest(presented))
}

/// Makes a key in the ledger, beside a gateway that may be running, and gives its secret: it can't
/// be had again.
///
/// # Errors
/// [`NewKeyError`]
pub async fn create_key(
    ledger: &Ledger,
    key: &NewKey,
    now_unix_ms: i64,
) -> Result<(KeyRow, String), NewKeyError> {
    let secret = Secret::generate()?;
    let stored = secret.stored();
    let id = format!("key_{:016x}", rand::random::<u64>());
    ledger.insert_key(&id, key, &stored, now_unix_ms).await?;
    let row = ledger.key_by_hash(&stored.sha256).await?;
    let row = row.ok_or_else(|| LedgerError::Corrupt { what: format!("key {id}") })?;
    Ok((row, secret.0))
}

fn write_private(path: &Path, key: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{key}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_made_once_and_read_after() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api-key");
        Secret::load_or_create(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("sk-cf-") && text.len() > 30);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let again = Secret::load_or_create(&path).unwrap();
        assert_eq!(again.stored().sha256, hash(text.trim()));
        assert!(text.trim().ends_with(&again.stored().hint) && again.stored().hint.len() == 4);
        assert!(!format!("{again:?}").contains(text.trim()));
    }

    #[test]
    fn file_without_a_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api-key");
        for text in ["", "\n", "sk-cf-", "hello", "sk-cf-a b"] {
            fs::write(&path, text).unwrap();
            let error = Secret::load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyError::Malformed { .. }), "{text:?}: {error}");
        }
    }
}
