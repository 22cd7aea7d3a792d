//! The worker's keys on disk.

use std::path::{Path, PathBuf};

use chainference_chain::Keypair;
use chainference_protocol::WorkerSecret;
use zeroize::Zeroizing;

/// Why a key can't be used. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("can't read the key {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{0} is not a keypair file (a JSON array of 64 numbers, as the Solana CLI writes it)")]
    NotAKeypair(PathBuf),
    #[error("{0} is not an X25519 key (64 hex digits)")]
    NotAnX25519Key(PathBuf),
}

/// Reads a Solana CLI keypair file.
pub(crate) fn read_keypair(path: &Path) -> Result<Keypair, KeyError> {
    let text = Zeroizing::new(read(path)?);
    let bytes: Zeroizing<Vec<u8>> = serde_json::from_str(&text)
        .map(Zeroizing::new)
        .map_err(|_| KeyError::NotAKeypair(path.to_owned()))?;
    Keypair::try_from(bytes.as_slice()).map_err(|_| KeyError::NotAKeypair(path.to_owned()))
}

/// Reads the X25519 secret key that calls are sealed to.
pub(crate) fn read_x25519(path: &Path) -> Result<WorkerSecret, KeyError> {
    let mut bytes = Zeroizing::new([0; 32]);
    let text = Zeroizing::new(read(path)?);
    hex::decode_to_slice(text.trim(), &mut *bytes)
        .ok()
        .and_then(|()| WorkerSecret::from_bytes(&bytes))
        .ok_or_else(|| KeyError::NotAnX25519Key(path.to_owned()))
}

fn read(path: &Path) -> Result<String, KeyError> {
    std::fs::read_to_string(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_none_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for text in ["", "zz", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)]
        {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(read_x25519(&path), Err(KeyError::NotAnX25519Key(_))), "{text}");
        }
        for text in ["", "[]", "[1,2,3]", "{}", "[256]"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(read_keypair(&path), Err(KeyError::NotAKeypair(_))), "{text}");
        }
        assert!(matches!(read_keypair(&folder.path().join("none")), Err(KeyError::Read { .. })));
    }

    #[test]
    fn hex_is_read_in_both_cases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, format!("{}\n", "0aFf".repeat(16))).unwrap();
        assert_eq!(read_x25519(&path).unwrap().to_bytes()[..4], [0x0a, 0xff, 0x0a, 0xff]);
    }
}
