//! `chainference spend`: what calls have cost, by key, model and day; and the books, which equal the chain.

use chainference_gateway::{Books, Ledger, Spend};
use clap::Args;
use serde_json::json;

use crate::{
    amount,
    error::CliError,
    home::Home,
    keys::{date, now_unix_ms},
    output::{print, print_json},
};

const DAY_MS: i64 = 86_400_000;

#[derive(Args, Debug)]
pub struct SpendCommand {
    /// Days to look back, this one included
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(i64).range(1..=3_660))]
    pub days: i64,
    /// Only this key, by its id or name
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Show the accounts of the gateway's double-entry books instead
    #[arg(long)]
    pub books: bool,
    /// Print JSON, amounts in lamports
    #[arg(long)]
    pub json: bool,
}

pub async fn spend(home: Home, command: SpendCommand) -> Result<(), CliError> {
    let path = home.gateway_ledger();
    let (spend, books) = if path.exists() {
        let ledger = Ledger::open_read_only(&path).await.map_err(CliError::ledger(&path))?;
        read(&ledger, &command).await.map_err(CliError::ledger(&path))?
    } else {
        (Vec::new(), Books::default())
    };
    match (command.json, command.books) {
        (true, _) => print_json(&json!({"spend": spend, "books": books})),
        (false, true) => print_books(&books),
        (false, false) => print_spend(&spend),
    }
}

async fn read(
    ledger: &Ledger,
    command: &SpendCommand,
) -> Result<(Vec<Spend>, Books), chainference_gateway::LedgerError> {
    let now_ms = now_unix_ms();
    let since_ms = now_ms - now_ms.rem_euclid(DAY_MS) - (command.days - 1) * DAY_MS;
    let mut spend = ledger.spend(None, since_ms).await?;
    if let Some(wanted) = &command.key {
        let named = |one: &Spend| one.key_name.as_ref() == Some(wanted);
        spend.retain(|one| one.key_id == *wanted || named(one));
    }
    Ok((spend, ledger.books().await?))
}

fn print_spend(spend: &[Spend]) -> Result<(), CliError> {
    if spend.is_empty() {
        return print("Nothing was spent.\n");
    }
    let mut text = format!(
        "{:<10}  {:<20}  {:>7}  {:>9}  {:>9}  {:>16}  model\n",
        "day", "key", "calls", "in", "out", "cost"
    );
    let mut total = 0_u64;
    for one in spend {
        let day = date(one.day_unix_s.saturating_mul(1_000));
        let key = one.key_name.as_deref().unwrap_or(&one.key_id);
        text += &format!(
            "{:<10}  {key:<20}  {:>7}  {:>9}  {:>9}  {:>16}  {}\n",
            day.get(..10).unwrap_or(&day),
            one.calls,
            one.tokens_in,
            one.tokens_out,
            amount::sol(one.cost_lamports),
            one.model
        );
        total = total.saturating_add(one.cost_lamports);
    }
    text += &format!("{} in all; fees of transactions are apart (--books)\n", amount::sol(total));
    print(&text)
}

fn print_books(books: &Books) -> Result<(), CliError> {
    let mut text = String::new();
    for (account, lamports, what) in [
        ("vault", books.vault, "free money of the vault"),
        ("reserved", books.reserved, "stakes of live jobs"),
        ("workers", books.workers, "paid to workers, the market's fees included"),
        ("gateway", books.gateway, "the gateway's own key"),
        ("rent", books.rent, "lent to the chain for jobs' accounts"),
        ("fees", books.fees, "fees of transactions"),
        ("unseen", books.unseen, "stakes of which nobody saw where they went"),
    ] {
        text += &format!("{account:<9} {lamports:>18}  {what}\n");
    }
    text += &format!("{:<9} {:>18}  lamports; anything but 0 is a fault\n", "sum", books.total());
    print(&text)
}
