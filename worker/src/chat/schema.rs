//! Which JSON schemas can be forced. llama.cpp's converter passes over what it doesn't know; here
//! that is refused by name, so that "strict" means strict.

use chainference_protocol::Tool;
use serde_json::{Value, json};

use super::shim;

/// Keywords that constrain, but that no grammar is made of.
const UNKNOWN: [&str; 21] = [
    "multipleOf",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "patternProperties",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
    "additionalItems",
    "not",
    "if",
    "then",
    "else",
    "$dynamicRef",
    "$recursiveRef",
];
const BOUNDS: [&str; 4] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
/// Keywords beside which only these alternatives count.
const ALTERNATIVES: [&str; 3] = ["$ref", "anyOf", "oneOf"];
const CONSTRAINTS: [&str; 12] = [
    "properties",
    "required",
    "additionalProperties",
    "items",
    "prefixItems",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "enum",
    "allOf",
];

/// Whether a grammar can hold an answer to the schema, to the letter.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    if !schema.is_object() {
        return Err("the schema must be an object".to_owned());
    }
    walk(schema, "#")?;
    shim::schema_grammar(&schema.to_string())
        .map(drop)
        .map_err(|reason| format!("no grammar can be made of the schema: {reason}"))
}

/// Arguments are always held to what a grammar can hold; `strict` ones to the letter.
pub(super) fn check_tool(tool: &Tool) -> Result<(), String> {
    let Some(schema) = &tool.parameters else { return Ok(()) };
    let checked = if tool.strict {
        check(schema)
    } else {
        shim::schema_grammar(&schema.to_string()).map(drop)
    };
    checked.map_err(|reason| format!("the parameters of {}: {reason}", tool.name))
}

fn walk(schema: &Value, path: &str) -> Result<(), String> {
    let Some(object) = schema.as_object() else { return Ok(()) };
    let has = |key: &&&str| object.contains_key(**key);
    let refuse = |key: &str| Err(format!("{key} at {path} can't be forced by a grammar"));

    let idle = |key: &&&str| object.get(**key) == Some(&Value::Bool(false));
    if let Some(key) = UNKNOWN.iter().filter(|key| !idle(key)).find(has) {
        return refuse(key);
    }
    if let Some(key) = ALTERNATIVES.iter().find(has) {
        let others = ALTERNATIVES.iter().filter(|other| *other != key);
        if let Some(beside) = others.chain(&CONSTRAINTS).chain(&BOUNDS).find(has) {
            return Err(format!("{beside} beside {key} at {path} can't be forced by a grammar"));
        }
    }
    let is_integer = object.get("type").and_then(Value::as_str) == Some("integer");
    if let Some(key) = BOUNDS.iter().filter(|_| !is_integer).find(has) {
        return refuse(key);
    }
    if let Some(format) = object.get("format").and_then(Value::as_str)
        && !["date", "time", "date-time", "uuid"].contains(&format)
    {
        return Err(format!("format {format} at {path} can't be forced by a grammar"));
    }
    if object.contains_key("pattern")
        && let Some(key) = ["minLength", "maxLength", "format"].iter().find(has)
    {
        return Err(format!("{key} beside pattern at {path} can't be forced by a grammar"));
    }
    if object.get("pattern").is_some_and(|pattern| !is_known_pattern(pattern)) {
        return Err(format!("the pattern at {path} can't be forced by a grammar"));
    }
    let ignored_beside = |key: &str, others: &[&str]| {
        let beside = others.iter().find(has).filter(|_| object.contains_key(key));
        beside.map(|beside| format!("{key} beside {beside} at {path} can't be forced by a grammar"))
    };
    let lengths = ["minItems", "maxItems", "items"];
    let parts = ["properties", "additionalProperties", "items", "prefixItems", "pattern"];
    if let Some(refused) =
        ignored_beside("allOf", &parts).or_else(|| ignored_beside("prefixItems", &lengths))
    {
        return Err(refused);
    }
    required(schema, path)?;
    children(schema, path)
}

/// llama.cpp takes any string where it doesn't know a pattern's form.
fn is_known_pattern(pattern: &Value) -> bool {
    let grammar =
        shim::schema_grammar(&json!({ "type": "string", "pattern": pattern }).to_string());
    grammar.is_ok_and(|grammar| !grammar.lines().any(|line| line == "root ::= string"))
}

/// Every required property must be described: only those are asked for.
fn required(schema: &Value, path: &str) -> Result<(), String> {
    let names = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    match names.into_iter().find(|name| schema["properties"].get(name).is_none()) {
        Some(name) => Err(format!("{path} requires {name}, which is not among its properties")),
        None => Ok(()),
    }
}

fn children(schema: &Value, path: &str) -> Result<(), String> {
    for key in ["properties", "$defs", "definitions"] {
        for (name, child) in schema[key].as_object().into_iter().flatten() {
            walk(child, &format!("{path}/{key}/{name}"))?;
        }
    }
    for key in ["anyOf", "oneOf", "allOf", "items", "prefixItems"] {
        for (index, child) in schema[key].as_array().into_iter().flatten().enumerate() {
            walk(child, &format!("{path}/{key}/{index}"))?;
        }
    }
    for key in ["items", "additionalProperties"] {
        walk(&schema[key], &format!("{path}/{key}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_grammar_can_hold_passes() {
        for schema in [
            json!({ "type": "object" }),
            json!({ "type": "object", "title": "T", "properties": { "a": { "type": "string", "maxLength": 9 } },
                "required": ["a"], "additionalProperties": false }),
            json!({ "type": "array", "items": { "type": "integer", "minimum": 0 }, "minItems": 1, "uniqueItems": false }),
            json!({ "$defs": { "n": { "enum": [1, "two", null] } }, "anyOf": [{ "$ref": "#/$defs/n" }, { "type": "null" }] }),
            json!({ "type": "string", "format": "date-time" }),
            json!({ "type": "string", "pattern": "^[a-z]+$" }),
            json!({ "const": 3, "description": "three" }),
        ] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
        }
    }

    #[test]
    fn what_no_grammar_holds_is_refused_by_name() {
        for (schema, name) in [
            (json!(true), "object"),
            (json!({ "type": "array", "uniqueItems": true }), "uniqueItems"),
            (json!({ "type": "number", "minimum": 1.5 }), "minimum"),
            (json!({ "type": "string", "format": "email" }), "email"),
            (json!({ "type": "string", "pattern": "abc" }), "pattern"),
            (json!({ "type": "string", "pattern": "^(?=a)b$" }), "pattern"),
            (json!({ "type": "object", "required": ["x"] }), "x"),
            (json!({ "properties": { "a": { "not": {} } } }), "#/properties/a"),
            (json!({ "anyOf": [{ "type": "string" }], "required": [] }), "required"),
            (json!({ "$ref": "#/nowhere" }), "nowhere"),
            (json!({ "type": "thing" }), "thing"),
        ] {
            let error = check(&schema).expect_err(name);
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn only_strict_tools_are_held_to_the_letter() {
        let tool = |strict| Tool {
            name: "f".into(),
            description: None,
            parameters: Some(json!({ "type": "array", "uniqueItems": true })),
            strict,
        };
        assert_eq!(check_tool(&tool(false)), Ok(()));
        assert!(check_tool(&tool(true)).is_err());
    }
}
