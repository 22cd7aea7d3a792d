//! What an operator says of an upstream.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use reqwest::{Url, header::HeaderValue};
use thiserror::Error;

/// A server of the operator's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamOptions {
    /// Where its API is: what stands before `/chat/completions`.
    pub url: String,
    /// A file with its API key; none where it asks for none.
    pub key_file: Option<PathBuf>,
    /// The models that it is asked for; none: what its `/models` lists.
    pub models: Vec<String>,
}

/// Why an upstream can't be used as it is set.
#[derive(Debug, Error)]
pub enum SettingError {
    #[error("upstream {url}: {reason}")]
    Url { url: String, reason: String },
    #[error("key file {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("key file {}: it must hold one line, the key", path.display())]
    Malformed { path: PathBuf },
    #[error("the HTTP client for upstreams can't be set up: {0}")]
    Http(#[from] reqwest::Error),
}

/// Reads an upstream's address.
///
/// # Errors
/// What is wrong with it, for whoever wrote it.
pub fn upstream_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("it is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("it is no http or https URL".to_owned());
    }
    // What stands in an address ends up in logs.
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a key goes into a file of its own, not into the URL".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it must end before the '?' or '#'".to_owned());
    }
    Ok(url)
}

/// The header that an upstream's key is sent in. It marks itself as what must not be shown.
pub(super) fn read_key(path: &Path) -> Result<HeaderValue, SettingError> {
    let failed = |source| SettingError::File { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(failed)?;
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "others may read this key file: chmod 600 it");
    }
    let key = text.trim();
    let malformed = || SettingError::Malformed { path: path.to_owned() };
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(malformed());
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| malformed())?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_and_holds_no_secret() {
        for (text, is_fine) in [
            ("http://127.0.0.1:8080/v1", true),
            ("https://api.example.com/v1/", true),
            ("127.0.0.1:8080", false),
            ("ftp://a/v1", false),
            ("http://me:secret@a/v1", false),
            ("http://a/v1?key=1", false),
            ("nonsense", false),
        ] {
            assert_eq!(upstream_url(text).is_ok(), is_fine, "{text}");
        }
    }

    #[test]
    fn a_key_is_one_line_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "sk-secret\n").unwrap();
        let header = read_key(&path).unwrap();
        assert_eq!(header, "Bearer sk-secret");
        assert!(!format!("{header:?}").contains("secret"));
        for text in ["", "\n", "a b", "a\nb", "a\u{7f}"] {
            fs::write(&path, text).unwrap();
            let refused = read_key(&path);
            assert!(matches!(refused, Err(SettingError::Malformed { .. })), "{text:?}");
        }
        let missing = read_key(&dir.path().join("none"));
        assert!(matches!(missing, Err(SettingError::File { .. })));
    }
}
