//! What an operator writes to name a model.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// A GGUF file of one's own.
    File(PathBuf),
    /// `owner/name`, with `@revision` and `:quantisation` if given: a repository of GGUF files on
    /// the Hugging Face hub.
    Hub { repo: String, revision: Option<String>, quantisation: Option<String> },
    /// A small model that answers on any machine, for the first try.
    Quickstart,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither `quickstart` nor a path to a .gguf file nor `owner/name[@revision][:quantisation]`"
)]
pub struct ModelSourceError(String);

impl FromStr for ModelSource {
    type Err = ModelSourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "quickstart" {
            return Ok(Self::Quickstart);
        }
        let begins = ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start));
        if begins || text.to_lowercase().ends_with(".gguf") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let error = || ModelSourceError(text.to_owned());
        let (rest, quantisation) = cut(text, ':');
        let (repo, revision) = cut(rest, '@');
        let parts = [quantisation, revision];
        let (owner, name) = repo.split_once('/').ok_or_else(error)?;
        if [owner, name].into_iter().chain(parts.into_iter().flatten()).all(is_name) {
            let owned = |part: Option<&str>| part.map(str::to_owned);
            return Ok(Self::Hub {
                repo: repo.to_owned(),
                revision: owned(revision),
                quantisation: owned(quantisation),
            });
        }
        Err(error())
    }
}

fn cut(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// What the hub allows in names; it keeps them out of other folders and other URLs too.
pub(super) fn is_name(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty()
        && part.len() <= 96
        && !part.starts_with('.')
        && !part.contains("..")
        && part.chars().all(allowed)
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Quickstart => f.write_str("quickstart"),
            Self::Hub { repo, revision, quantisation } => {
                f.write_str(repo)?;
                revision.iter().try_for_each(|revision| write!(f, "@{revision}"))?;
                quantisation.iter().try_for_each(|quantisation| write!(f, ":{quantisation}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(repo: &str, revision: Option<&str>, quantisation: Option<&str>) -> Option<ModelSource> {
        let owned = |part: Option<&str>| part.map(str::to_owned);
        Some(ModelSource::Hub {
            repo: repo.into(),
            revision: owned(revision),
            quantisation: owned(quantisation),
        })
    }

    #[test]
    fn every_way_to_name_a_model_is_told_apart() {
        let check = |text: &str, expected: Option<ModelSource>| {
            assert_eq!(text.parse().ok(), expected, "{text}");
            if let Some(source) = expected {
                assert_eq!(source.to_string(), text);
            }
        };
        check("quickstart", Some(ModelSource::Quickstart));
        check("/models/a.gguf", Some(ModelSource::File("/models/a.gguf".into())));
        check("./a", Some(ModelSource::File("./a".into())));
        check("models/A.GGUF", Some(ModelSource::File("models/A.GGUF".into())));
        check("owner/name", hub("owner/name", None, None));
        check("owner/name:Q4_K_M", hub("owner/name", None, Some("Q4_K_M")));
        check("owner/name@main:Q8_0", hub("owner/name", Some("main"), Some("Q8_0")));
        check("owner/name@ab12", hub("owner/name", Some("ab12"), None));
        for bad in [
            "",
            "name",
            "owner/",
            "/",
            "owner/name:",
            "owner/name@",
            "a/b/c",
            "owner/..",
            "owner/na me",
            "o?x/name",
        ] {
            let expected = bad.starts_with('/').then(|| ModelSource::File(bad.into()));
            check(bad, expected);
        }
    }
}
