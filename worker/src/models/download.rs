//! One file over HTTP: resumed where it stopped, checked, then moved to its place in one step.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::RANGE;
use reqwest::{Client, StatusCode};
use sha2::{Digest, Sha256};

use super::hash::write_atomically;
use super::inventory::hash_note;
use super::{ModelError, OnProgress, Progress};

/// Attempts in a row that may bring nothing new.
const RETRIES_MAX: u32 = 5;
const RETRY_PAUSE: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence, not duration: a large model takes as long as it takes.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn client() -> Result<Client, ModelError> {
    let builder = Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT);
    builder
        .user_agent(concat!("chainference/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(ModelError::HubUnreachable)
}

/// What to fetch and what it must be.
pub(super) struct Download<'a> {
    pub url: String,
    /// Sent to the url's host only, not to where it redirects.
    pub token: Option<&'a str>,
    pub path: &'a Path,
    /// Lower-case hex.
    pub sha256: &'a str,
    pub size_bytes: u64,
}

impl Download<'_> {
    pub async fn run(&self, progress: OnProgress<'_>) -> Result<(), ModelError> {
        let mut part = Part::open(self.path, progress, self.size_bytes)?;
        let client = client()?;
        // A server that was never reached is not waited for; one that has sent something is.
        let mut patience = 0;
        while part.bytes < self.size_bytes {
            let before = part.bytes;
            let error = match self.attempt(&client, &mut part).await {
                Ok(()) if part.bytes >= self.size_bytes => break,
                Ok(()) => ModelError::Incomplete { url: self.url.clone(), bytes: part.bytes },
                Err(error) => error,
            };
            if part.bytes > before {
                patience = RETRIES_MAX;
            }
            if patience == 0
                || matches!(error, ModelError::Io { .. } | ModelError::HubRefused { .. })
            {
                return Err(error);
            }
            patience -= 1;
            tracing::warn!(%error, bytes = part.bytes, "the download stopped and is resumed");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        part.finish(self.sha256)
    }

    /// Reads until the file is whole or the connection ends.
    async fn attempt(&self, client: &Client, part: &mut Part<'_>) -> Result<(), ModelError> {
        let mut request = client.get(&self.url);
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        if part.bytes > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.bytes));
        }
        let response = request.send().await.map_err(ModelError::HubUnreachable)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            // A server without ranges begins anew; so must we.
            StatusCode::OK => part.restart()?,
            status => return Err(ModelError::HubRefused { what: self.url.clone(), status }),
        }
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            part.write(&chunk.map_err(ModelError::HubUnreachable)?)?;
        }
        Ok(())
    }
}

/// A file that is being written, beside the place where it will be. Locked: two processes must not
/// write it at once.
pub(super) struct Part<'a> {
    file: File,
    path: PathBuf,
    target: &'a Path,
    progress: OnProgress<'a>,
    hash: Sha256,
    pub bytes: u64,
    size_bytes: u64,
}

impl<'a> Part<'a> {
    /// Opens what an earlier attempt left, or begins.
    pub fn open(
        target: &'a Path,
        progress: OnProgress<'a>,
        size_bytes: u64,
    ) -> Result<Self, ModelError> {
        let path = target.with_added_extension("part");
        if let Some(dir) = target.parent() {
            fs::create_dir_all(dir).map_err(ModelError::io(dir))?;
        }
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(ModelError::io(&path))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => ModelError::Locked { path: target.to_owned() },
            TryLockError::Error(source) => ModelError::Io { path: path.clone(), source },
        })?;
        let mut part =
            Self { file, path, target, progress, hash: Sha256::new(), bytes: 0, size_bytes };
        part.read_rest().map_err(ModelError::io(&part.path))?;
        if part.bytes > size_bytes {
            part.restart()?;
        }
        part.report();
        Ok(part)
    }

    /// Hashes what is there already and leaves the file at its end.
    fn read_rest(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        loop {
            match self.file.read(&mut buffer)? {
                0 => return Ok(()),
                read => {
                    self.hash.update(&buffer[..read]);
                    self.bytes += read as u64;
                }
            }
        }
    }

    /// Forgets what is there and begins anew.
    pub fn restart(&mut self) -> Result<(), ModelError> {
        self.hash = Sha256::new();
        self.bytes = 0;
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map(|_| ()).map_err(ModelError::io(&self.path))
    }

    /// Appends; what is more than was announced shows in the hash.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), ModelError> {
        self.file.write_all(chunk).map_err(ModelError::io(&self.path))?;
        self.hash.update(chunk);
        self.bytes += chunk.len() as u64;
        self.report();
        Ok(())
    }

    /// Checks the hash and moves the file to its place. A wrong file is removed: resuming it could
    /// never succeed.
    pub fn finish(self, sha256: &str) -> Result<(), ModelError> {
        let got = hex::encode(self.hash.finalize());
        if !got.eq_ignore_ascii_case(sha256) {
            let _ = fs::remove_file(&self.path);
            let file = self.target.display().to_string();
            return Err(ModelError::HashMismatch { file, expected: sha256.to_owned(), got });
        }
        self.file.sync_all().map_err(ModelError::io(&self.path))?;
        // Before the file itself: what appears in its place can be checked again at any time.
        let note = hash_note(self.target);
        let name = self.target.file_name().unwrap_or_default().to_string_lossy();
        write_atomically(&note, format!("{got}  {name}\n").as_bytes())
            .map_err(ModelError::io(&note))?;
        fs::rename(&self.path, self.target).map_err(ModelError::io(self.target))
    }

    fn report(&self) {
        let name = self.target.file_name().unwrap_or_default();
        (self.progress)(Progress {
            file: name.to_string_lossy().into_owned(),
            bytes_done: self.bytes,
            bytes_total: Some(self.size_bytes),
        });
    }
}

#[cfg(test)]
mod tests;
