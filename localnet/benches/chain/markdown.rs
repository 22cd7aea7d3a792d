//! The figures for people, as Markdown tables.

use crate::Figures;
use crate::bundles::{Bundles, Most};
use crate::instructions::Cost;
use crate::report::{commit, load};
use crate::sessions::Sessions;
use crate::spread::Spread;
use crate::targets::Target;

pub fn markdown(figures: &Figures, targets: &[Target]) -> String {
    let load = load().map(|load| load.to_string()).join(" ");
    format!(
        "Commit {}, load {load} (no figure depends on it).\n\n{}\n{}\n{}\n{}\n\
         Of a claim, {} compute units are the voucher's signature.\n",
        commit(),
        table("Targets | figure | wanted | ", targets.iter().map(target)),
        lamports_a_call(&figures.sessions),
        in_one_transaction(&figures.bundles),
        instructions(&figures.instructions),
        grouped(figures.signature_units),
    )
}

fn target(target: &Target) -> String {
    let verdict = if target.is_met() { "met" } else { "**missed**" };
    format!("{} | {} | {} | {verdict}", target.what, target.figure, target.bound)
}

fn lamports_a_call(Sessions { packings, rent, .. }: &Sessions) -> String {
    let rows = packings.iter().map(|session| {
        let figures = session.lamports_a_call().map(|lamports| format!("{lamports:.1}"));
        let (words, bytes) = (session.packing.words(), grouped(session.transaction_bytes as u64));
        format!("{words} | {} | {bytes}", figures.join(" | "))
    });
    let head = "Lamports a call in a session of | 1 call | 10 | 100 | 1,000 | bytes of the largest transaction";
    let rent = grouped(*rent);
    format!(
        "{}\nA job's account holds {rent} lamports of rent; all of it came back.\n",
        table(head, rows)
    )
}

fn in_one_transaction(bundles: &Bundles) -> String {
    let row = |(_, what, most): (_, &str, &Most)| {
        let Most { count, transaction_bytes, compute_units } = most;
        format!(
            "{what} | {count} | {} | {}",
            grouped(*transaction_bytes as u64),
            grouped(*compute_units)
        )
    };
    let head = "Most in one transaction | count | bytes, of 1,232 | compute units, of 1,400,000";
    table(head, bundles.named().into_iter().map(row))
}

fn instructions(costs: &[Cost]) -> String {
    let rows = costs.iter().map(|cost| {
        let random = Spread::of(&cost.with_random_keys).text();
        let Cost { name, compute_units, data_bytes, transaction_bytes, account_bytes, .. } = cost;
        let units = grouped(*compute_units);
        format!(
            "{name} | {units} | {random} | {data_bytes} | {transaction_bytes} | {account_bytes}"
        )
    });
    let head = "Instruction | compute units | with random keys: median (least–most) | data bytes | transaction bytes \
                | account bytes";
    table(head, rows)
}

fn table(head: &str, rows: impl Iterator<Item = String>) -> String {
    let rule = "---|".repeat(head.split('|').count());
    let rows: String = rows.map(|row| format!("| {row} |\n")).collect();
    format!("| {head} |\n|{rule}\n{rows}")
}

/// 12,345
pub fn grouped(figure: u64) -> String {
    match figure / 1_000 {
        0 => figure.to_string(),
        thousands => format!("{},{:03}", grouped(thousands), figure % 1_000),
    }
}
