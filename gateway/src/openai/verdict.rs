//! What a client says of jobs that it paid for: `POST /v1/chainference/feedback` and `…/compare`.

use serde::Deserialize;
use utoipa::ToSchema;

use super::read::{RequestError, read};
use crate::limits;

#[derive(Deserialize, ToSchema)]
pub(super) struct FeedbackRequest {
    /// The job's address, as `x-chainference-job` told it.
    job: String,
    /// `ok` or `flag`.
    verdict: String,
    /// Kept in the gateway's ledger; it never goes onto the chain.
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct CompareRequest {
    /// Two jobs of one model at two workers.
    jobs: Vec<String>,
    /// The one of them with the better answer.
    preferred: String,
    /// Kept in the gateway's ledger; it never goes onto the chain.
    #[serde(default)]
    reason: Option<String>,
}

/// A verdict on one job.
#[derive(Debug, PartialEq, Eq)]
pub struct Feedback {
    pub job: String,
    pub is_flag: bool,
    pub reason: Option<String>,
}

/// Which of two jobs was better.
#[derive(Debug, PartialEq, Eq)]
pub struct Comparison {
    pub better: String,
    pub worse: String,
    pub reason: Option<String>,
}

/// # Errors
/// [`RequestError`], for a body that is not JSON, or of a wrong type or value.
pub fn parse_feedback(body: &[u8]) -> Result<Feedback, RequestError> {
    let FeedbackRequest { job, verdict, reason } = read(body)?;
    check(reason.as_deref())?;
    let is_flag = match verdict.as_str() {
        "ok" => false,
        "flag" => true,
        _ => return Err(RequestError::value("verdict", "it must be 'ok' or 'flag'.")),
    };
    Ok(Feedback { job, is_flag, reason })
}

/// # Errors
/// [`RequestError`], for a body that is not JSON, or of a wrong type or value.
pub fn parse_comparison(body: &[u8]) -> Result<Comparison, RequestError> {
    let CompareRequest { jobs, preferred, reason } = read(body)?;
    check(reason.as_deref())?;
    let [first, second] = <[String; 2]>::try_from(jobs)
        .map_err(|_| RequestError::value("jobs", "it must hold two jobs."))?;
    if first == second {
        return Err(RequestError::value("jobs", "a job can't be compared with itself."));
    }
    let (better, worse) = match preferred {
        preferred if preferred == first => (first, second),
        preferred if preferred == second => (second, first),
        _ => return Err(RequestError::value("preferred", "it must be one of 'jobs'.")),
    };
    Ok(Comparison { better, worse, reason })
}

fn check(reason: Option<&str>) -> Result<(), RequestError> {
    let most = limits::REASON_BYTES_MAX;
    if reason.is_some_and(|reason| reason.len() > most) {
        return Err(RequestError::value("reason", format!("it must have at most {most} bytes.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_verdict_is_ok_or_flag_of_one_job() {
        let parse = |body: serde_json::Value| parse_feedback(body.to_string().as_bytes());
        let flag = Feedback { job: "J".into(), is_flag: true, reason: Some("no".into()) };
        assert_eq!(parse(json!({"job": "J", "verdict": "flag", "reason": "no"})), Ok(flag));
        assert!(!parse(json!({"job": "J", "verdict": "ok"})).unwrap().is_flag);
        let long = "x".repeat(limits::REASON_BYTES_MAX + 1);
        for (body, expected) in [
            (json!({"verdict": "ok"}), RequestError::missing("job")),
            (json!({"job": "J"}), RequestError::missing("verdict")),
            (
                json!({"job": "J", "verdict": "good"}),
                RequestError::value("verdict", "it must be 'ok' or 'flag'."),
            ),
            (
                json!({"job": "J", "verdict": "ok", "reason": long}),
                RequestError::value("reason", "it must have at most 500 bytes."),
            ),
        ] {
            assert_eq!(parse(body), Err(expected));
        }
    }

    #[test]
    fn two_jobs_are_compared_and_one_of_them_is_preferred() {
        let parse = |jobs: &[&str], preferred| {
            parse_comparison(json!({"jobs": jobs, "preferred": preferred}).to_string().as_bytes())
        };
        let expected = Comparison { better: "B".into(), worse: "A".into(), reason: None };
        assert_eq!(parse(&["A", "B"], "B"), Ok(expected));
        assert_eq!(parse(&["A", "B"], "A").unwrap().worse, "B");
        for (jobs, preferred, param) in [
            (&["A"][..], "A", "jobs"),
            (&["A", "B", "C"], "A", "jobs"),
            (&["A", "A"], "A", "jobs"),
            (&["A", "B"], "C", "preferred"),
        ] {
            let error = parse(jobs, preferred).unwrap_err();
            assert!(
                matches!(&error, RequestError::Value { param: at, .. } if at == param),
                "{error}"
            );
        }
    }
}
