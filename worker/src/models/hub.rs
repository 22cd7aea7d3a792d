//! Models from the Hugging Face hub: two plain HTTP calls, with the hub's own SHA-256 checked on
//! what comes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::download::{Download, client};
use super::hash::write_atomically;
use super::source::is_name;
use super::{Located, ModelError, ModelStore, OnProgress};

/// Taken, in this order, when no quantisation is asked for.
const PREFERRED: [&str; 3] = ["Q4_K_M", "Q8_0", "Q4_0"];

/// The part of the hub's description of a repository that we need.
#[derive(Debug, Deserialize)]
struct Repository {
    /// The commit.
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Clone, Debug, Deserialize)]
struct Sibling {
    rfilename: String,
    lfs: Option<Lfs>,
}

#[derive(Clone, Debug, Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

/// One file of one commit, and what the hub says it is.
pub(super) struct HubFile<'a> {
    pub repo: &'a str,
    pub revision: &'a str,
    pub file: &'a str,
    pub sha256: &'a str,
    pub size_bytes: u64,
}

/// What a request led to once; it is found again without the network, and stays the same file until
/// it is removed.
#[derive(Serialize, Deserialize)]
struct Choice {
    revision: String,
    file: String,
}

impl ModelStore {
    pub(super) async fn hub_model(
        &self,
        repo: &str,
        revision: Option<&str>,
        quantisation: Option<&str>,
        progress: OnProgress<'_>,
    ) -> Result<Located, ModelError> {
        let wanted = revision.unwrap_or("main");
        let note =
            self.repo_dir(repo).join(format!("{wanted}-{}.json", quantisation.unwrap_or("any")));
        let noted =
            std::fs::read(&note).ok().and_then(|json| serde_json::from_slice::<Choice>(&json).ok());
        if let Some(choice) =
            noted.filter(|choice| self.file_path(repo, &choice.revision, &choice.file).is_file())
        {
            return Ok(self.located(repo, choice, quantisation));
        }
        let repository = self.describe_repo(repo, wanted).await?;
        let (file, lfs) = choose(repo, &repository.siblings, quantisation)?;
        let choice = Choice { revision: repository.sha, file };
        let (revision, file) = (&choice.revision, &choice.file);
        let hub_file = HubFile { repo, revision, file, sha256: &lfs.sha256, size_bytes: lfs.size };
        self.download(&hub_file, progress).await?;
        let json = serde_json::to_vec(&choice).map_err(std::io::Error::other);
        json.and_then(|json| write_atomically(&note, &json)).map_err(ModelError::io(&note))?;
        Ok(self.located(repo, choice, quantisation))
    }

    /// Downloads the file unless it is there.
    pub(super) async fn download(
        &self,
        file: &HubFile<'_>,
        progress: OnProgress<'_>,
    ) -> Result<PathBuf, ModelError> {
        let &HubFile { repo, revision, file, sha256, size_bytes } = file;
        let path = self.file_path(repo, revision, file);
        if !path.is_file() {
            let url = format!("{}/{repo}/resolve/{revision}/{file}", self.hub.endpoint);
            let token = self.hub.token.as_deref();
            Download { url, token, path: &path, sha256, size_bytes }.run(progress).await?;
        }
        Ok(path)
    }

    async fn describe_repo(&self, repo: &str, revision: &str) -> Result<Repository, ModelError> {
        let url = format!("{}/api/models/{repo}/revision/{revision}?blobs=true", self.hub.endpoint);
        let mut request = client()?.get(url);
        if let Some(token) = &self.hub.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(ModelError::HubUnreachable)?;
        match response.status() {
            status if status.is_success() => {}
            status => {
                let what = format!("{repo}@{revision}");
                return Err(ModelError::HubRefused { what, status });
            }
        }
        let repository: Repository = response.json().await.map_err(ModelError::HubUnreachable)?;
        // It becomes part of a path.
        if is_name(&repository.sha) {
            Ok(repository)
        } else {
            Err(ModelError::HubAnswer { repo: repo.to_owned() })
        }
    }

    /// Forgets which requests led to this file.
    pub(super) fn forget_choices(&self, repo: &str, revision: &str, file: &str) {
        for entry in std::fs::read_dir(self.repo_dir(repo)).into_iter().flatten().flatten() {
            let choice = std::fs::read(entry.path()).ok();
            let choice = choice.and_then(|json| serde_json::from_slice::<Choice>(&json).ok());
            if choice.is_some_and(|choice| (&*choice.revision, &*choice.file) == (revision, file)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn repo_dir(&self, repo: &str) -> PathBuf {
        self.dir.join(repo.replace('/', "--"))
    }

    pub(super) fn file_path(&self, repo: &str, revision: &str, file: &str) -> PathBuf {
        self.repo_dir(repo).join(revision).join(file)
    }

    fn located(&self, repo: &str, choice: Choice, quantisation: Option<&str>) -> Located {
        Located {
            path: self.file_path(repo, &choice.revision, &choice.file),
            name: Some(repo.to_owned()),
            revision: choice.revision,
            quantisation: quantisation.map(str::to_owned),
        }
    }
}

/// The file for a quantisation. The hub's names are hostile input: only plain ones in the
/// repository's root are looked at.
fn choose(
    repo: &str,
    siblings: &[Sibling],
    quantisation: Option<&str>,
) -> Result<(String, Lfs), ModelError> {
    let is_model = |name: &str| {
        name.to_lowercase().ends_with(".gguf") && is_name(name) && !name.contains("mmproj")
    };
    let models: Vec<_> = siblings.iter().filter(|sibling| is_model(&sibling.rfilename)).collect();
    let of = |quantisation: &str| {
        models.iter().find(|sibling| has_quantisation(&sibling.rfilename, quantisation))
    };
    let found = match quantisation {
        Some(quantisation) => of(quantisation),
        None => PREFERRED.iter().find_map(|quantisation| of(quantisation)).or(models.first()),
    };
    let Some((file, lfs)) =
        found.and_then(|sibling| Some((&sibling.rfilename, sibling.lfs.as_ref()?)))
    else {
        let files = models.iter().map(|sibling| sibling.rfilename.clone()).collect();
        let quantisation = quantisation.map(str::to_owned);
        return Err(ModelError::NoSuchFile { repo: repo.to_owned(), quantisation, files });
    };
    if file.contains("-of-0") {
        return Err(ModelError::Split { repo: repo.to_owned(), file: file.clone() });
    }
    Ok((file.clone(), lfs.clone()))
}

/// Whether a file's name has the quantisation as a word of its own: "Q4_K" is not in
/// "model-Q4_K_M.gguf".
pub(super) fn has_quantisation(file: &str, quantisation: &str) -> bool {
    let stem = file.get(..file.len().saturating_sub(".gguf".len())).unwrap_or(file);
    stem.split(['-', '.']).any(|word| word.eq_ignore_ascii_case(quantisation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn siblings(names: &[&str]) -> Vec<Sibling> {
        let lfs = Some(Lfs { sha256: "00".into(), size: 1 });
        names.iter().map(|&name| Sibling { rfilename: name.into(), lfs: lfs.clone() }).collect()
    }

    #[test]
    fn the_file_is_chosen_by_quantisation() {
        let check = |names: &[&str], quantisation, expected: Option<&str>| {
            let chosen = choose("o/r", &siblings(names), quantisation).ok().map(|(file, _)| file);
            assert_eq!(chosen.as_deref(), expected, "{names:?} {quantisation:?}");
        };
        let files = [
            "README.md",
            "m-Q8_0.gguf",
            "m-Q4_K_M.gguf",
            "m.Q4_K.gguf",
            "mmproj-Q2_K.gguf",
            "x/m-Q5_0.gguf",
        ];
        check(&files, None, Some("m-Q4_K_M.gguf"));
        check(&files, Some("q8_0"), Some("m-Q8_0.gguf"));
        check(&files, Some("Q4_K"), Some("m.Q4_K.gguf"));
        check(&files, Some("Q2_K"), None);
        check(&files, Some("Q5_0"), None);
        check(&["odd.gguf"], None, Some("odd.gguf"));
        check(&["../../etc.gguf"], None, None);
        check(&["m-Q8_0-00001-of-00002.gguf"], None, None);
    }
}
