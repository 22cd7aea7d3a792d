//! What is asked: made up, so that no cache holds it from an earlier round, and such that a small
//! model talks on.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

const WORDS: [&str; 48] = [
    "river",
    "engine",
    "village",
    "orange",
    "winter",
    "silver",
    "garden",
    "captain",
    "island",
    "mirror",
    "forest",
    "teacher",
    "window",
    "planet",
    "bridge",
    "music",
    "doctor",
    "castle",
    "letter",
    "desert",
    "market",
    "shadow",
    "kitchen",
    "thunder",
    "painter",
    "harbour",
    "library",
    "mountain",
    "student",
    "lantern",
    "railway",
    "sailor",
    "valley",
    "farmer",
    "clock",
    "story",
    "summer",
    "carpet",
    "bottle",
    "singer",
    "tower",
    "evening",
    "pocket",
    "hunter",
    "candle",
    "journey",
    "neighbour",
    "ocean",
];

fn words(rng: &mut StdRng, count: usize) -> String {
    let words: Vec<&str> = (0..count).filter_map(|_| WORDS.choose(rng).copied()).collect();
    words.join(" ")
}

/// Some 64 tokens with the model's template, unlike any other from the start.
pub fn story(rng: &mut StdRng) -> String {
    let (things, hero) = (words(rng, 14), words(rng, 1));
    format!("{things}: use these words in a long and detailed story about a {hero}. Begin at once.")
}

/// Prompts of some 600 tokens that share their first nine tenths.
pub fn shared(rng: &mut StdRng, count: usize) -> Vec<String> {
    let notes: Vec<String> = (0..50)
        .map(|number| format!("Note {number}: the {} saw the {}.", words(rng, 1), words(rng, 2)))
        .collect();
    let notes = format!(
        "{} Here are the notes of our {}. {}",
        words(rng, 4),
        words(rng, 1),
        notes.join(" ")
    );
    (0..count)
        .map(|_| {
            let things = words(rng, 20);
            format!("{notes} With these notes in mind, use {things} in a long and detailed story. Begin at once.")
        })
        .collect()
}
