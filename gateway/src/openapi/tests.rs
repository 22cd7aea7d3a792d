//! The description, held to the router.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

const ROUTER: &str = include_str!("../router.rs");

fn described() -> Value {
    serde_json::to_value(document()).unwrap()
}

/// `.route("/path", post(…).get(…))` → both, each with its path.
fn routed() -> BTreeSet<(String, String)> {
    let mut routes = BTreeSet::new();
    for line in ROUTER.split(".route(").skip(1) {
        let (_, rest) = line.split_once('"').unwrap();
        let (path, handlers) = rest.split_once('"').unwrap();
        let handlers = handlers.split(';').next().unwrap();
        for method in ["get", "post", "delete", "put", "patch"] {
            if handlers.contains(&format!("{method}(")) {
                routes.insert((path.replace("{*", "{"), method.to_owned()));
            }
        }
    }
    routes
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let document = described();
    let paths = document["paths"].as_object().unwrap();
    let told: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(|method| (path.clone(), method.clone()))
        })
        .collect();
    assert_eq!(told, routed());
}

#[test]
fn every_schema_that_is_referred_to_exists() {
    let document = described();
    let text = document.to_string();
    for name in text.split("#/components/schemas/").skip(1) {
        let name = name.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[test]
fn a_body_has_its_own_and_the_shared_parameters() {
    let document = described();
    let schemas = &document["components"]["schemas"];
    assert!(schemas["ChatBody"]["allOf"].is_array(), "{}", schemas["ChatBody"]);
    for (schema, name) in [("ChatRequest", "messages"), ("DecodingRequest", "temperature")] {
        assert!(schemas[schema]["properties"][name].is_object(), "{schema} {name}");
    }
    let needed = schemas["ChatRequest"]["required"].as_array().unwrap();
    assert!(needed.contains(&"model".into()) && needed.contains(&"messages".into()));
}
