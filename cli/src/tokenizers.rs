//! The tokenizers that a gateway counts by: of the files that it is told of, and under `up` of those that its worker
//! serves. Each is a child of our own program that has read a model's vocabulary alone.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use chainference_gateway::{Recount, Tokenizer};
use chainference_protocol::{Answered, Recounted, Task};
use chainference_worker::{
    engine::{self, EngineOptions},
    models::{Gguf, Hub, ModelSource, ModelStore, Resolved},
};
use futures_util::future::{BoxFuture, FutureExt};

use crate::{error::CliError, home::Home, serve::model_sources, settings::Settings};

/// The engine's side of it.
struct Child(engine::Tokenizer);

impl Recount for Child {
    fn recount(
        &self,
        task: Arc<Task>,
        answers: Vec<Answered>,
    ) -> BoxFuture<'static, Option<Recounted>> {
        self.0.recount(task, answers).boxed()
    }
}

/// Whether the files that are named are models.
pub fn check(settings: &Settings) -> Result<(), CliError> {
    let check = |path: &PathBuf| Gguf::open(path).map(drop);
    settings.gateway.tokenizer.iter().try_for_each(check).map_err(unusable)
}

/// All of them. A file's hash is computed when it is first used, which takes a second for each gigabyte or two.
pub async fn at_hand(
    home: &Home,
    settings: &Settings,
    supervised: bool,
) -> Result<Vec<Tokenizer>, CliError> {
    let store = ModelStore::new(home.models(), Hub::from_env());
    let mut found = Vec::new();
    for path in &settings.gateway.tokenizer {
        let file = ModelSource::File(path.clone());
        found.push(store.resolve(&file, &|_| ()).await.map_err(unusable)?);
    }
    let own = if supervised { model_sources(settings)? } else { Vec::new() };
    for source in own {
        // The worker has it already, and is the one to say what is wrong with it.
        match store.resolve(&source, &|_| ()).await {
            Ok(model) => found.push(model),
            Err(error) => tracing::warn!(%source, %error, "what it counts is not counted again"),
        }
    }
    found.sort_by_key(|model| model.sha256);
    found.dedup_by_key(|model| model.sha256);
    found.into_iter().map(tokenizer).collect()
}

fn tokenizer(model: Resolved) -> Result<Tokenizer, CliError> {
    let ours = std::env::current_exe().map_err(CliError::file(Path::new("chainference")))?;
    let options = EngineOptions::new(ours, vec!["engine".into()], model.path);
    let (tokenizer_sha256, gguf_sha256) = (model.gguf.tokenizer_sha256, model.sha256);
    let by = Arc::new(Child(engine::Tokenizer::new(options)));
    Ok(Tokenizer { tokenizer_sha256, gguf_sha256, by })
}

fn unusable(error: impl std::fmt::Display) -> CliError {
    CliError::Setting { setting: "--tokenizer", message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::GatewaySettings;

    #[test]
    fn a_file_that_is_no_model_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "no model at all").expect("written");
        for path in [file.path(), Path::new("/nonexistent/a.gguf")] {
            let gateway =
                GatewaySettings { tokenizer: vec![path.to_owned()], ..Default::default() };
            let error = check(&Settings { gateway, ..Default::default() }).expect_err("refused");
            let said = error.to_string();
            assert!(said.contains("--tokenizer") && said.contains(path.to_str().expect("text")));
        }
        assert!(check(&Settings::default()).is_ok());
    }
}
