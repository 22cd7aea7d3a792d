//! Which models a key may use.

/// Models' ids; a `*` at the end stands for any rest. No pattern at all means every model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelList(Vec<String>);

impl ModelList {
    pub fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// Whether a model is on the list, by its id in the market. Case does not matter, as it doesn't
    /// when a model is asked for.
    pub fn allows(&self, model: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| fits(pattern, model))
    }
}

/// Reads one pattern of a list.
///
/// # Errors
/// What is wrong with it, for whoever wrote it.
pub fn model_pattern(text: &str) -> Result<String, String> {
    let id = text.strip_suffix('*').unwrap_or(text);
    if text.is_empty() || id.contains(|c: char| c == '*' || c.is_whitespace()) {
        return Err("a model is an id without spaces, with a `*` at its end or nowhere".to_owned());
    }
    Ok(text.to_owned())
}

fn fits(pattern: &str, model: &str) -> bool {
    match pattern.strip_suffix('*') {
        None => pattern.eq_ignore_ascii_case(model),
        Some(beginning) => {
            model.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_ids_and_beginnings_and_an_empty_one_holds_all() {
        for (patterns, model, expected) in [
            (&[][..], "a/b", true),
            (&["a/b"], "a/b", true),
            (&["A/B"], "a/b", true),
            (&["a/b"], "a/bc", false),
            (&["a/*"], "a/bc", true),
            (&["a/*"], "ab/c", false),
            (&["x/y", "*"], "a/b", true),
            (&["long/pattern*"], "é", false),
        ] {
            let list = ModelList::new(patterns.iter().map(|&one| one.to_owned()).collect());
            assert_eq!(list.allows(model), expected, "{patterns:?} {model}");
        }
    }
}
