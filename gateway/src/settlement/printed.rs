//! The most bytes that a template's `tojson` makes of a value, however it indents and escapes.

use serde_json::Value;

/// The widest indentation in use.
const INDENT_BYTES: u64 = 4;
/// A number is printed in many ways, such as `1e-7`, `1e-07`, `0.0000001`.
const NUMBER_BYTES: u64 = 32;

/// Bytes of a value as JSON: each entry on its own line, strings escaped.
pub fn printed_json(value: &Value) -> u64 {
    printed(value, 0)
}

/// Bytes of a text as a JSON string.
pub fn printed_text(text: &str) -> u64 {
    text.chars().map(printed_char).fold(2, u64::saturating_add)
}

fn printed(value: &Value, depth: u64) -> u64 {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(number) => NUMBER_BYTES.max(number.to_string().len() as u64),
        Value::String(text) => printed_text(text),
        Value::Array(items) => {
            let items = items.iter().map(|item| entry(printed(item, depth + 1), depth));
            items.fold(brackets(depth), u64::saturating_add)
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let value = printed(value, depth + 1);
                entry(printed_text(name).saturating_add(2).saturating_add(value), depth)
            });
            fields.fold(brackets(depth), u64::saturating_add)
        }
    }
}

/// A line's end, its indentation, what stands there, and a comma with a space.
fn entry(bytes: u64, depth: u64) -> u64 {
    bytes.saturating_add(3 + INDENT_BYTES * (depth + 1))
}

/// Both of them, the closing one on a line of its own.
fn brackets(depth: u64) -> u64 {
    3 + INDENT_BYTES * depth
}

/// Everything but plain ASCII may be escaped (`\u` and four digits), and what HTML knows too.
fn printed_char(c: char) -> u64 {
    match c {
        '"' | '\\' => 2,
        '<' | '>' | '&' | '\'' | '\0'..='\x1f' | '\x7f' => 6,
        ' '..='~' => 1,
        // Two bytes of UTF-16 are one escape of six.
        c => 6 * c.len_utf16() as u64,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, ser::PrettyFormatter};

    use super::*;

    fn indented(value: &Value) -> usize {
        let mut bytes = Vec::new();
        let formatter = PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        serde::Serialize::serialize(value, &mut serializer).unwrap();
        bytes.len()
    }

    #[test]
    fn no_printing_is_longer() {
        for value in [
            json!(null),
            json!(false),
            json!(-0.000_000_1),
            json!(u64::MAX),
            json!("\u{1}\"\\\n"),
            json!([]),
            json!({}),
            json!({"a": [1, {"b": [[], {}, "x"]}], "c": {"d": {"e": null}}}),
        ] {
            let most = printed_json(&value);
            assert!(most >= indented(&value) as u64, "{value}");
            assert!(most >= value.to_string().len() as u64, "{value}");
        }
    }

    #[test]
    fn characters_count_as_their_longest_escape() {
        for (text, escaped) in [
            ("a", "\"a\""),
            ("é", "\"\\u00e9\""),
            ("😀", "\"\\ud83d\\ude00\""),
            ("<", "\"\\u003c\""),
            ("\n", "\"\\u000a\""),
        ] {
            assert_eq!(printed_text(text), escaped.len() as u64, "{text}");
        }
    }
}
