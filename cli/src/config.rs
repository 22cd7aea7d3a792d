//! `chainference config`: checks config.toml, describes what may stand in it, and shows what holds and why.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Subcommand, parser::ValueSource};
use serde::Serialize;

use crate::{
    args::Cli,
    error::CliError,
    output::{print, print_json},
    settings::Settings,
};

#[derive(Args, Debug)]
pub struct Config {
    #[command(subcommand)]
    pub action: ConfigAction,
}

#[derive(Subcommand, Debug)]
pub enum ConfigAction {
    /// Check a settings file: each mistake is named with its line
    Check {
        /// [default: the config.toml that would be used]
        file: Option<PathBuf>,
    },
    /// Print the JSON schema of config.toml, for editors
    Schema,
    /// Show every setting: its value, and whether a flag, the environment, the file or the default says so
    Show(Box<Show>),
}

#[derive(Args, Debug)]
pub struct Show {
    #[command(flatten)]
    pub settings: Settings,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// One setting and who has the last word on it.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    /// `None` where the default stands, which is then told in words.
    value: Option<toml::Value>,
    default: Option<String>,
    /// `flag`, `environment`, `file` or `default`.
    from: &'static str,
    environment: Option<String>,
}

/// `file` is the one that would be used; it may be missing unless `named`.
pub fn config(command: Config, file: PathBuf, named: bool) -> Result<(), CliError> {
    match command.action {
        ConfigAction::Check { file: Some(file) } => check(file, true),
        ConfigAction::Check { file: None } => check(file, named),
        ConfigAction::Schema => print_json(&schemars::schema_for!(Settings)),
        ConfigAction::Show(show) => {
            let shown = shown(show.settings.load(&file, named)?)?;
            if show.json { print_json(&shown) } else { print_shown(&shown) }
        }
    }
}

fn check(file: PathBuf, required: bool) -> Result<(), CliError> {
    let settings = Settings::default().load(&file, required)?;
    settings.endpoints()?;
    crate::serve::model_sources(&settings)?;
    crate::tokenizers::check(&settings)?;
    let what = if file.exists() { "is fine" } else { "is not there: the defaults hold" };
    print(&format!("{} {what}\n", file.display()))
}

/// Every setting is an argument of `up`, and a line of the file in the section of its heading.
fn shown(settings: Settings) -> Result<Vec<Shown>, CliError> {
    let unreadable = |error: toml::ser::Error| CliError::Setting {
        setting: "settings",
        message: error.to_string(),
    };
    let merged = toml::Table::try_from(settings).map_err(unreadable)?;
    let matches = Cli::command().get_matches();
    let given = matches.subcommand().and_then(|(_, config)| config.subcommand());
    let source = |id: &str| given.and_then(|(_, show)| show.value_source(id));
    let all = arguments().into_iter().map(|argument| {
        let value =
            merged.get(&argument.section).and_then(|section| section.get(&argument.key)).cloned();
        let from = match (source(&argument.id), &value) {
            (Some(ValueSource::CommandLine), _) => "flag",
            (Some(ValueSource::EnvVariable), _) => "environment",
            (_, Some(_)) => "file",
            (_, None) => "default",
        };
        Shown {
            name: format!("{}.{}", argument.section, argument.key),
            value,
            default: argument.default,
            from,
            environment: argument.environment,
        }
    });
    Ok(all.collect())
}

/// A setting as the command line and the file know it.
struct Argument {
    id: String,
    section: String,
    key: String,
    environment: Option<String>,
    default: Option<String>,
}

fn arguments() -> Vec<Argument> {
    let schema = schemars::schema_for!(Settings).to_value();
    let command = Cli::command();
    let Some(up) = command.find_subcommand("up") else { return Vec::new() };
    up.get_arguments()
        .filter_map(|argument| {
            let section = argument.get_help_heading()?.to_lowercase();
            let id = argument.get_id().as_str();
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let default =
                help.rsplit_once("[default: ").and_then(|(_, rest)| rest.strip_suffix(']'));
            Some(Argument {
                id: id.to_owned(),
                key: key(&schema, &section, id)?,
                section,
                environment: argument.get_env().map(|name| name.to_string_lossy().into_owned()),
                default: default.map(str::to_owned),
            })
        })
        .collect()
}

/// What the file calls the setting that the command line calls `id`: the same, or without the section's name in front, or
/// with a unit or a plural behind.
fn key(schema: &serde_json::Value, section: &str, id: &str) -> Option<String> {
    let reference = schema["properties"][section]["$ref"].as_str()?.trim_start_matches('#');
    let names = schema.pointer(reference)?["properties"].as_object()?;
    let bare = id.strip_prefix(section).and_then(|rest| rest.strip_prefix('_')).unwrap_or(id);
    let known = |name: &str| names.contains_key(name).then(|| name.to_owned());
    known(id)
        .or_else(|| known(bare))
        .or_else(|| matches!(id, "chain_bin" | "engine_bin").then(|| known("binary")).flatten())
        .or_else(|| names.keys().find(|name| name.starts_with(id)).cloned())
}

fn print_shown(all: &[Shown]) -> Result<(), CliError> {
    let mut text = String::new();
    for one in all {
        let value = match (&one.value, &one.default) {
            (Some(value), _) => value.to_string(),
            (None, Some(default)) => default.clone(),
            (None, None) => "not set".to_owned(),
        };
        text += &format!("{:<36}  {:<11}  {value}\n", one.name, one.from);
    }
    print(&text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_line_of_the_file_is_an_argument_and_the_other_way_round() {
        let schema = schemars::schema_for!(Settings).to_value();
        let mut lines = BTreeSet::new();
        for (section, property) in schema["properties"].as_object().expect("sections") {
            let reference = property["$ref"].as_str().expect("a section").trim_start_matches('#');
            let names = schema.pointer(reference).expect("defined")["properties"].as_object();
            lines.extend(names.expect("names").keys().map(|name| format!("{section}.{name}")));
        }
        let arguments = arguments();
        let named: BTreeSet<_> =
            arguments.iter().map(|one| format!("{}.{}", one.section, one.key)).collect();
        assert_eq!(named, lines);
        assert_eq!(arguments.len(), lines.len(), "no two arguments are one line");
        assert!(arguments.iter().all(|one| one.environment.is_some()));
    }

    #[test]
    fn schema_describes_each_setting() {
        let text = schemars::schema_for!(Settings).to_value().to_string();
        for expected in ["Price of a million input tokens", "additionalProperties\":false"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
}
