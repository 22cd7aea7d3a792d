//! Which model a client means: names are written in many ways.

/// How well `asked` names the model; a lower value is a better match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    Exact,
    Caseless,
    Basename,
}

/// Compares a client's name with a model's id and quantisation: the id, or `id:quantisation`; in
/// any case; with or without the organisation before the slash.
pub fn matches(asked: &str, model: &str, quantisation: &str) -> Option<Match> {
    let (name, wanted) = match asked.rsplit_once(':') {
        Some((name, wanted)) => (name, Some(wanted)),
        None => (asked, None),
    };
    if wanted.is_some_and(|wanted| !wanted.eq_ignore_ascii_case(quantisation)) {
        return None;
    }
    let basename = model.rsplit('/').next().unwrap_or(model);
    if name == model {
        Some(Match::Exact)
    } else if name.eq_ignore_ascii_case(model) {
        Some(Match::Caseless)
    } else if name.eq_ignore_ascii_case(basename) {
        Some(Match::Basename)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_by_id_quantisation_case_and_basename() {
        for (asked, expected) in [
            ("Org/Model-1B", Some(Match::Exact)),
            ("Org/Model-1B:Q4_1", Some(Match::Exact)),
            ("Org/Model-1B:q4_1", Some(Match::Exact)),
            ("org/model-1b", Some(Match::Caseless)),
            ("Model-1B", Some(Match::Basename)),
            ("model-1b:Q4_1", Some(Match::Basename)),
            ("Org/Model-1B:Q8_0", None),
            ("Other/Model-1B", None),
            ("Model", None),
            ("", None),
            (":", None),
        ] {
            assert_eq!(matches(asked, "Org/Model-1B", "Q4_1"), expected, "{asked}");
        }
    }
}
