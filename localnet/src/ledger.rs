//! The file that keeps the chain.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use solana_hash::Hash;

const HEADER_BYTES: u64 = 18;
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Held as long as the chain runs: two processes on one ledger would destroy it.
pub struct Lock(#[expect(dead_code, reason = "the lock is held by the open file")] Option<File>);

/// Takes the ledger for this process, after a look at whether it is one.
pub fn lock(ledger: Option<&Path>) -> anyhow::Result<Lock> {
    let Some(ledger) = ledger else { return Ok(Lock(None)) };
    let folder = ledger.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("can't make {}", folder.display()))?;
    }
    let path = beside(ledger, "lock");
    let file = private().open(&path).with_context(|| format!("can't open {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!("another chain already runs on {}", ledger.display());
    }
    check(ledger)?;
    Ok(Lock(Some(file)))
}

/// The chain's name, the same at each start on the same ledger.
pub fn genesis_hash(ledger: Option<&Path>) -> anyhow::Result<Hash> {
    let Some(ledger) = ledger else { return Ok(Hash::new_unique()) };
    let path = beside(ledger, "genesis");
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().with_context(|| format!("{} is damaged", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut bytes = [0; 32];
            File::open("/dev/urandom")?.read_exact(&mut bytes)?;
            let hash = Hash::new_from_array(bytes);
            fs::write(&path, hash.to_string())
                .with_context(|| format!("can't write {}", path.display()))?;
            Ok(hash)
        }
        Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
    }
}

/// Refuses what is not a SQLite file before the runtime trips over it.
fn check(ledger: &Path) -> anyhow::Result<()> {
    // Made here, so that nobody else can read it: SQLite would take the process's umask.
    let mut file = private()
        .open(ledger)
        .with_context(|| format!("can't open the ledger {}", ledger.display()))?;
    let mut start = Vec::new();
    file.by_ref().take(HEADER_BYTES).read_to_end(&mut start)?;
    if !start.is_empty() && !is_sqlite(&start) {
        bail!("{} is not a chain's ledger: move it away to start a new chain", ledger.display());
    }
    Ok(())
}

/// The magic, and then a page size: a power of two from 512 on, or 1 for 65,536.
fn is_sqlite(header: &[u8]) -> bool {
    let Some(page_bytes) = header.strip_prefix(SQLITE_MAGIC).and_then(<[u8]>::first_chunk) else {
        return false;
    };
    let page_bytes = u16::from_be_bytes(*page_bytes);
    page_bytes == 1 || (page_bytes >= 512 && page_bytes.is_power_of_two())
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

fn beside(ledger: &Path, extension: &str) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}
