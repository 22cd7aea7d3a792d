//! `chainference jobs`: what each staked request cost, from the gateway's ledger. Works while the gateway runs and without.

use std::fmt::Write;

use chainference_gateway::{JobStory, JobSummary, Ledger, LedgerError};

use crate::{
    amount,
    args::{Jobs, JobsAction},
    error::CliError,
    home::Home,
    output::{print, print_json},
};

pub async fn jobs(home: Home, command: Jobs) -> Result<(), CliError> {
    let path = home.gateway_ledger();
    let failed =
        |error: LedgerError| CliError::Content { path: path.clone(), message: error.to_string() };
    let ledger = match path.exists() {
        true => Some(Ledger::open_read_only(&path).await.map_err(failed)?),
        false => None,
    };
    match command.action {
        None => {
            let all = match &ledger {
                Some(ledger) => ledger.list_jobs().await.map_err(failed)?,
                None => Vec::new(),
            };
            if command.json { print_json(&all) } else { print(&table(&all)) }
        }
        Some(JobsAction::Show { id }) => {
            let story = match &ledger {
                Some(ledger) => ledger.story(&id).await.map_err(failed)?,
                None => None,
            };
            let story = story.ok_or(CliError::NoSuchJob(id))?;
            if command.json { print_json(&story) } else { print(&told(&story)) }
        }
    }
}

fn table(jobs: &[JobSummary]) -> String {
    if jobs.is_empty() {
        return "No jobs yet: calls of /v1/chat/completions need one.\n".to_owned();
    }
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "{:<44}  {:<9}  {:<8}  {:>5}  {:>10}  {:>10}  {:>7}  {:>7}  model",
        "job", "status", "mode", "calls", "stake", "paid", "in", "out"
    ));
    for job in jobs {
        line(format!(
            "{:<44}  {:<9}  {:<8}  {:>5}  {:>10}  {:>10}  {:>7}  {:>7}  {}",
            job.id,
            job.status.name(),
            job.mode,
            job.calls,
            job.stake,
            job.paid,
            job.tokens_in,
            job.tokens_out,
            job.model
        ));
    }
    line("stake and paid in lamports, in and out in tokens".to_owned());
    out
}

/// The whole story of a job. Writing to a `String` can't fail.
fn told(story: &JobStory) -> String {
    let mut out = String::new();
    summary(&mut out, &story.summary).ok();
    terms(&mut out, story).ok();
    events(&mut out, story).ok();
    out
}

fn summary(out: &mut String, job: &JobSummary) -> std::fmt::Result {
    writeln!(out, "job       {}", job.id)?;
    writeln!(out, "status    {}", job.status.name())?;
    writeln!(out, "mode      {}", job.mode)?;
    writeln!(out, "model     {} ({})", job.model, job.quantisation)?;
    writeln!(out, "worker    {}", job.worker)?;
    writeln!(out, "tokens    {} in, {} out", job.tokens_in, job.tokens_out)?;
    for (name, lamports) in [
        ("stake", job.stake),
        ("paid", job.paid),
        ("refund", job.refund),
        ("fees", job.fees),
        ("rent", job.rent),
    ] {
        writeln!(out, "{name:<8}  {lamports} lamports ({})", amount::sol(lamports))?;
    }
    if let Some(error) = &job.error {
        writeln!(out, "error     {error}")?;
    }
    if let Some(verdict) = &job.verdict {
        let than = job.compared_with.as_ref().map(|other| format!(" than {other}"));
        let why = job.verdict_reason.as_ref().map(|reason| format!(": {reason}"));
        let (than, why) = (than.unwrap_or_default(), why.unwrap_or_default());
        writeln!(out, "verdict   {verdict}{than}{why}")?;
    }
    Ok(())
}

fn terms(out: &mut String, story: &JobStory) -> std::fmt::Result {
    writeln!(out, "\nterms")?;
    for name in [
        "vault",
        "authority",
        "operator",
        "offer",
        "session_key",
        "stake",
        "max_price_in_per_mtok",
        "max_price_out_per_mtok",
        "max_charge_min",
        "open_slot",
        "serve_until_unix_s",
    ] {
        match &story.terms[name] {
            serde_json::Value::String(text) => writeln!(out, "  {name:<22}  {text}")?,
            other => writeln!(out, "  {name:<22}  {other}")?,
        }
    }
    Ok(())
}

fn events(out: &mut String, story: &JobStory) -> std::fmt::Result {
    writeln!(out, "\ncalls")?;
    for call in &story.calls_made {
        let error = call.error.as_deref().unwrap_or_default();
        let (tokens_in, tokens_out) = (call.tokens_in, call.tokens_out);
        writeln!(
            out,
            "  {}  {:<9}  {tokens_in} in, {tokens_out} out  {error}",
            call.id, call.status
        )?;
    }
    writeln!(out, "\nvouchers, over all calls")?;
    for voucher in &story.vouchers {
        let (tokens_in, tokens_out) = (voucher.tokens_in, voucher.tokens_out);
        writeln!(out, "  {tokens_in:>8} in  {tokens_out:>8} out  {}", voucher.signature)?;
    }
    writeln!(out, "\nreceipts, over all calls")?;
    for receipt in &story.receipts {
        let verdict = receipt.problem.as_deref().unwrap_or("good");
        writeln!(
            out,
            "  call {}  {:<14}  {:>8} in  {:>8} out  {}  {verdict}",
            receipt.call, receipt.kind, receipt.tokens_in, receipt.tokens_out, receipt.signature
        )?;
    }
    writeln!(out, "\ntransactions")?;
    for sent in &story.transactions {
        let added = sent.amount.map(|amount| format!("{amount} more, ")).unwrap_or_default();
        let error = sent.error.as_deref().unwrap_or_default();
        let (kind, status, fee, signature) = (&sent.kind, &sent.status, sent.fee, &sent.signature);
        let together = if sent.jobs > 1 { format!(" ({} jobs)", sent.jobs) } else { String::new() };
        writeln!(
            out,
            "  {kind:<8}  {status:<8}  {added}fee {fee}{together}  {signature}  {error}"
        )?;
    }
    Ok(())
}
