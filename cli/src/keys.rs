//! `chainference keys`: makes API keys with their limits, lists them, takes them back. It writes into the gateway's
//! ledger, beside a gateway that may be running; that looks each key up there, so all counts at once.

use std::{
    num::NonZeroU64,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chainference_gateway::{
    Budgets, DEFAULT_KEY, KeyLimits, KeyRow, Ledger, NewKey, Used, create_key, model_pattern,
};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    amount,
    error::CliError,
    home::Home,
    output::{print, print_json},
    settings::SettlementMode,
};

const NAME_BYTES_MAX: usize = 64;

#[derive(Args, Debug)]
pub struct Keys {
    #[command(subcommand)]
    pub action: KeysAction,
    /// Print JSON, amounts in lamports
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand, Debug)]
pub enum KeysAction {
    /// Make a key and print it, once: only its hash is kept
    #[command(
        after_help = "Amounts: `1.5sol`, or lamports as a plain number. Days and months are those of UTC."
    )]
    Create(Create),
    /// List all keys, without their secrets
    #[command(alias = "ls")]
    List,
    /// Show one key, and what it has spent
    Show {
        /// Its id or name
        key: String,
    },
    /// Take a key back: from now on it opens nothing
    Revoke {
        /// Its id or name
        key: String,
    },
}

#[derive(Args, Debug)]
pub struct Create {
    /// What to call it
    #[arg(value_parser = name)]
    name: String,
    /// A model that it may use: its id, or the beginning of ids before a `*`; several by several --model [default: all]
    #[arg(long = "model", value_name = "MODEL", value_parser = model_pattern)]
    models: Vec<String>,
    /// The most that it may spend in a day
    #[arg(long, value_parser = amount::parse, value_name = "AMOUNT")]
    budget_day: Option<u64>,
    /// The most that it may spend in a month
    #[arg(long, value_parser = amount::parse, value_name = "AMOUNT")]
    budget_month: Option<u64>,
    /// The most that it may ever spend
    #[arg(long, value_parser = amount::parse, value_name = "AMOUNT")]
    budget_total: Option<u64>,
    /// Requests that it may make in a minute
    #[arg(long, value_name = "N")]
    requests_per_min: Option<NonZeroU64>,
    /// Tokens, in and out, that it may use in a minute
    #[arg(long, value_name = "N")]
    tokens_per_min: Option<NonZeroU64>,
    /// Requests that it may have in progress, streams included
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroU64>,
    /// How its calls come to their staked jobs [default: as the gateway is set]
    #[arg(long, value_name = "MODE")]
    mode: Option<SettlementMode>,
    /// How long it is good for: 12h, 30d, 1y [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
}

pub async fn keys(home: Home, command: Keys) -> Result<(), CliError> {
    home.create()?;
    let path = home.gateway_ledger();
    let ledger = Ledger::open(&path).await.map_err(CliError::ledger(&path))?;
    let failed = CliError::ledger(&path);
    match command.action {
        KeysAction::Create(create) => create_one(&ledger, &home, create, command.json).await,
        KeysAction::List => {
            let all = ledger.list_keys().await.map_err(failed)?;
            if command.json { print_json(&all) } else { print_table(&all) }
        }
        KeysAction::Show { key } => {
            let key = find(&ledger, &home, &key).await?;
            let used = ledger.used(&key.id, now_unix_ms()).await.map_err(failed)?;
            if command.json {
                print_json(&json!({"key": key, "used": used}))
            } else {
                print_one(&key, &used)
            }
        }
        KeysAction::Revoke { key } => {
            let key = find(&ledger, &home, &key).await?;
            if key.id == DEFAULT_KEY {
                return Err(CliError::DefaultKey { path: home.api_key_file() });
            }
            ledger.revoke_key(&key.id, now_unix_ms()).await.map_err(failed)?;
            if command.json {
                print_json(&json!({"revoked": key.id}))
            } else {
                print(&format!("Revoked {} ({}): it opens nothing any more.\n", key.name, key.id))
            }
        }
    }
}

async fn create_one(
    ledger: &Ledger,
    home: &Home,
    create: Create,
    as_json: bool,
) -> Result<(), CliError> {
    let now_ms = now_unix_ms();
    let path = home.gateway_ledger();
    let all = ledger.list_keys().await.map_err(CliError::ledger(&path))?;
    if all.iter().any(|key| key.name == create.name && key.revoked_unix_ms.is_none()) {
        return Err(CliError::KeyExists(create.name));
    }
    let lasts_ms = create.expires.map(|expires| i64::try_from(expires.as_millis()));
    let lasts_ms = lasts_ms.map(|ms| ms.unwrap_or(i64::MAX));
    let key = NewKey {
        name: create.name,
        models: create.models,
        limits: KeyLimits {
            requests_per_min: create.requests_per_min.map(NonZeroU64::get),
            tokens_per_min: create.tokens_per_min.map(NonZeroU64::get),
            concurrency: create.concurrency.map(NonZeroU64::get),
            budgets: Budgets {
                day_lamports: create.budget_day,
                month_lamports: create.budget_month,
                total_lamports: create.budget_total,
            },
        },
        mode: create.mode.map(Into::into),
        expires_unix_ms: lasts_ms.map(|lasts| now_ms.saturating_add(lasts)),
    };
    let created = create_key(ledger, &key, now_ms).await;
    let (key, secret) = created
        .map_err(|error| CliError::Content { path: path.clone(), message: error.to_string() })?;
    if as_json {
        return print_json(&json!({"secret": secret, "key": key}));
    }
    // The secret alone goes to standard output, so that a script can take it from there.
    eprintln!("Made {} ({}). This is its secret; it can't be shown again:", key.name, key.id);
    print(&format!("{secret}\n"))
}

/// By id, or by name among those that are not revoked.
async fn find(ledger: &Ledger, home: &Home, wanted: &str) -> Result<KeyRow, CliError> {
    let path = home.gateway_ledger();
    let mut all = ledger.list_keys().await.map_err(CliError::ledger(&path))?;
    let by_id = all.iter().position(|key| key.id == wanted);
    let named = all.iter().position(|key| key.name == wanted && key.revoked_unix_ms.is_none());
    match by_id.or(named) {
        Some(at) => Ok(all.swap_remove(at)),
        None => Err(CliError::NoSuchKey(wanted.to_owned())),
    }
}

fn print_table(keys: &[KeyRow]) -> Result<(), CliError> {
    let mut text = format!(
        "{:<20}  {:<20}  {:<8}  {:<8}  {:<20}  {}\n",
        "id", "name", "secret", "state", "last used", "limits"
    );
    for key in keys {
        let used = key.last_used_unix_ms.map_or_else(|| "never".to_owned(), date);
        text += &format!(
            "{:<20}  {:<20}  {:<8}  {:<8}  {used:<20}  {}\n",
            key.id,
            key.name,
            format!("…{}", key.hint),
            state(key),
            limits(key)
        );
    }
    print(&text)
}

fn print_one(key: &KeyRow, used: &[Used; 3]) -> Result<(), CliError> {
    let mut text = format!("{} ({}), ends in …{}\n", key.name, key.id, key.hint);
    let mut line = |name: &str, value: String| text += &format!("{name:<10}  {value}\n");
    line("state", state(key).to_owned());
    line("made", date(key.created_unix_ms));
    line("expires", key.expires_unix_ms.map_or_else(|| "never".to_owned(), date));
    line("last used", key.last_used_unix_ms.map_or_else(|| "never".to_owned(), date));
    line("limits", limits(key));
    for one in used {
        let of =
            key.limits.budgets.of(one.span).map(|budget| format!(" of {}", amount::sol(budget)));
        let spent = amount::sol(one.spent_lamports);
        line(one.span.name(), format!("{spent} spent{}", of.unwrap_or_default()));
    }
    print(&text)
}

fn state(key: &KeyRow) -> &'static str {
    if key.revoked_unix_ms.is_some() {
        "revoked"
    } else if key.expires_unix_ms.is_some_and(|expires| expires <= now_unix_ms()) {
        "expired"
    } else {
        "good"
    }
}

fn limits(key: &KeyRow) -> String {
    let limits = &key.limits;
    let mut parts = Vec::new();
    if !key.models.is_empty() {
        parts.push(key.models.join(" "));
    }
    for (budget, of) in [
        (limits.budgets.day_lamports, "a day"),
        (limits.budgets.month_lamports, "a month"),
        (limits.budgets.total_lamports, "in total"),
    ] {
        parts.extend(budget.map(|budget| format!("{} {of}", amount::sol(budget))));
    }
    for (limit, of) in [
        (limits.requests_per_min, "requests/min"),
        (limits.tokens_per_min, "tokens/min"),
        (limits.concurrency, "at once"),
    ] {
        parts.extend(limit.map(|limit| format!("{limit} {of}")));
    }
    parts.extend(key.mode.map(|mode| format!("mode {mode}")));
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// In UTC.
pub fn date(unix_ms: i64) -> String {
    let since = Duration::from_millis(unix_ms.max(0).unsigned_abs());
    match UNIX_EPOCH.checked_add(since) {
        // Further away than a calendar goes.
        Some(at) if since.as_secs() < 253_402_300_800 => {
            humantime::format_rfc3339_seconds(at).to_string()
        }
        _ => "never".to_owned(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the outermost layer: a person's command is of now")]
pub fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    let plain = !text.is_empty() && !text.contains(char::is_control);
    if plain && text.len() <= NAME_BYTES_MAX {
        Ok(text.to_owned())
    } else {
        Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes"))
    }
}
