//! Which upstreams serve which model. Pure.

use std::sync::Arc;

use serde::Deserialize;

/// A model as an upstream lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub id: String,
    pub created: i64,
    pub owned_by: Option<String>,
    pub context_tokens: Option<u32>,
    pub abilities: Vec<String>,
}

/// A model, and who serves it: their places among all upstreams.
#[derive(Clone, Debug)]
pub struct Served {
    pub model: Arc<Listed>,
    pub(super) by: Vec<usize>,
}

impl Served {
    pub fn id(&self) -> &str {
        &self.model.id
    }
}

/// All models of all upstreams.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Served>);

impl Table {
    /// Adds an upstream's: those that its operator named, else those that it lists.
    pub fn add(&mut self, at: usize, named: &[String], listed: &[Listed]) {
        let known = |id: &String| {
            let found = listed.iter().find(|one| one.id == *id).cloned();
            found.unwrap_or_else(|| Listed { id: id.clone(), ..Listed::default() })
        };
        let models = match named {
            [] => listed.to_vec(),
            named => named.iter().map(known).collect(),
        };
        for model in models {
            match self.0.iter_mut().find(|served| served.model.id == model.id) {
                Some(served) if served.by.contains(&at) => {}
                Some(served) => served.by.push(at),
                None => self.0.push(Served { model: Arc::new(model), by: vec![at] }),
            }
        }
    }

    /// The model that a client means: by its id, or by its id in another case.
    pub fn find(&self, model: &str) -> Option<Served> {
        let exact = self.0.iter().find(|served| served.model.id == model);
        let caseless = || self.0.iter().find(|one| one.model.id.eq_ignore_ascii_case(model));
        exact.or_else(caseless).cloned()
    }

    pub fn all(&self) -> Vec<Served> {
        self.0.clone()
    }
}

/// Reads what `GET /models` answers: OpenAI's fields, and what llama-server, vLLM and this gateway say beyond them.
pub(super) fn read(body: &[u8]) -> Result<Vec<Listed>, serde_json::Error> {
    #[derive(Deserialize)]
    struct List {
        data: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        id: String,
        #[serde(default)]
        created: Option<i64>,
        #[serde(default)]
        owned_by: Option<String>,
        #[serde(default)]
        context_length: Option<u32>,
        #[serde(default)]
        max_model_len: Option<u32>,
        #[serde(default)]
        meta: Option<Meta>,
        #[serde(default)]
        abilities: Option<Vec<String>>,
    }
    #[derive(Deserialize)]
    struct Meta {
        #[serde(default)]
        n_ctx: Option<u32>,
        #[serde(default)]
        n_ctx_train: Option<u32>,
    }
    let List { data } = serde_json::from_slice(body)?;
    let listed = |model: Model| {
        let meta = model.meta.and_then(|meta| meta.n_ctx.or(meta.n_ctx_train));
        Listed {
            id: model.id,
            created: model.created.unwrap_or_default(),
            owned_by: model.owned_by,
            context_tokens: model.context_length.or(model.max_model_len).or(meta),
            abilities: model.abilities.unwrap_or_default(),
        }
    };
    Ok(data.into_iter().map(listed).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(id: &str) -> Listed {
        Listed { id: id.into(), ..Listed::default() }
    }

    #[test]
    fn a_model_is_found_by_its_id_and_in_any_case_at_all_who_serve_it() {
        let mut table = Table::default();
        table.add(0, &[], &[listed("a/b"), listed("C")]);
        table.add(1, &["a/b".into(), "named".into()], &[listed("unnamed")]);
        let by = |model: &str| table.find(model).map(|served| (served.model.id.clone(), served.by));
        assert_eq!(by("a/b"), Some(("a/b".into(), vec![0, 1])));
        assert_eq!(by("A/B"), Some(("a/b".into(), vec![0, 1])));
        assert_eq!(by("c"), Some(("C".into(), vec![0])));
        assert_eq!(by("named"), Some(("named".into(), vec![1])));
        assert_eq!((by("unnamed"), by("b"), by("")), (None, None, None));
    }

    #[test]
    fn what_servers_say_of_their_models_is_read_in_each_ones_words() {
        let list = json!({"object": "list", "data": [
            {"id": "llama", "object": "model", "created": 7, "owned_by": "llamacpp",
                "meta": {"n_ctx_train": 32_768, "vocab_type": 2}},
            {"id": "vllm", "max_model_len": 4_096, "permission": []},
            {"id": "ours", "context_length": 2_048, "abilities": ["chat"], "owned_by": null},
        ]});
        let models = read(list.to_string().as_bytes()).unwrap();
        let contexts: Vec<_> = models.iter().map(|one| one.context_tokens).collect();
        assert_eq!(contexts, [Some(32_768), Some(4_096), Some(2_048)]);
        assert_eq!((models[0].created, models[0].owned_by.as_deref()), (7, Some("llamacpp")));
        assert_eq!(models[2].abilities, ["chat"]);
        assert!(read(b"[]").is_err() && read(b"<html>").is_err());
    }
}
