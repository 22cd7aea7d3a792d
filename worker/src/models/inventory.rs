//! What lies in the store: listed, checked again, removed.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::hub::has_quantisation;
use super::{Gguf, Hold, ModelError, ModelFileError, ModelSource, ModelStore, OnProgress, hash};
use super::{Progress, quickstart};

/// A model's file in the store.
#[derive(Debug)]
pub struct Stored {
    pub path: PathBuf,
    /// The hub's id of the repository that the file is from.
    pub repo: String,
    /// The commit in that repository.
    pub revision: String,
    /// Bytes that are there.
    pub size_bytes: u64,
    pub state: State,
}

/// How a stored file is, as far as a look at its header tells.
#[derive(Debug)]
pub enum State {
    Whole(Box<Gguf>),
    /// A download that was cut; the next `pull` goes on with it.
    Partial,
    Damaged(ModelFileError),
}

/// What came of hashing a file again.
#[derive(Debug)]
pub enum Verdict {
    Same {
        sha256: String,
    },
    Differs {
        expected: String,
        got: String,
    },
    /// A download that was cut: what is there can't be compared with anything.
    Partial {
        bytes: u64,
    },
    Damaged(ModelFileError),
    /// Nothing was written down when the file came.
    Unknown {
        got: String,
    },
}

impl Stored {
    /// The name that it is offered under.
    pub fn name(&self) -> &str {
        if self.is_quickstart() { quickstart::NAME } else { &self.repo }
    }

    pub fn is_quickstart(&self) -> bool {
        self.repo == quickstart::REPO && self.revision == quickstart::REVISION
    }

    /// As in file names; from the name where the header doesn't say.
    pub fn quantisation(&self) -> &str {
        match &self.state {
            State::Whole(gguf) => gguf.quantisation.unwrap_or("unknown"),
            _ => "unknown",
        }
    }

    /// What to give to `--model` for it.
    pub fn short_name(&self) -> String {
        match self.quantisation() {
            _ if self.is_quickstart() => "quickstart".to_owned(),
            "unknown" => self.repo.clone(),
            quantisation => format!("{}:{quantisation}", self.repo),
        }
    }

    fn file_name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_suffix(".part").unwrap_or(&name).to_owned()
    }

    fn is(&self, wanted: &ModelSource) -> bool {
        match wanted {
            ModelSource::Quickstart => self.is_quickstart(),
            ModelSource::File(path) => {
                path.canonicalize().is_ok_and(|path| Some(path) == self.path.canonicalize().ok())
            }
            ModelSource::Hub { repo, revision, quantisation } => {
                let is_named = |quantisation: &String| {
                    self.quantisation().eq_ignore_ascii_case(quantisation)
                        || has_quantisation(&self.file_name(), quantisation)
                };
                (*repo == self.repo || repo == self.name())
                    && revision.as_ref().is_none_or(|wanted| self.revision.starts_with(wanted))
                    && quantisation.as_ref().is_none_or(is_named)
            }
        }
    }
}

/// Beside the file, in the form that `sha256sum -c` reads.
pub(super) fn hash_note(path: &Path) -> PathBuf {
    path.with_added_extension("sha256")
}

impl ModelStore {
    /// All models in the store, in the order of their paths.
    ///
    /// # Errors
    /// A folder that can't be read.
    pub fn list(&self) -> Result<Vec<Stored>, ModelError> {
        let mut found = Vec::new();
        for repo_dir in folder(&self.dir)? {
            let name = repo_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some((owner, repo)) = name.split_once("--") else { continue };
            for revision_dir in folder(&repo_dir)?.into_iter().filter(|path| path.is_dir()) {
                let revision = revision_dir.file_name().unwrap_or_default().to_string_lossy();
                let files = folder(&revision_dir)?.into_iter();
                found.extend(files.filter_map(|path| {
                    stored(path, format!("{owner}/{repo}"), revision.clone().into_owned())
                }));
            }
        }
        Ok(found)
    }

    /// The stored files that a name means.
    ///
    /// # Errors
    /// [`ModelError::NotStored`] where there is none.
    pub fn find(&self, wanted: &ModelSource) -> Result<Vec<Stored>, ModelError> {
        let found: Vec<_> = self.list()?.into_iter().filter(|stored| stored.is(wanted)).collect();
        if found.is_empty() {
            return Err(ModelError::NotStored { wanted: wanted.to_string() });
        }
        Ok(found)
    }

    /// The hash that the file had when it came, or else when it was first read, in hex.
    pub fn sha256(&self, stored: &Stored) -> Option<String> {
        let noted = fs::read_to_string(hash_note(&stored.path)).ok();
        let noted = noted.as_deref().and_then(|text| text.split_whitespace().next());
        let noted = noted.filter(|hash| hash.len() == 64).map(str::to_owned);
        noted.or_else(|| hash::noted(&stored.path, &self.hashes_dir()))
    }

    /// Reads the whole file again and compares it with what it was when it came.
    ///
    /// # Errors
    /// A file that can't be read. What is wrong with its content is a [`Verdict`].
    pub fn verify(&self, stored: &Stored, progress: OnProgress<'_>) -> Result<Verdict, ModelError> {
        let path = &stored.path;
        if let State::Partial = stored.state {
            return Ok(Verdict::Partial { bytes: stored.size_bytes });
        }
        let report = |bytes_done| {
            let (file, bytes_total) = (stored.file_name(), Some(stored.size_bytes));
            progress(Progress { file, bytes_done, bytes_total });
        };
        let got = hex::encode(hash::file(path, report).map_err(ModelError::io(path))?);
        let verdict = match self.sha256(stored) {
            Some(expected) if expected != got => Verdict::Differs { expected, got },
            _ if let Err(error) = Gguf::open(path) => Verdict::Damaged(error),
            Some(sha256) => Verdict::Same { sha256 },
            None => Verdict::Unknown { got },
        };
        if !matches!(verdict, Verdict::Same { .. }) {
            // The next worker must not publish a hash that was true once.
            hash::forget(path, &self.hashes_dir());
        }
        Ok(verdict)
    }

    /// Removes the file and all that was noted about it.
    ///
    /// # Errors
    /// [`ModelError::InUse`] while a worker serves it.
    pub fn remove(&self, stored: &Stored) -> Result<(), ModelError> {
        let path = &stored.path;
        let _alone = Hold::exclusive(path)?;
        hash::forget(path, &self.hashes_dir());
        self.forget_choices(&stored.repo, &stored.revision, &stored.file_name());
        let _ = fs::remove_file(hash_note(path));
        fs::remove_file(path).map_err(ModelError::io(path))?;
        // Folders go once nothing else is in them.
        for folder in path.ancestors().skip(1).take(2) {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn stored(path: PathBuf, repo: String, revision: String) -> Option<Stored> {
    let size_bytes = fs::metadata(&path).ok()?.len();
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let state = if name.ends_with(".gguf.part") {
        State::Partial
    } else if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf")) {
        Gguf::open(&path).map_or_else(State::Damaged, |gguf| State::Whole(Box::new(gguf)))
    } else {
        return None;
    };
    Some(Stored { path, repo, revision, size_bytes, state })
}

/// The entries of a folder that people may see, in the order of their names; none where there is no
/// folder.
fn folder(path: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let entries = match fs::read_dir(path) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        entries => entries.map_err(ModelError::io(path))?,
    };
    let hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
    let mut paths: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| !path.file_name().is_some_and(hidden))
        .collect();
    paths.sort();
    Ok(paths)
}
