//! The folder that holds all state: its layout, its permissions, its keys and the lock that keeps a second `up` out.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use chainference_chain::Keypair;
use rand::{TryRngCore, rngs::OsRng};

use crate::error::CliError;

/// `$CHAINFERENCE_HOME`, else `~/.chainference`.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Finds the folder without touching the disk.
    pub fn locate(given: Option<PathBuf>) -> Result<Self, CliError> {
        let root = match given {
            Some(root) => root,
            None => std::env::home_dir().ok_or(CliError::NoHome)?.join(".chainference"),
        };
        Ok(Self { root: std::path::absolute(&root).map_err(CliError::file(&root))? })
    }

    /// Makes every folder that is missing, open to its owner alone.
    pub fn create(&self) -> Result<(), CliError> {
        for folder in [
            self.root.clone(),
            self.keys(),
            self.logs(),
            self.run(),
            self.gateway(),
            self.worker(),
            self.chain(),
            self.models(),
        ] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(CliError::file(&folder))?;
        }
        fs::set_permissions(&self.root, Permissions::from_mode(0o700))
            .map_err(CliError::file(&self.root))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }
    pub fn chain(&self) -> PathBuf {
        self.root.join("chain")
    }
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }
    pub fn gateway(&self) -> PathBuf {
        self.root.join("gateway")
    }
    pub fn worker(&self) -> PathBuf {
        self.root.join("worker")
    }
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }
    pub fn gateway_ledger(&self) -> PathBuf {
        self.gateway().join("ledger.sqlite")
    }
    pub fn key_file(&self, name: KeyName) -> PathBuf {
        self.keys().join(format!("{}.json", name.as_str()))
    }
    pub fn api_key_file(&self) -> PathBuf {
        self.root.join("api-key")
    }

    /// The keypair of that name, made at the first call.
    pub fn keypair(&self, name: KeyName) -> Result<Keypair, CliError> {
        let path = self.key_file(name);
        let text = read_or_create(&path, || {
            let bytes = Keypair::new().to_bytes();
            Ok(format!("{:?}", bytes.as_slice()))
        })?;
        let content = |message: String| CliError::Content { path: path.clone(), message };
        let bytes: Vec<u8> =
            serde_json::from_str(&text).map_err(|_| content("is no Solana keypair file".into()))?;
        Keypair::try_from(bytes.as_slice()).map_err(|_| content("is no Solana keypair file".into()))
    }

    pub fn has_key(&self, name: KeyName) -> bool {
        self.key_file(name).exists()
    }

    /// Makes the keys that are missing: the four keypairs, and the worker's X25519 secret as 64 hexadecimal digits.
    pub fn make_keys(&self) -> Result<(), CliError> {
        for name in KeyName::ALL {
            self.keypair(name)?;
        }
        let path = self.keys().join("worker-x25519.key");
        read_or_create(&path, || Ok(hex(&random_bytes(&path)?))).map(drop)
    }

    /// The key that clients send. The gateway makes it at its first start.
    pub fn api_key(&self) -> Result<String, CliError> {
        let path = self.api_key_file();
        Ok(fs::read_to_string(&path).map_err(CliError::file(&path))?.trim().to_owned())
    }

    /// Held by `up` while it lives. The system lets go of it however the process ends.
    pub fn lock(&self) -> Result<File, CliError> {
        let path = self.run().join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(CliError::file(&path))?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)
                    .and_then(|()| writeln!(file, "{}", std::process::id()))
                    .map_err(CliError::file(&path))?;
                Ok(file)
            }
            Err(TryLockError::WouldBlock) => {
                Err(CliError::AlreadyRunning { home: self.root.clone(), pid: self.lock_owner() })
            }
            Err(TryLockError::Error(source)) => Err(CliError::File { path, source }),
        }
    }

    /// Whether an `up` lives in this home now.
    pub fn is_running(&self) -> bool {
        File::open(self.run().join("lock"))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    fn lock_owner(&self) -> Option<u32> {
        fs::read_to_string(self.run().join("lock")).ok()?.trim().parse().ok()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyName {
    /// Owns the vault: deposits, names the delegate, withdraws.
    Wallet,
    /// The vault's delegate: pays fees and rent, publishes and closes jobs.
    Gateway,
    /// Owns the worker's record: its earnings go here.
    WorkerOwner,
    /// Quotes, locks and claims.
    WorkerOperator,
}

impl KeyName {
    pub const ALL: [Self; 4] =
        [Self::Wallet, Self::Gateway, Self::WorkerOwner, Self::WorkerOperator];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Gateway => "gateway",
            Self::WorkerOwner => "worker-owner",
            Self::WorkerOperator => "worker-operator",
        }
    }
}

/// Writes the file whole or not at all, readable by its owner alone, and never over an existing one: a key that was
/// once funded must not be lost to a race of two first starts.
fn read_or_create(
    path: &Path,
    content: impl FnOnce() -> Result<String, CliError>,
) -> Result<String, CliError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        other => return other.map_err(CliError::file(path)),
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(CliError::file(folder))?;
    writeln!(file, "{}", content()?)
        .and_then(|()| file.as_file().sync_all())
        .map_err(CliError::file(path))?;
    match file.persist_noclobber(path) {
        Err(refused) if refused.error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(CliError::file(path)(refused.error))
        }
        _ => fs::read_to_string(path).map_err(CliError::file(path)),
    }
}

/// Replaces the file whole, and only returns when it would survive a loss of power.
pub fn write_durably(path: &Path, content: &[u8]) -> Result<(), CliError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(CliError::file(folder))?;
    file.write_all(content)
        .and_then(|()| file.as_file().sync_all())
        .map_err(CliError::file(path))?;
    file.persist(path).map_err(|refused| CliError::file(path)(refused.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(CliError::file(folder))
}

fn random_bytes(path: &Path) -> Result<[u8; 32], CliError> {
    let mut bytes = [0; 32];
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| CliError::Content {
        path: path.to_owned(),
        message: format!("no randomness: {error}"),
    })?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = Home::locate(Some(folder.path().join("home"))).expect("located");
        home.create().expect("created");
        (folder, home)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("is there").permissions().mode() & 0o777
    }

    #[test]
    fn home_and_keys_are_the_owners_alone() {
        let (_folder, home) = home();
        home.make_keys().expect("keys");
        assert_eq!(mode(home.root()), 0o700);
        assert_eq!(mode(&home.keys()), 0o700);
        for file in [home.keys().join("wallet.json"), home.keys().join("worker-x25519.key")] {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }

    #[test]
    fn keys_are_made_once() {
        let (_folder, home) = home();
        let keys = || {
            ["gateway.json", "worker-x25519.key"]
                .map(|name| fs::read(home.keys().join(name)).expect("a key"))
        };
        home.make_keys().expect("made");
        let first = keys();
        home.make_keys().expect("found");
        assert_eq!(keys(), first);
    }

    #[test]
    fn damaged_key_files_are_named_and_kept() {
        let (_folder, home) = home();
        let path = home.keys().join("wallet.json");
        fs::write(&path, "[1,2,3]").expect("written");
        let error = home.keypair(KeyName::Wallet).expect_err("refused").to_string();
        assert!(error.contains("wallet.json"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("kept"), "[1,2,3]");
    }

    #[test]
    fn only_one_holds_the_lock() {
        let (_folder, home) = home();
        assert!(!home.is_running());
        let held = home.lock().expect("free");
        assert!(home.is_running());
        let error = home.lock().expect_err("taken");
        assert!(
            matches!(error, CliError::AlreadyRunning { pid: Some(pid), .. } if pid == std::process::id()),
            "{error}"
        );
        drop(held);
        assert!(!home.is_running());
    }
}
