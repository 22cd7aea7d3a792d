//! Leaving the market: no new jobs, the locked ones end, the bond cools down, and all that the record
//! and the offers hold goes back. Each run does what can be done now and says what is waited for.

use std::time::Duration;

use chainference_chain::{
    Instruction, Signer,
    accounts::{JobStatus, UpdateWorkerArgs, Worker as Record, WorkerStatus},
    instruction,
};

use super::Owner;
use crate::{amount, error::CliError, outbox::Outbox, wallet::unreachable};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Instructions that fit into one transaction, each of which moves an account.
const AT_ONCE: usize = 8;

pub async fn retire(owner: &Owner, wait: bool) -> Result<(), CliError> {
    let Some(record) = owner.record().await? else {
        println!("The worker of this home isn't registered: there is nothing to retire.");
        return Ok(());
    };
    if record.status() == WorkerStatus::Active {
        set_status(owner, WorkerStatus::Retiring).await?;
        println!("The worker takes no new jobs from here on.");
    }
    let mut told = Vec::new();
    loop {
        let Some(record) = owner.record().await? else { return Ok(()) };
        let left = left(owner, &record).await?;
        if left.is_empty() {
            return close(owner, &record).await;
        }
        if left != told {
            left.iter().for_each(|line| println!("waits for {line}"));
        }
        if !wait {
            println!("Run this again then, or with --wait. `--undo` brings the worker back.");
            return Ok(());
        }
        told = left;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub async fn undo(owner: &Owner) -> Result<(), CliError> {
    match owner.record().await?.map(|record| record.status()) {
        None => println!("The worker of this home isn't registered: it comes by starting it."),
        Some(WorkerStatus::Active) => println!("The worker is in the market."),
        Some(WorkerStatus::Retiring) => {
            set_status(owner, WorkerStatus::Active).await?;
            println!("The worker is back in the market.");
        }
    }
    Ok(())
}

async fn set_status(owner: &Owner, status: WorkerStatus) -> Result<(), CliError> {
    let args = UpdateWorkerArgs { status: Some(status), ..UpdateWorkerArgs::default() };
    let update = instruction::update_worker(&owner.key.pubkey(), args);
    let outbox = Outbox::open(&owner.home, &owner.chain).await?;
    outbox.send("change the worker's status", &[update], &owner.key).await
}

/// What stands between the worker and its bond, a line each. Jobs whose time is over are ended on the way.
async fn left(owner: &Owner, record: &Record) -> Result<Vec<String>, CliError> {
    let now_unix_s = owner.chain.clock().await.map_err(unreachable)?.unix_s;
    let mut left = Vec::new();
    let locked = end_stale_jobs(owner, now_unix_s).await?;
    if let Some(last_unix_s) = locked.iter().copied().max() {
        left.push(format!(
            "{} locked jobs: the running worker ends and claims them; in {} at the latest they can be ended without it",
            locked.len(),
            span(last_unix_s - now_unix_s)
        ));
    }
    if now_unix_s < record.bond_free_unix_s {
        left.push(format!(
            "the bond, which is held for {} more",
            span(record.bond_free_unix_s - now_unix_s)
        ));
    }
    Ok(left)
}

/// Ends locked jobs that nobody may claim any more in time; the deadlines of the others.
async fn end_stale_jobs(owner: &Owner, now_unix_s: i64) -> Result<Vec<i64>, CliError> {
    let mut deadlines = Vec::new();
    for (address, job) in owner.chain.jobs_of_worker(&owner.record).await.map_err(unreachable)? {
        if job.status() != JobStatus::Locked {
            continue;
        }
        if now_unix_s < job.claim_until_unix_s {
            deadlines.push(job.claim_until_unix_s);
            continue;
        }
        let expire = instruction::expire(&job.vault, &address, Some(owner.record));
        let outbox = Outbox::open(&owner.home, &owner.chain).await?;
        outbox.send("end a job whose time is over", &[expire], &owner.key).await?;
        println!("Ended the job {address}, whose time was over.");
    }
    Ok(deadlines)
}

/// Sweeps the fees, takes the offers back and closes the record: bond, earnings and rent go to the owner.
async fn close(owner: &Owner, record: &Record) -> Result<(), CliError> {
    let me = owner.key.pubkey();
    let held = owner.chain.balance(&owner.record).await.map_err(unreachable)?.0;
    let fees = record.fees_platform.saturating_add(record.fees_stakers);
    let offers = owner.chain.offers().await.map_err(unreachable)?;
    let ours = offers.iter().filter(|(_, offer)| offer.worker == owner.record);
    let mut instructions: Vec<Instruction> = ours
        .map(|(address, offer)| instruction::retract_offer(&me, address, &offer.payer))
        .collect();
    if fees > 0 {
        instructions.push(instruction::sweep_fees(&owner.record));
    }
    instructions.push(instruction::retire_worker(&me));
    let outbox = Outbox::open(&owner.home, &owner.chain).await?;
    for part in instructions.chunks(AT_ONCE) {
        outbox.send("retire the worker", part, &owner.key).await?;
    }
    let paid = held.saturating_sub(fees);
    println!("Retired. {} went to {me}: bond, earnings and rent.", amount::sol(paid));
    if fees > 0 {
        println!("{} of fees went to the market's treasury.", amount::sol(fees));
    }
    Ok(())
}

/// A length of time as people say it.
fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", (seconds + 59) / 60),
        seconds => format!("{} h", (seconds + 3_599) / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_rounded_up() {
        for (seconds, text) in [
            (-5, "0 s"),
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (121, "3 min"),
            (7_199, "120 min"),
            (7_200, "2 h"),
            (2_592_000, "720 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
