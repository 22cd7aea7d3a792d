use chainference_protocol::{FinishReason, Sampling};

use super::engine::{ask, ask_all, ask_quiet, chat};

const COUNT: &str = "Count from one to fifty in words.";
/// The model is sure of each word of its answer: no rounding decides.
const FRANCE: &str = "Which city is the capital of France?";
const BOAT: &str = "Invent a name for a boat and say why.";

fn sampled(sampling: Sampling) -> String {
    ask(chat(BOAT, |chat| {
        chat.decoding.sampling = sampling;
        chat.decoding.max_tokens = Some(40);
    }))
    .text
}

fn warm(seed: u32) -> Sampling {
    Sampling { temperature: Some(1.3), seed: Some(seed), ..Sampling::default() }
}

#[test]
fn the_same_seed_gives_the_same_answers_each_of_several_another() {
    let several = |seed| {
        let answered = ask_quiet(chat(BOAT, |chat| {
            chat.decoding.sampling = warm(seed);
            chat.decoding.max_tokens = Some(24);
            chat.decoding.n = 3;
        }));
        let texts: Vec<String> = answered.answers.into_iter().map(|answer| answer.text).collect();
        (answered.tokens_in, texts)
    };
    let (tokens_in, texts) = several(7);
    assert_eq!(texts.len(), 3);
    assert!(texts[0] != texts[1] && texts[1] != texts[2] && texts[0] != texts[2], "{texts:?}");
    assert_eq!(several(7), (tokens_in, texts.clone()));
    assert_ne!(several(1_000).1, texts);
    let alone = ask_all(chat(BOAT, |chat| chat.decoding.max_tokens = Some(1)));
    assert_eq!(alone.tokens_in, tokens_in, "the prompt is paid once");
}

#[test]
fn a_greedy_answer_is_the_same_whatever_else_runs() {
    let answer = || ask(chat(FRANCE, |chat| chat.decoding.max_tokens = Some(40)));
    let alone = answer();
    assert!(alone.text.contains("Paris"), "{}", alone.text);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| (0..3).map(|seed| sampled(warm(seed))).collect::<Vec<_>>());
        assert!((0..3).all(|_| answer() == alone));
        assert_eq!(others.join().expect("answered").len(), 3);
    });
}

/// Each sampler changes what is drawn with one seed: none is passed over.
#[test]
fn every_sampler_has_its_effect() {
    let plain = Sampling { top_k: Some(0), top_p: Some(1.0), min_p: Some(0.0), ..warm(11) };
    let base = sampled(plain.clone());
    for (name, sampling) in [
        ("top_k", Sampling { top_k: Some(2), ..plain.clone() }),
        ("top_p", Sampling { top_p: Some(0.2), ..plain.clone() }),
        ("min_p", Sampling { min_p: Some(0.5), ..plain.clone() }),
        ("typical_p", Sampling { typical_p: Some(0.2), ..plain.clone() }),
        ("top_n_sigma", Sampling { top_n_sigma: Some(0.5), ..plain.clone() }),
        (
            "xtc",
            Sampling { xtc_probability: Some(1.0), xtc_threshold: Some(0.05), ..plain.clone() },
        ),
        ("dynatemp_range", Sampling { dynatemp_range: Some(1.2), ..plain.clone() }),
        ("seed", Sampling { seed: Some(12), ..plain.clone() }),
        ("presence_penalty", Sampling { presence_penalty: Some(2.0), ..plain.clone() }),
        ("frequency_penalty", Sampling { frequency_penalty: Some(2.0), ..plain.clone() }),
        ("repeat_penalty", Sampling { repeat_penalty: Some(2.0), ..plain.clone() }),
        ("mirostat 1", Sampling { mirostat: Some(1), mirostat_tau: Some(2.0), ..plain.clone() }),
        ("mirostat 2", Sampling { mirostat: Some(2), mirostat_tau: Some(2.0), ..plain.clone() }),
    ] {
        assert_ne!(sampled(sampling), base, "{name}");
    }
    let cool = Sampling { temperature: Some(0.1), ..plain };
    assert_ne!(sampled(cool), base, "temperature");
}

#[test]
fn repetition_is_what_dry_and_the_repeat_penalty_prevent() {
    let repeat = "Say again and again without end: the cat the cat the cat the cat the cat";
    let said = |sampling: Sampling| {
        let sampling = Sampling { temperature: Some(0.0), ..sampling };
        ask(chat(repeat, |chat| {
            chat.decoding.sampling = sampling;
            chat.decoding.max_tokens = Some(48);
            chat.decoding.ignore_eos = true;
        }))
        .text
    };
    let plain = said(Sampling::default());
    let dry =
        Sampling { dry_multiplier: Some(3.0), dry_penalty_last_n: Some(-1), ..Sampling::default() };
    assert_ne!(said(dry.clone()), plain);
    let dryer = Sampling {
        dry_allowed_length: Some(1),
        dry_sequence_breakers: Some(vec!["#".into()]),
        ..dry.clone()
    };
    assert_ne!(said(dryer), said(dry), "breakers and the allowed length count");
    let far =
        Sampling { repeat_penalty: Some(1.8), repeat_last_n: Some(-1), ..Sampling::default() };
    let near = Sampling { repeat_last_n: Some(1), ..far.clone() };
    assert_ne!(said(far.clone()), plain);
    assert_ne!(said(far), said(near), "how far it looks back counts");
}

#[test]
fn a_bias_bans_and_forces() {
    let first = |bias: &[(u32, f32)]| {
        let answer = ask(chat("Hi", |chat| {
            chat.decoding.max_tokens = Some(3);
            chat.decoding.sampling.logit_bias = bias.iter().copied().collect();
        }));
        answer.tokens
    };
    let plain = first(&[])[0];
    assert_ne!(first(&[(plain, -100.0)])[0], plain);
    let other = plain + 1;
    assert_eq!(first(&[(other, 100.0)]), [other; 3]);
}

#[test]
fn an_answer_goes_on_past_its_end_if_asked() {
    let answer = |ignore_eos| {
        ask(chat("Say only: yes", |chat| {
            chat.decoding.ignore_eos = ignore_eos;
            chat.decoding.max_tokens = Some(200);
        }))
    };
    let whole = answer(false);
    assert_eq!(whole.reason, Some(FinishReason::Stop));
    let endless = answer(true);
    assert_eq!((endless.reason, endless.tokens.len()), (Some(FinishReason::Length), 200));
}

#[test]
fn stop_texts_are_never_shown_in_part() {
    let whole = ask(chat(COUNT, |chat| chat.decoding.max_tokens = Some(40))).text;
    let stop: String = whole.chars().skip(20).take(9).collect();
    let stopped = ask(chat(COUNT, |chat| {
        chat.decoding.max_tokens = Some(40);
        chat.decoding.stop = vec!["never said".into(), stop.clone()];
        chat.decoding.logprobs = Some(0);
    }));
    assert_eq!(stopped.reason, Some(FinishReason::Stop));
    assert_eq!(Some(stopped.text.as_str()), whole.split(&stop).next());
    assert!(stopped.logprobs.len() < stopped.tokens.len(), "the stop text is none of the answer");
}
