//! `chainference models`: what is on the disk, and whether it is what it was when it came.

use std::io::{BufRead, IsTerminal, Write};

use chainference_worker::models::{
    Hub, ModelError, ModelSource, ModelStore, Progress, Resolved, State, Stored, Verdict,
};
use serde_json::{Value, json};

use crate::{
    args::{Models, ModelsAction},
    error::CliError,
    home::Home,
    progress::Steps,
    status::print_json,
};

/// Enough of a hash to tell files apart by eye; `--json` has all of it.
const HASH_SHOWN: usize = 12;

pub async fn models(home: Home, command: Models) -> Result<(), CliError> {
    home.create()?;
    let shelf = Shelf {
        store: ModelStore::new(home.models(), Hub::from_env()),
        steps: Steps::new(),
        as_json: command.json,
    };
    match command.action {
        ModelsAction::Pull { models } => shelf.pull(&models).await,
        ModelsAction::Ls => shelf.list(),
        ModelsAction::Rm { models, yes } => shelf.remove(&models, yes),
        ModelsAction::Verify { models } => shelf.verify(&models),
    }
}

struct Shelf {
    store: ModelStore,
    steps: Steps,
    as_json: bool,
}

impl Shelf {
    async fn pull(&self, sources: &[ModelSource]) -> Result<(), CliError> {
        let mut pulled = Vec::new();
        for source in sources {
            if let ModelSource::File(path) = source {
                let message =
                    format!("{} is a file of your own: there is nothing to pull", path.display());
                return Err(CliError::Setting { setting: "MODEL", message });
            }
            let what = format!("pulling {source}");
            let step = self.steps.begin(&what);
            let progress = |progress: Progress| {
                step.bytes(progress.bytes_done, progress.bytes_total.unwrap_or(0), &what);
            };
            let model = self.store.resolve(source, &progress).await?;
            step.done(&format!(
                "{} {}, {}, SHA-256 {}",
                model.name,
                model.quantisation,
                size(model.size_bytes),
                sha256(&model)
            ));
            pulled.push(model);
        }
        if self.as_json {
            let models: Vec<_> = pulled.iter().map(resolved_json).collect();
            print_json(&json!(models))?;
        }
        Ok(())
    }

    fn list(&self) -> Result<(), CliError> {
        let stored = self.store.list()?;
        if self.as_json {
            let models: Vec<_> = stored.iter().map(|stored| self.stored_json(stored)).collect();
            return print_json(&json!(models));
        }
        if stored.is_empty() {
            println!("No models yet: `chainference models pull quickstart` fetches a small one.");
            return Ok(());
        }
        let names: Vec<_> = stored.iter().map(label).collect();
        let width = names.iter().map(String::len).max().unwrap_or(0).max("model".len());
        println!(
            "{:<width$}  {:<8}  {:>9}  {:>7}  {:<HASH_SHOWN$}  abilities",
            "model", "quant", "size", "context", "sha256"
        );
        for (name, stored) in names.iter().zip(&stored) {
            let (context, abilities) = match &stored.state {
                State::Whole(gguf) => {
                    let context = gguf.context_tokens.map(|tokens| tokens.to_string());
                    (context.unwrap_or_default(), gguf.abilities.to_string())
                }
                State::Partial => (String::new(), "cut off: `pull` goes on with it".to_owned()),
                State::Damaged(error) => (String::new(), format!("damaged: {error}")),
            };
            let hash = self.store.sha256(stored).unwrap_or_default();
            println!(
                "{name:<width$}  {:<8}  {:>9}  {context:>7}  {:<HASH_SHOWN$}  {abilities}",
                stored.quantisation(),
                size(stored.size_bytes),
                hash.get(..HASH_SHOWN).unwrap_or_default(),
            );
        }
        Ok(())
    }

    /// Every file is looked at, whatever is wrong with one before it.
    fn verify(&self, sources: &[ModelSource]) -> Result<(), CliError> {
        let (mut wrong, mut told) = (0, Vec::new());
        for stored in self.named(sources)? {
            let what = format!("reading {}", label(&stored));
            let step = self.steps.begin(&what);
            let progress = |progress: Progress| {
                step.bytes(progress.bytes_done, progress.bytes_total.unwrap_or(0), &what);
            };
            let verdict = self.store.verify(&stored, &progress)?;
            drop(step);
            let is_same = matches!(verdict, Verdict::Same { .. });
            wrong += usize::from(!is_same);
            if self.as_json {
                told.push(verdict_json(self.stored_json(&stored), &verdict));
            } else {
                let mark = if is_same { "✓" } else { "✗" };
                println!("{mark} {}  {}", label(&stored), in_words(&stored, &verdict));
            }
        }
        if self.as_json {
            print_json(&json!(told))?;
        }
        if wrong == 0 { Ok(()) } else { Err(CliError::ModelsDiffer(wrong)) }
    }

    fn remove(&self, sources: &[ModelSource], yes: bool) -> Result<(), CliError> {
        let stored = self.named(sources)?;
        if !yes && !confirmed(&stored)? {
            println!("Nothing was removed.");
            return Ok(());
        }
        for stored in &stored {
            self.store.remove(stored)?;
            if !self.as_json {
                println!("Removed {}, {}.", label(stored), size(stored.size_bytes));
            }
        }
        if self.as_json {
            let paths: Vec<_> = stored.iter().map(|stored| json!(stored.path)).collect();
            print_json(&json!({ "removed": paths }))?;
        }
        Ok(())
    }

    /// What the names mean, each file once; all that is there where no name is given.
    fn named(&self, sources: &[ModelSource]) -> Result<Vec<Stored>, CliError> {
        if sources.is_empty() {
            return Ok(self.store.list()?);
        }
        let mut named: Vec<Stored> = Vec::new();
        for source in sources {
            for stored in self.store.find(source)? {
                if named.iter().all(|other| other.path != stored.path) {
                    named.push(stored);
                }
            }
        }
        Ok(named)
    }

    fn stored_json(&self, stored: &Stored) -> Value {
        let (state, gguf) = match &stored.state {
            State::Whole(gguf) => ("whole", Some(gguf)),
            State::Partial => ("partial", None),
            State::Damaged(_) => ("damaged", None),
        };
        json!({
            "model": stored.short_name(),
            "name": stored.name(),
            "revision": stored.revision,
            "quantisation": stored.quantisation(),
            "size_bytes": stored.size_bytes,
            "context_tokens": gguf.and_then(|gguf| gguf.context_tokens),
            "abilities": gguf.map(|gguf| gguf.abilities.names().collect::<Vec<_>>()),
            "sha256": self.store.sha256(stored),
            "path": stored.path,
            "state": state,
        })
    }
}

fn resolved_json(model: &Resolved) -> Value {
    json!({
        "name": model.name,
        "revision": model.revision,
        "quantisation": model.quantisation,
        "size_bytes": model.size_bytes,
        "context_tokens": model.gguf.context_tokens,
        "abilities": model.gguf.abilities.names().collect::<Vec<_>>(),
        "sha256": sha256(model),
        "path": model.path,
    })
}

fn sha256(model: &Resolved) -> String {
    model.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name, and the short one where that is another.
fn label(stored: &Stored) -> String {
    if stored.is_quickstart() {
        format!("{} (quickstart)", stored.name())
    } else {
        stored.name().to_owned()
    }
}

fn in_words(stored: &Stored, verdict: &Verdict) -> String {
    let again = format!(
        "remove it and pull it again: chainference models rm {0} && chainference models pull {0}",
        stored.short_name()
    );
    match verdict {
        Verdict::Same { sha256 } => format!("SHA-256 {sha256}"),
        Verdict::Differs { expected, got } => {
            format!("has the SHA-256 {got}, not {expected}\n    {again}")
        }
        Verdict::Partial { bytes } => format!(
            "is cut off after {}\n    chainference models pull {}",
            size(*bytes),
            stored.short_name()
        ),
        Verdict::Damaged(error) => format!("{error}\n    {again}"),
        Verdict::Unknown { got } => {
            format!("has the SHA-256 {got}; what it was when it came isn't noted\n    {again}")
        }
    }
}

fn verdict_json(mut stored: Value, verdict: &Verdict) -> Value {
    let (word, found) = match verdict {
        Verdict::Same { sha256 } => ("same", Some(sha256)),
        Verdict::Differs { got, .. } => ("differs", Some(got)),
        Verdict::Partial { .. } => ("partial", None),
        Verdict::Damaged(_) => ("damaged", None),
        Verdict::Unknown { got } => ("unknown", Some(got)),
    };
    stored["verdict"] = json!(word);
    stored["sha256_found"] = json!(found);
    stored
}

/// Asks a person; a script says `--yes`.
fn confirmed(stored: &[Stored]) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        let message = "say --yes: there is nobody to ask".to_owned();
        return Err(CliError::Setting { setting: "models rm", message });
    }
    for stored in stored {
        eprintln!("{}, {}: {}", label(stored), size(stored.size_bytes), stored.path.display());
    }
    eprint!("Remove {}? [y/N] ", if stored.len() == 1 { "it" } else { "them" });
    let failed = CliError::file(std::path::Path::new("the terminal"));
    let mut answer = String::new();
    std::io::stderr()
        .flush()
        .and_then(|()| std::io::stdin().lock().read_line(&mut answer))
        .map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// In the units that hubs and disks are sold in.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

impl From<ModelError> for CliError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::InUse { path } => Self::ModelInUse { path },
            ModelError::NotStored { wanted } => Self::ModelNotStored { wanted },
            error => Self::Model(crate::serve::chain_of(&error)),
        }
    }
}
