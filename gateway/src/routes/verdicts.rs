//! `POST /v1/chainference/feedback` and `POST /v1/chainference/compare`: what a client says of jobs that it
//! paid for. The chain is told at the jobs' close, once their addresses can't be used again: until then a
//! verdict is kept, and after that there is none.

use axum::{
    Json,
    extract::{Extension, Request, State},
    http::StatusCode,
};
use serde::Serialize;

use super::{call, jobs::seen};
use crate::{
    access::Caller,
    clock::now_unix_ms,
    ledger::{Judge, JudgeError, Verdict},
    openai::{ApiError, Comparison, Feedback, parse_comparison, parse_feedback},
    routes::call::RouteError,
    settlement::CallError,
    state::App,
};

/// What is kept.
#[derive(Debug, Serialize)]
pub struct Kept {
    object: &'static str,
    data: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    job: String,
    verdict: Verdict,
}

impl Kept {
    fn new<const N: usize>(verdicts: [(String, Verdict); N]) -> Json<Self> {
        let data = verdicts.into_iter().map(|(job, verdict)| Line { job, verdict }).collect();
        Json(Self { object: "list", data })
    }
}

pub async fn feedback(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Kept>, ApiError> {
    let body = call::read(&app, request.into_body()).await.map_err(|error| error.to_api())?;
    let parsed = parse_feedback(&body).map_err(|error| RouteError::from(error).to_api())?;
    let Feedback { job, is_flag, reason } = parsed;
    seen(&app, &caller, &job, "job").await?;
    let verdict = if is_flag { Verdict::Flag } else { Verdict::Ok };
    let judge = Judge { key_id: caller.key_id(), reason: reason.as_deref() };
    app.settlement.ledger.judge(&job, verdict, judge, now_unix_ms()).await.map_err(refused)?;
    Ok(Kept::new([(job, verdict)]))
}

pub async fn compare(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Kept>, ApiError> {
    let body = call::read(&app, request.into_body()).await.map_err(|error| error.to_api())?;
    let parsed = parse_comparison(&body).map_err(|error| RouteError::from(error).to_api())?;
    let Comparison { better, worse, reason } = parsed;
    for job in [&better, &worse] {
        seen(&app, &caller, job, "jobs").await?;
    }
    let judge = Judge { key_id: caller.key_id(), reason: reason.as_deref() };
    let ledger = &app.settlement.ledger;
    ledger.compare(&better, &worse, judge, now_unix_ms()).await.map_err(refused)?;
    Ok(Kept::new([(better, Verdict::Better), (worse, Verdict::Worse)]))
}

fn refused(error: JudgeError) -> ApiError {
    let told = error.to_string();
    let (code, message) = match error {
        JudgeError::Ledger(error) => {
            tracing::error!(%error, "a verdict could not be kept");
            return CallError::Ledger(error).to_api();
        }
        JudgeError::NotLive { .. } | JudgeError::Closing { .. } => (
            "job_closed",
            "A verdict is given while its job is on the chain: from its lock to its close.",
        ),
        JudgeError::Unpaid { .. } => ("nothing_paid", "Only who paid for a job can judge it."),
        JudgeError::Judged { .. } => ("already_judged", "There is one verdict a job."),
        JudgeError::NotComparable(_) => {
            ("not_comparable", "Two jobs of one model at two workers can be compared.")
        }
    };
    ApiError::invalid(format!("{message} Here {told}.")).status(StatusCode::CONFLICT).code(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{JobStatus, LedgerError};

    #[test]
    fn a_verdict_that_comes_too_late_or_for_nothing_is_a_conflict_by_name() {
        let job = || "J".to_owned();
        for (error, status, code) in [
            (JudgeError::NotLive { job: job(), status: JobStatus::Closed }, 409, "job_closed"),
            (JudgeError::Closing { job: job() }, 409, "job_closed"),
            (JudgeError::Unpaid { job: job() }, 409, "nothing_paid"),
            (JudgeError::Judged { job: job() }, 409, "already_judged"),
            (JudgeError::NotComparable("no"), 409, "not_comparable"),
            (LedgerError::TooLarge { value: 1 }.into(), 503, "ledger_unavailable"),
        ] {
            let told = error.to_string();
            let api = refused(error);
            assert_eq!((api.status.as_u16(), api.code), (status, Some(code)), "{told}");
        }
    }
}
