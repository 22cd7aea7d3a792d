use chainference_protocol::TokenLogprob;

use super::engine::{Answer, ask, chat};

fn with_logprobs(temperature: f32, top: u32) -> Answer {
    ask(chat("Which city is the capital of France?", |chat| {
        chat.decoding.sampling.temperature = Some(temperature);
        chat.decoding.sampling.seed = Some(5);
        chat.decoding.sampling.logit_bias = [(2, 1.0)].into();
        chat.decoding.max_tokens = Some(24);
        chat.decoding.logprobs = Some(top);
    }))
}

fn chosen(token: &TokenLogprob) -> f32 {
    token.chosen.logprob.expect("known")
}

#[test]
fn the_greedy_token_is_the_likeliest_and_probabilities_are_some() {
    let answer = with_logprobs(0.0, 5);
    assert!(answer.logprobs.len() > 5);
    let ids: Vec<u32> = answer.logprobs.iter().map(|token| token.chosen.id).collect();
    assert_eq!(ids, answer.tokens[..ids.len()], "one for each token of the text");
    for token in &answer.logprobs {
        assert_eq!(token.top.len(), 5);
        assert_eq!(token.top[0].id, token.chosen.id);
        assert_eq!(token.top[0].logprob, token.chosen.logprob);
        let ordered = token.top.is_sorted_by(|one, next| one.logprob >= next.logprob);
        assert!(ordered && chosen(token) <= 0.0);
        let sum: f32 = token.top.iter().filter_map(|it| it.logprob).map(f32::exp).sum();
        assert!(sum > 0.0 && sum <= 1.0 + 1e-4, "{sum}");
    }
    let bytes: Vec<u8> = answer.logprobs.iter().flat_map(|it| it.chosen.bytes.clone()).collect();
    assert_eq!(String::from_utf8(bytes).expect("text"), answer.text);
}

#[test]
fn they_are_the_models_own_before_any_sampler() {
    let (cold, warm) = (with_logprobs(0.0, 20), with_logprobs(1.5, 20));
    let top = |answer: &Answer| {
        let first = &answer.logprobs[0];
        first.top.iter().map(|it| (it.id, it.logprob)).collect::<Vec<_>>()
    };
    assert_eq!(top(&cold), top(&warm), "temperature and bias change nothing");
    assert!(with_logprobs(0.0, 0).logprobs.iter().all(|token| token.top.is_empty()));
    let none = ask(chat("Hi", |chat| chat.decoding.max_tokens = Some(4)));
    assert!(none.logprobs.is_empty());
}
