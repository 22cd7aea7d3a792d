//! What each instruction costs, held to a table in the tree: who makes one dearer has to say so.
//!
//! `CHAINFERENCE_BLESS=1` writes the table anew.

#[path = "../common/mod.rs"]
mod common;

use std::fmt::Write;

use chainference_chain::{PROGRAM_ID, instruction};
use common::tour::{Step, Tour};
use common::*;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/costs/table.txt");
const HEAD: &str = "\
# instruction                      | compute units | data bytes | transaction bytes | account bytes
# (made or, with a minus, freed; keys are chosen such that each address takes one try; market: far, rated worker)
";
/// Without the signature's verification.
const COMPUTE_UNITS_MAX: i64 = 30_000;

struct Cost {
    name: String,
    /// Compute units, bytes of the instruction's data, of its transaction, and of accounts that it makes or frees.
    figures: [i64; 4],
}

fn measure(step: Step) -> Cost {
    let Step { name, mut market, instruction, signer } = step;
    let bytes = |market: &Market| -> i64 {
        let accounts = market.svm.get_program_accounts(&PROGRAM_ID.to_bytes().into());
        accounts.iter().map(|(_, account)| account.data.len() as i64).sum()
    };
    let before = bytes(&market);
    let data = instruction.data.len() as i64;
    let signed = market.sign(&[instruction], &signer, &[]);
    market.land(&signed).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    market.check_conservation();
    market.check_books();
    let units = market.compute_units as i64;
    Cost {
        name: name.into(),
        figures: [units, data, signed.wire.len() as i64, bytes(&market) - before],
    }
}

fn parse(line: &str) -> Option<Cost> {
    let mut cells = line.split('|').map(str::trim);
    let name = cells.next()?.to_string();
    let figures: Vec<i64> = cells.map_while(|cell| cell.parse().ok()).collect();
    Some(Cost { name, figures: figures.try_into().ok()? })
}

fn table(costs: &[Cost]) -> String {
    let mut text = HEAD.to_string();
    for Cost { name, figures: [units, data, transaction, account] } in costs {
        writeln!(text, "{name:34} | {units:13} | {data:10} | {transaction:17} | {account:13}")
            .unwrap();
    }
    text
}

/// Compute units of one voucher's verification: of a claim that fails in it, less one that fails where it would begin.
fn signature_units() -> i64 {
    let mut market = Market::with_preset(Preset::Far);
    let (job, operator) = (market.locked_job(), market.operator.insecure_clone());
    let mut units = |request, refusal| {
        refused(&mut market, &[instruction::claim(&request)], &[&operator], refusal);
        market.compute_units as i64
    };
    let mut forged = job.claim(Some(PAID), false);
    forged.voucher = Some((PAID, job.vouch(totals(1, 1))));
    units(forged, "BadVoucherSignature") - units(job.claim(None, false), "NoVoucher")
}

#[test]
fn no_instruction_takes_many_compute_units_beside_a_signature() {
    let signature = signature_units();
    println!("a voucher's signature: {signature} compute units");
    assert!(signature > 0);
    for step in Tour::new().steps() {
        let verifies = matches!(step.name, "claim" | "final claim");
        let Cost { name, figures: [units, ..] } = measure(step);
        let own = if verifies { units - signature } else { units };
        println!("{name}: {own}");
        assert!(own <= COMPUTE_UNITS_MAX, "{name}: {own} compute units");
    }
}

#[test]
fn each_instruction_costs_what_the_table_says() {
    let costs: Vec<Cost> = Tour::new().steps().into_iter().map(measure).collect();
    let text = table(&costs);
    print!("{text}");
    if std::env::var_os("CHAINFERENCE_BLESS").is_some() {
        std::fs::write(TABLE, &text).unwrap();
        return;
    }
    let known = std::fs::read_to_string(TABLE).expect("the table is in the tree");
    let known: Vec<Cost> = known.lines().filter_map(parse).collect();
    let names = |costs: &[Cost]| costs.iter().map(|cost| cost.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&costs), names(&known), "the table has other rows: bless it");
    let mut moved = String::new();
    for (now, was) in costs.iter().zip(&known) {
        for (now_figure, was_figure) in now.figures.iter().zip(was.figures) {
            let change = (now_figure - was_figure).abs();
            if change * 20 > was_figure.abs() {
                writeln!(moved, "{}: {was_figure} → {now_figure}", now.name).unwrap();
            }
        }
    }
    assert!(
        moved.is_empty(),
        "costs moved by more than 5 %:\n{moved}where that is meant, or better, CHAINFERENCE_BLESS=1 writes the table anew"
    );
}
