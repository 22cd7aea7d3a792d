//! Which models are served, and how each differs from what is set for all. On the command line names; in config.toml also
//! tables:
//!
//! ```toml
//! [[worker.model]]
//! name = "owner/name:Q4_K_M"
//! slots = 8
//! price_in_per_mtok = 300000
//! ```

use std::{fmt, num::NonZeroU32, path::PathBuf, str::FromStr};

use chainference_market::Prices;
use chainference_worker::{
    ModelOptions,
    engine::{KvType, Tuning},
    models::{ModelSource, ModelSourceError},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// One model; what is `None` is as it is set for all.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSetting {
    /// A GGUF file, a Hugging Face id, or "quickstart".
    pub name: String,
    pub context_tokens: Option<NonZeroU32>,
    pub slots: Option<NonZeroU32>,
    pub threads: Option<NonZeroU32>,
    pub gpu_layers: Option<u32>,
    pub flash_attention: Option<bool>,
    #[schemars(with = "Option<String>")]
    pub kv_type: Option<KvType>,
    pub mmap: Option<bool>,
    pub batch_tokens: Option<NonZeroU32>,
    pub ubatch_tokens: Option<NonZeroU32>,
    /// A file with a chat template in Jinja, instead of the model's own.
    pub chat_template: Option<PathBuf>,
    /// Lamports for 1,000,000 tokens.
    pub price_in_per_mtok: Option<u64>,
    pub price_out_per_mtok: Option<u64>,
    pub charge_min_lamports: Option<u64>,
}

impl ModelSetting {
    pub fn source(&self) -> Result<ModelSource, ModelSourceError> {
        self.name.parse()
    }

    /// As the worker takes it; prices that are not set here are `below`.
    pub fn options(&self, below: Prices) -> Result<ModelOptions, ModelSourceError> {
        Ok(ModelOptions {
            prices: Some(Prices {
                input_per_mtok: self.price_in_per_mtok.unwrap_or(below.input_per_mtok),
                output_per_mtok: self.price_out_per_mtok.unwrap_or(below.output_per_mtok),
                charge_min: self.charge_min_lamports.unwrap_or(below.charge_min),
            }),
            context_tokens: self.context_tokens,
            slots: self.slots,
            threads: self.threads,
            gpu_layers: self.gpu_layers,
            tuning: Tuning {
                flash_attention: self.flash_attention,
                kv_type: self.kv_type,
                mmap: self.mmap,
                step_tokens: self.batch_tokens,
                ubatch_tokens: self.ubatch_tokens,
                ..Tuning::default()
            },
            chat_template_path: self.chat_template.clone(),
            ..self.source()?.into()
        })
    }
}

impl FromStr for ModelSetting {
    type Err = ModelSourceError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let setting = Self { name: name.to_owned(), ..Self::default() };
        setting.source().map(|_| setting)
    }
}

/// A name, a table, or a list of either.
pub fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ModelSetting>, D::Error> {
    from.deserialize_any(Given)
}

/// The same for the JSON schema.
pub fn schema(generator: &mut SchemaGenerator) -> Schema {
    let name = json_schema!({"type": "string"});
    let table = generator.subschema_for::<ModelSetting>();
    json_schema!({
        "description": "Model to serve: a GGUF file, a Hugging Face id, or \"quickstart\"; or a table, or a list of these",
        "anyOf": [name, table, {"type": "array", "items": {"anyOf": [name, table]}}],
    })
}

struct Given;

impl<'de> Visitor<'de> for Given {
    type Value = Vec<ModelSetting>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a model, a table with its name, or a list of these")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(vec![name.parse().map_err(E::custom)?])
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(vec![ModelSetting::deserialize(MapAccessDeserializer::new(map))?])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut models = Vec::new();
        while let Some(OneOrMany(some)) = list.next_element()? {
            models.extend(some);
        }
        Ok(models)
    }
}

struct OneOrMany(Vec<ModelSetting>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        one_or_many(from).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn models(text: &str) -> Result<Vec<ModelSetting>, String> {
        let settings = toml::from_str::<Settings>(text).map_err(|error| error.to_string())?;
        Ok(settings.worker.model)
    }

    #[test]
    fn models_are_named_alone_in_a_list_or_in_tables() {
        let named = |name: &str| ModelSetting { name: name.into(), ..ModelSetting::default() };
        assert_eq!(models(""), Ok(Vec::new()));
        assert_eq!(models("[worker]\nmodel = \"a/b\""), Ok(vec![named("a/b")]));
        let two = Ok(vec![named("a/b"), named("/c.gguf")]);
        assert_eq!(models("[worker]\nmodel = [\"a/b\", \"/c.gguf\"]"), two);
        let table = "[[worker.model]]\nname = \"a/b\"\nslots = 2\nkv_type = \"q8_0\"\nchat_template = \"/t.jinja\"\n[[worker.model]]\nname = \"/c.gguf\"";
        let with_slots = ModelSetting {
            slots: NonZeroU32::new(2),
            kv_type: Some(KvType::Q8_0),
            chat_template: Some("/t.jinja".into()),
            ..named("a/b")
        };
        assert_eq!(models(table), Ok(vec![with_slots.clone(), named("/c.gguf")]));
        // As `up` writes them for its children.
        let settings = Settings {
            worker: crate::settings::WorkerSettings {
                model: vec![with_slots.clone(), named("quickstart")],
                ..Default::default()
            },
            ..Default::default()
        };
        let text = toml::to_string(&settings).expect("serialised");
        assert_eq!(models(&text), Ok(vec![with_slots, named("quickstart")]));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, expected) in [
            ("[worker]\nmodel = 7", "the name of a model"),
            ("[worker]\nmodel = \"nonsense\"", "nonsense"),
            ("[[worker.model]]\nname = \"a/b\"\nslot = 2", "slot"),
            ("[[worker.model]]\nslots = 2", "name"),
        ] {
            let error = models(text).expect_err("refused");
            assert!(error.contains(expected) && error.contains("line"), "{error}");
        }
    }

    #[test]
    fn a_models_own_prices_stand_before_those_for_all() {
        let below = Prices { input_per_mtok: 1, output_per_mtok: 2, charge_min: 3 };
        let model = ModelSetting {
            price_out_per_mtok: Some(9),
            ..ModelSetting { name: "a/b".into(), ..ModelSetting::default() }
        };
        let options = model.options(below).expect("a source");
        let expected = Prices { input_per_mtok: 1, output_per_mtok: 9, charge_min: 3 };
        assert_eq!(options.prices, Some(expected));
    }
}
