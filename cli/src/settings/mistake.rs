//! Mistakes in config.toml, told so that they can be mended.

/// What is wrong and where, and the name that was probably meant.
pub fn explained(error: &toml::de::Error) -> String {
    let text = error.to_string();
    match meant(error.message()) {
        Some(name) => format!("{text}did you mean `{name}`?"),
        None => text,
    }
}

/// Of `unknown field `x`, expected one of `a`, `b``: the one that is most like `x`, if any is.
fn meant(message: &str) -> Option<&str> {
    let mut names = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let likeness = |name: &str| strsim::jaro_winkler(unknown, name);
    let best = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.75).then_some(best)
}
