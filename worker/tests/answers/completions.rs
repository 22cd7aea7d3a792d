use chainference_protocol::{FinishReason, Prompt};

use super::engine::{ask, ask_all, completion, refused, try_ask};

const LIST: &str = "Monday, Tuesday, Wednesday,";

#[test]
fn a_text_goes_on_as_it_is() {
    let answered = ask_all(completion(LIST, |it| it.decoding.max_tokens = Some(4)));
    let answer = &answered.answers[0];
    assert!(answer.text.contains("Thursday"), "{}", answer.text);
    assert_eq!((answer.reason, answer.tokens.len()), (Some(FinishReason::Length), 4));
    assert!(answered.tokens_in < 12, "no chat template: {}", answered.tokens_in);
}

#[test]
fn tokens_and_their_text_are_the_same_prompt() {
    let echoed = ask(completion(LIST, |it| {
        it.decoding.max_tokens = Some(6);
        it.decoding.logprobs = Some(0);
        it.echo = true;
    }));
    let ids: Vec<u32> = echoed.logprobs.iter().map(|token| token.chosen.id).collect();
    let prompt = ids[..ids.len() - echoed.tokens.len()].to_vec();
    let by_ids = ask(completion("", |it| {
        it.decoding.max_tokens = Some(6);
        it.prompts = vec![Prompt::Tokens(prompt)];
        it.echo = true;
    }));
    assert_eq!((by_ids.text, by_ids.tokens), (echoed.text, echoed.tokens));
}

#[test]
fn an_echo_brings_the_prompt_and_how_likely_it_was() {
    let echo = |logprobs| {
        ask_all(completion(LIST, |it| {
            it.decoding.max_tokens = Some(3);
            it.decoding.logprobs = logprobs;
            it.decoding.n = 2;
            it.echo = true;
        }))
    };
    let plain = echo(None);
    let told = echo(Some(2));
    let told_tokens_in = told.tokens_in;
    for (plain, told) in plain.answers.iter().zip(&told.answers) {
        assert_eq!(plain.text, told.text);
        assert!(told.text.starts_with(LIST) && told.text.len() > LIST.len(), "{}", told.text);
        assert_eq!(plain.tokens.len(), 3, "the prompt is none of the answer");
        let entries = &told.logprobs;
        assert_eq!(entries.len() as u64, told_tokens_in + told.tokens.len() as u64);
        assert_eq!((entries[0].chosen.logprob, entries[0].top.len()), (None, 0));
        assert!(entries[1..].iter().all(|it| it.chosen.logprob.is_some() && it.top.len() == 2));
        assert!(entries[1..].iter().all(|it| it.chosen.logprob <= it.top[0].logprob));
        // After "Monday, Tuesday," a Wednesday is likelier than most of the vocabulary.
        let wednesday = entries.iter().find(|it| it.chosen.bytes == b" Wednesday").expect("told");
        assert!(wednesday.chosen.logprob > Some(-6.0), "{:?}", wednesday.chosen.logprob);
        let bytes: Vec<u8> = entries.iter().flat_map(|it| it.chosen.bytes.clone()).collect();
        assert_eq!(String::from_utf8_lossy(&bytes), told.text);
    }
}

#[test]
fn a_prompt_alone_can_be_scored() {
    let answer = ask(completion(LIST, |it| {
        it.decoding.max_tokens = Some(0);
        it.decoding.logprobs = Some(1);
        it.echo = true;
    }));
    assert_eq!((answer.text.as_str(), answer.tokens.len()), (LIST, 0));
    assert_eq!(answer.reason, Some(FinishReason::Length));
    assert!(answer.logprobs.len() > 4);
    let error = refused(completion(LIST, |it| it.decoding.max_tokens = Some(0)));
    assert!(error.starts_with("max_tokens"), "{error}");
}

#[test]
fn each_prompt_has_its_answers_in_order() {
    let other = "One, two, three, four,";
    let answered = ask_all(completion(LIST, |it| {
        it.prompts.push(Prompt::Text(other.into()));
        it.decoding.max_tokens = Some(5);
        it.decoding.n = 2;
    }));
    let alone = |prompt| ask(completion(prompt, |it| it.decoding.max_tokens = Some(5))).text;
    let (list, numbers) = (alone(LIST), alone(other));
    let texts: Vec<&str> = answered.answers.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(texts, [&list, &list, &numbers, &numbers]);
}

#[test]
fn what_this_model_cannot_do_is_refused_by_name() {
    let error = refused(completion("a", |it| it.suffix = Some("c".into())));
    assert!(error.starts_with("suffix"), "{error}");
    let error = refused(completion("", |it| it.prompts = vec![Prompt::Tokens(vec![49_152])]));
    assert!(error.starts_with("prompt"), "{error}");
    let error = refused(completion("", |_| ()));
    assert!(error.starts_with("prompt"), "{error}");
    assert!(try_ask(completion(&"word ".repeat(3_000), |_| ())).is_err());
}
