//! The tokenizers of models that this gateway has at hand, to count again what workers say to have counted. Who reads
//! a model's file is not the gateway's matter: it is handed to it.

use std::{fmt, sync::Arc};

use chainference_chain::Abilities;
use chainference_protocol::{Answered, Recounted, Task};
use futures_util::future::BoxFuture;

use crate::routing::Candidate;

/// Counts tokens as one model's own tokenizer and chat template do.
pub trait Recount: Send + Sync {
    /// Counts a call's prompt, and each of these answers to it. It has begun when this returns. `None` where it can't
    /// tell: the template refuses the call, or too many ask.
    fn recount(
        &self,
        task: Arc<Task>,
        answers: Vec<Answered>,
    ) -> BoxFuture<'static, Option<Recounted>>;
}

/// A tokenizer, known by the hashes that offers have on chain, never by a name.
#[derive(Clone)]
pub struct Tokenizer {
    pub tokenizer_sha256: [u8; 32],
    /// Of the file that it was read from, whose chat template it has.
    pub gguf_sha256: [u8; 32],
    pub by: Arc<dyn Recount>,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("sha256", &hex::encode(self.tokenizer_sha256)).finish()
    }
}

/// All that are at hand.
#[derive(Clone, Debug, Default)]
pub struct Tokenizers(Arc<[Tokenizer]>);

/// The tokenizer of an offer.
#[derive(Clone)]
pub struct Fit {
    pub by: Arc<dyn Recount>,
    /// Whether it puts chats into text as the worker does: it has the very file, and the worker says to use the
    /// template in it.
    pub knows_template: bool,
}

impl Tokenizers {
    pub fn new(all: &[Tokenizer]) -> Self {
        Self(all.into())
    }

    /// The one that an offer's hashes name. The file itself comes before another with the same vocabulary.
    pub fn of(&self, candidate: &Candidate) -> Option<Fit> {
        let fitting = self.0.iter().filter(|it| it.tokenizer_sha256 == candidate.tokenizer_sha256);
        let is_file = |it: &&Tokenizer| it.gguf_sha256 == candidate.gguf_sha256;
        let fit = |it: &Tokenizer, knows_template| Fit { by: it.by.clone(), knows_template };
        let own = candidate.abilities.contains(Abilities::OWN_TEMPLATE);
        let file = fitting.clone().find(is_file).map(|it| fit(it, !own));
        file.or_else(|| fitting.clone().next().map(|it| fit(it, false)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::candidate_of;

    struct Nobody;

    impl Recount for Nobody {
        fn recount(&self, _: Arc<Task>, _: Vec<Answered>) -> BoxFuture<'static, Option<Recounted>> {
            Box::pin(async { None })
        }
    }

    #[test]
    fn hashes_say_which_tokenizer_an_offer_has_and_whether_its_template_is_known() {
        let tokenizer = |vocabulary, file| Tokenizer {
            tokenizer_sha256: [vocabulary; 32],
            gguf_sha256: [file; 32],
            by: Arc::new(Nobody),
        };
        let all = Tokenizers::new(&[tokenizer(1, 1), tokenizer(1, 2), tokenizer(2, 3)]);
        let plain = Abilities::CHAT;
        for (vocabulary, file, abilities, expected) in [
            (1, 2, plain, Some(true)),
            (1, 9, plain, Some(false)),
            (1, 2, plain | Abilities::OWN_TEMPLATE, Some(false)),
            (2, 1, plain, Some(false)),
            (9, 3, plain, None),
        ] {
            let mut candidate = candidate_of("a/m", "Q4", 1, 0);
            candidate.tokenizer_sha256 = [vocabulary; 32];
            candidate.gguf_sha256 = [file; 32];
            candidate.abilities = abilities;
            let fit = all.of(&candidate).map(|fit| fit.knows_template);
            assert_eq!(fit, expected, "{vocabulary} {file} {abilities}");
        }
    }
}
