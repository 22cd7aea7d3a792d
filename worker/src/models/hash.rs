//! SHA-256 of large files, computed once.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ModelError;

/// A hash that holds as long as size and time of change are the same.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    size_bytes: u64,
    modified_ns: u64,
    #[serde(with = "hex::serde")]
    sha256: [u8; 32],
}

/// Where the hash of a file is noted.
fn note(path: &Path, dir: &Path) -> PathBuf {
    let name = hex::encode(Sha256::digest(path.as_os_str().as_encoded_bytes()));
    dir.join(format!("{name}.json"))
}

/// What was noted when the file was last read, in hex, whether it holds or not.
pub(super) fn noted(path: &Path, dir: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let known: Known = serde_json::from_slice(&fs::read(note(&path, dir)).ok()?).ok()?;
    Some(hex::encode(known.sha256))
}

/// Drops what was noted: the file is gone, or not what it was.
pub(super) fn forget(path: &Path, dir: &Path) {
    if let Ok(path) = path.canonicalize() {
        let _ = fs::remove_file(note(&path, dir));
    }
}

/// The file's SHA-256 and size in bytes. `dir` remembers hashes, so that a model of many gigabytes
/// is read once and not at each start.
pub(super) fn file_cached(path: &Path, dir: &Path) -> Result<([u8; 32], u64), ModelError> {
    let at = |path: &Path| ModelError::io(path);
    let metadata = fs::metadata(path).map_err(at(path))?;
    let size_bytes = metadata.len();
    let modified_ns =
        metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified_ns =
        modified_ns.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0);

    let note = note(path, dir);
    let known = fs::read(&note).ok().and_then(|json| serde_json::from_slice::<Known>(&json).ok());
    if let Some(known) =
        known.filter(|known| (known.size_bytes, known.modified_ns) == (size_bytes, modified_ns))
    {
        return Ok((known.sha256, size_bytes));
    }
    let sha256 = file(path, |_| ()).map_err(at(path))?;
    let json =
        serde_json::to_vec(&Known { size_bytes, modified_ns, sha256 }).map_err(io::Error::other);
    fs::create_dir_all(dir).map_err(at(dir))?;
    write_atomically(&note, &json.map_err(at(&note))?).map_err(at(&note))?;
    Ok((sha256, size_bytes))
}

/// Reads the whole file; `report` hears how many bytes are done.
pub(super) fn file(path: &Path, report: impl Fn(u64)) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => {
                hash.update(&buffer[..read]);
                done += read as u64;
                report(done);
            }
        }
    }
}

/// A reader sees the old content or the new, never a part.
pub(super) fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    fs::write(&part, content)?;
    fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_hashed_anew_and_an_unchanged_one_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, notes) = (dir.path().join("model"), dir.path().join("hashes"));
        fs::write(&path, "one").expect("written");
        let (first, size) = file_cached(&path, &notes).expect("hashed");
        assert_eq!((hex::encode(first), size), (hex::encode(Sha256::digest("one")), 3));

        // A note that was tampered with shows that it is what answers as long as the file stays as
        // it was.
        let note =
            fs::read_dir(&notes).expect("a folder").next().expect("one").expect("readable").path();
        let json =
            fs::read_to_string(&note).expect("text").replace(&hex::encode(first), &"ab".repeat(32));
        fs::write(&note, json).expect("written");
        assert_eq!(file_cached(&path, &notes).expect("cached").0, [0xab; 32]);

        fs::write(&path, "three").expect("written");
        assert_eq!(
            file_cached(&path, &notes).expect("hashed").0,
            <[u8; 32]>::from(Sha256::digest("three"))
        );
    }
}
