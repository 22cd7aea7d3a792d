//! Servers of the operator's own that a gateway serves beside, or instead of, the market. On the command line URLs; in
//! config.toml also tables:
//!
//! ```toml
//! [[gateway.upstream]]
//! url = "http://127.0.0.1:8080/v1"
//! key_file = "/etc/chainference/upstream.key"
//! models = ["qwen2.5-7b"]
//! ```

use std::{fmt, path::PathBuf, str::FromStr};

use chainference_gateway::{UpstreamOptions, upstream_url};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// One upstream.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSetting {
    /// Where its API is: what stands before `/chat/completions`.
    pub url: String,
    /// A file (mode 0600) with its API key; none where it asks for none.
    pub key_file: Option<PathBuf>,
    /// The models that it is asked for; none: what its `/models` lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
}

impl UpstreamSetting {
    /// As the gateway takes it.
    pub fn options(&self) -> UpstreamOptions {
        let Self { url, key_file, models } = self.clone();
        UpstreamOptions { url, key_file, models }
    }
}

impl FromStr for UpstreamSetting {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        upstream_url(url)?;
        Ok(Self { url: url.to_owned(), ..Self::default() })
    }
}

/// A URL, a table, or a list of either.
pub fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<UpstreamSetting>, D::Error> {
    from.deserialize_any(Given)
}

/// The same for the JSON schema.
pub fn schema(generator: &mut SchemaGenerator) -> Schema {
    let url = json_schema!({"type": "string"});
    let table = generator.subschema_for::<UpstreamSetting>();
    json_schema!({
        "description": "Server of your own that speaks OpenAI's API, asked first and for nothing: its URL; or a table, or a list of these",
        "anyOf": [url, table, {"type": "array", "items": {"anyOf": [url, table]}}],
    })
}

struct Given;

impl<'de> Visitor<'de> for Given {
    type Value = Vec<UpstreamSetting>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the URL of an upstream, a table with its url, or a list of these")
    }

    fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<Self::Value, E> {
        Ok(vec![url.parse().map_err(E::custom)?])
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let one = UpstreamSetting::deserialize(MapAccessDeserializer::new(map))?;
        upstream_url(&one.url).map_err(serde::de::Error::custom)?;
        Ok(vec![one])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(OneOrMany(some)) = list.next_element()? {
            all.extend(some);
        }
        Ok(all)
    }
}

struct OneOrMany(Vec<UpstreamSetting>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        one_or_many(from).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::Settings;

    #[test]
    fn upstreams_are_urls_or_tables_and_a_wrong_url_is_a_mistake_in_its_line() {
        let read = |text: &str| toml::from_str::<Settings>(text).map(|all| all.gateway.upstream);
        let one = read("[gateway]\nupstream = \"http://a:1/v1\"\n").expect("a URL");
        assert_eq!((one.len(), one[0].url.as_str()), (1, "http://a:1/v1"));
        let text = "[[gateway.upstream]]\nurl = \"http://a:1/v1\"\nkey_file = \"k\"\n\
                    models = [\"m\"]\n[[gateway.upstream]]\nurl = \"https://b/v1\"\n";
        let two = read(text).expect("tables");
        assert_eq!((two.len(), two[0].models.as_slice()), (2, &["m".to_owned()][..]));
        for (wrong, why) in [
            ("[gateway]\nupstream = \"a:1\"\n", "http or https"),
            ("[[gateway.upstream]]\nurl = \"http://me:x@a/v1\"\n", "file of its own"),
            ("[[gateway.upstream]]\nurl = \"http://a/v1\"\nkey = \"x\"\n", "unknown field"),
        ] {
            let error = read(wrong).expect_err("refused").to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
