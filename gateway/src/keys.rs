//! The API key: made at first start, kept in a file that only its owner can read.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

const PREFIX: &str = "sk-cf-";
const RANDOM_BYTES: usize = 24;

#[derive(Debug, Error)]
pub enum KeyError {
    #[error("API key file {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("API key file {path} holds no key: one line that starts with sk-cf- is expected")]
    Malformed { path: PathBuf },
    #[error("the system gave no random bytes")]
    Random,
}

/// The key that opens `/v1`, kept only as its hash.
#[derive(Clone)]
pub struct ApiKey {
    sha256: [u8; 32],
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

impl ApiKey {
    pub fn new(text: &str) -> Self {
        Self { sha256: Sha256::digest(text).into() }
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
                Ok(Self::new(key))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = generate()?;
                write_private(path, &key).map_err(failed)?;
                Ok(Self::new(&key))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether `presented` is the key, in a time that tells nothing about either.
    pub fn matches(&self, presented: &str) -> bool {
        Sha256::digest(presented).ct_eq(&self.sha256).into()
    }
}

fn generate() -> Result<String, KeyError> {
    let mut bytes = [0; RANDOM_BYTES];
    OsRng.try_fill_bytes(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(format!("{PREFIX}{}", bs58::encode(bytes).into_string()))
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
        ApiKey::load_or_create(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("sk-cf-") && text.len() > 30);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let again = ApiKey::load_or_create(&path).unwrap();
        assert!(again.matches(text.trim()));
        assert!(!again.matches("sk-cf-other") && !again.matches(""));
        assert!(!format!("{again:?}").contains(text.trim()));
    }

    #[test]
    fn file_without_a_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api-key");
        for text in ["", "\n", "sk-cf-", "hello", "sk-cf-a b"] {
            fs::write(&path, text).unwrap();
            let error = ApiKey::load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyError::Malformed { .. }), "{text:?}: {error}");
        }
    }
}
