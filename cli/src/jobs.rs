//! `chainference jobs`: what each staked request cost, from the gateway's ledger. Works while the gateway runs and without.

use chainference_gateway::{JobSummary, Ledger, LedgerError};

use crate::{
    amount,
    args::{Jobs, JobsAction},
    error::CliError,
    home::Home,
};

pub async fn jobs(home: Home, command: Jobs) -> Result<(), CliError> {
    let all = read(&home).await?;
    match command.action {
        None if command.json => print_json(&all),
        None => {
            print_table(&all);
            Ok(())
        }
        Some(JobsAction::Show { id }) => {
            let job =
                all.iter().find(|job| job.id.starts_with(&id)).ok_or(CliError::NoSuchJob(id))?;
            if command.json { print_json(job) } else { print_one(job) }
        }
    }
}

async fn read(home: &Home) -> Result<Vec<JobSummary>, CliError> {
    let path = home.gateway_ledger();
    if !path.exists() {
        return Ok(Vec::new());
    }
    let failed =
        |error: LedgerError| CliError::Content { path: path.clone(), message: error.to_string() };
    let ledger = Ledger::open_read_only(&path).await.map_err(failed)?;
    ledger.list_jobs().await.map_err(failed)
}

fn print_json<T: serde::Serialize + ?Sized>(value: &T) -> Result<(), CliError> {
    crate::status::print_json(&serde_json::json!(value))
}

fn print_table(jobs: &[JobSummary]) {
    if jobs.is_empty() {
        println!("No jobs yet: each call of /v1/chat/completions is one.");
        return;
    }
    println!(
        "{:<44}  {:<9}  {:>10}  {:>10}  {:>7}  {:>7}  model",
        "job", "status", "stake", "paid", "in", "out"
    );
    for job in jobs {
        println!(
            "{:<44}  {:<9}  {:>10}  {:>10}  {:>7}  {:>7}  {}",
            job.id,
            job.status.name(),
            job.stake,
            job.paid,
            job.tokens_in,
            job.tokens_out,
            job.model
        );
    }
    println!("stake and paid in lamports, in and out in tokens");
}

fn print_one(job: &JobSummary) -> Result<(), CliError> {
    println!("job       {}", job.id);
    println!("status    {}", job.status.name());
    println!("model     {} ({})", job.model, job.quantisation);
    println!("worker    {}", job.worker);
    println!("call      {}", job.call);
    println!("tokens    {} in, {} out", job.tokens_in, job.tokens_out);
    for (name, lamports) in [
        ("stake", job.stake),
        ("paid", job.paid),
        ("refund", job.refund),
        ("fees", job.fees),
        ("rent", job.rent),
    ] {
        println!("{name:<8}  {lamports} lamports ({})", amount::sol(lamports));
    }
    if let Some(error) = &job.error {
        println!("error     {error}");
    }
    Ok(())
}
