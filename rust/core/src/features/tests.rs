//! The scan against a plain reading of the algorithm, golden texts, and texts that nobody would write.

use std::collections::HashMap;

use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

use super::unicode::{MARKS, PUNCTUATION, REMOVED, contains};
use super::*;

/// BERT's uncased tokenizer step by step over the whole text, then the cut. Slow and without tricks.
fn reference(text: &str) -> Vec<u32> {
    static VOCABULARY: OnceLock<HashMap<&str, u32>> = OnceLock::new();
    let vocabulary = VOCABULARY.get_or_init(|| vocabulary::TEXT.lines().zip(0..).collect());
    let cleaned: String = text
        .chars()
        .filter(|&c| matches!(c, '\t' | '\n' | '\r') || !contains(REMOVED, c))
        .flat_map(|c| match c {
            _ if c.is_whitespace() => vec![' '],
            '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' => vec![' ', c, ' '],
            '\u{20000}'..='\u{2A6DF}' | '\u{2A700}'..='\u{2B81F}' | '\u{2B920}'..='\u{2CEAF}' => vec![' ', c, ' '],
            '\u{2F800}'..='\u{2FA1F}' => vec![' ', c, ' '],
            _ => vec![c],
        })
        .collect();
    let plain: String = cleaned.nfd().filter(|&c| !contains(MARKS, c)).flat_map(char::to_lowercase).collect();
    let mut ids = Vec::new();
    for run in plain.split(char::is_whitespace) {
        let mut rest = run;
        while !rest.is_empty() {
            let mark = |c: char| contains(PUNCTUATION, c);
            let length = match rest.find(mark) {
                Some(0) => rest.chars().next().map_or(0, char::len_utf8),
                Some(length) => length,
                None => rest.len(),
            };
            ids.extend(pieces(&rest[..length], vocabulary));
            rest = &rest[length..];
        }
    }
    if ids.len() > CAP {
        ids = [&ids[..CAP / 2], &ids[ids.len() - CAP / 2..]].concat();
    }
    if ids.is_empty() { vec![0] } else { ids }
}

fn pieces(word: &str, vocabulary: &HashMap<&str, u32>) -> Vec<u32> {
    if word.chars().count() > 100 {
        return vec![100];
    }
    let (mut ids, mut at) = (Vec::new(), 0);
    while at < word.len() {
        let mark = if at == 0 { "" } else { "##" };
        let ends = word[at..].char_indices().map(|(offset, c)| at + offset + c.len_utf8()).rev();
        let found = ends.into_iter().find_map(|end| vocabulary.get(format!("{mark}{}", &word[at..end]).as_str()).map(|&id| (id, end)));
        match found {
            Some((id, end)) => {
                ids.push(id);
                at = end;
            }
            None => return vec![100],
        }
    }
    ids
}

fn check(text: &str) {
    let features = Features::of(text);
    let expected = reference(text);
    assert!(features.ids == expected, "{:?} for {:?}…", features.ids, text.chars().take(80).collect::<String>());
    assert_eq!(features.bytes, text.len());
    for (row, value) in SURFACE.iter().zip(features.surface) {
        assert!(value.is_finite() && value >= 0.0, "{} is {value}", row.name);
    }
    assert_eq!(features, Features::of(text), "the same text has the same features");
}

#[test]
fn golden_ids() {
    for (text, ids) in [
        ("", &[0][..]),
        (" \n\u{0}\u{301}", &[0]),
        ("Hello, world!", &[7592, 1010, 2088, 999]),
        ("Crème Brûlée", &[13675, 21382, 7987, 9307, 2063]),
        ("unaffable tokenization", &[14477, 20961, 3468, 19204, 3989]),
        ("[CLS] is text", &[1031, 18856, 2015, 1033, 2003, 3793]),
        ("中文", &[1746, 1861]),
        ("a\u{200B}b", &[11113]),
        ("🙂 ok", &[100, 7929]),
        ("x ≠ y", &[1060, 1027, 1061]),
    ] {
        assert_eq!(Features::of(text).ids, ids, "{text:?}");
        check(text);
    }
}

#[test]
fn golden_surface() {
    let features = Features::of("Please prove that 128 = 2^7.\nWhat is the capital of France? A) Paris (B) Rome");
    for (name, expected) in [
        ("log_bytes", 78.0f32.ln()),
        ("digits", 5.0 / 77.0),
        ("number_length", (8.0f32 / 3.0).ln()),
        ("operators", (2.0f32 / 77.0).sqrt()),
        ("questions", 0.5),
        ("options", 0.2),
        ("courtesy", (1.0f32 / 24.0).sqrt()),
        ("reasoning", (1.0f32 / 24.0).sqrt()),
        ("easy", (2.0f32 / 24.0).sqrt()),
        ("variety", 22.0 / 23.0),
    ] {
        let index = SURFACE.iter().position(|row| row.name == name).unwrap();
        assert!((features.surface[index] - expected).abs() < 1e-6, "{name}: {}", features.surface[index]);
    }
}

/// Every feature of one text: where this fails, features have changed, so `VERSION` must and predictors be trained anew.
#[test]
fn golden_features_hold_while_the_version_does() {
    assert_eq!(VERSION, "tradewind.features/1");
    let features = Features::of(GOLDEN);
    let text: Vec<String> = features.surface.iter().map(|value| format!("{value:.5}")).collect();
    assert_eq!(text.join(" "), GOLDEN_SURFACE);
}

const GOLDEN: &str = "Hi! Bitte übersetze: „Warum 3 × 14 = 42?“\n\n```python\ndef f(x):\n    return x => 1\n```\n\
    - 证明 the theorem, because https://example.org says so\n1. Tokenization of donaudampfschiff 🙂";
const GOLDEN_SURFACE: &str = "5.24702 4.17439 0.03977 0.87547 0.02273 0.12500 0.13056 0.00000 0.22613 0.14286 0.19943 \
    0.10660 0.50000 0.00000 0.28571 0.18257 0.01136 0.03977 3.93333 0.10000 1.33333 0.06667 0.79688 0.00000 0.22942 \
    0.22942 0.16222 0.00000 0.16222 0.16222 0.03333 2.77259";

#[test]
fn cues_count_in_every_language_and_from_both_ends() {
    let index = |name| SURFACE.iter().position(|row| row.name == name).unwrap();
    for (name, text) in [
        ("reasoning", "explain why"),
        ("reasoning", "Démontrez"),
        ("reasoning", "请证明"),
        ("reasoning", "Докажите"),
        ("easy", "What is"),
        ("easy", "¿Dónde está"),
        ("easy", "翻译"),
        ("courtesy", "Thank you"),
        ("courtesy", "Grüße"),
        ("technical", "théorème"),
    ] {
        assert!(Features::of(text).surface[index(name)] > 0.0, "{name}: {text}");
        let tail = format!("{} {text}", "the ".repeat(600));
        assert!(Features::of(&tail).surface[index(name)] > 0.0, "{name} at the end: {text}");
        assert_eq!(Features::of("The cat sat on the mat").surface[index(name)], 0.0);
    }
}

#[test]
fn extremes_are_read_as_the_reference_reads_them() {
    let long = "a".repeat(1 << 20);
    let repeated = ["é", "中", "한", "🙂", "\u{301}", "\u{0}", ".", " ", "\u{FFFD}", "ﷺ", "\u{200D}"].map(|part| part.repeat(9_000));
    for text in repeated.iter().map(String::as_str).chain([
        long.as_str(),
        &format!("start {long}"),
        &format!("{long} end"),
        &format!("{} {long} {}", "word ".repeat(300), "konstantinopolitanisch ".repeat(300)),
        &"a".repeat(100),
        &"a".repeat(101),
        &"é".repeat(101),
        &format!("{}é", "a".repeat(99)),
        &format!("{}é", "a".repeat(100)),
        &format!("{}한", "a".repeat(98)),
    ]) {
        check(text);
    }
}

/// The cut is the delicate part: every length around both halves, with words of one, few and many pieces.
#[test]
fn the_cut_is_exact_at_every_length() {
    for filler in ["word ", "tokenization, ", "konstantinopolitanischer "] {
        for count in (40..140).chain(250..262).chain(500..520) {
            check(&format!("Antidisestablishmentarianism {}end", filler.repeat(count)));
        }
    }
}

#[test]
fn the_schema_is_a_digest() {
    assert!(schema().strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64));
    assert_eq!(schema(), schema());
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z]{1,12}",
        2 => prop::sample::select(vec!["the", "Prove", "don't", "C++", "x_1", "café", "naïve", "3.14", "ÜBER", "[SEP]", "\r\n", "\t"]).prop_map(String::from),
        1 => "[a-z]{95,105}",
        1 => "[\u{400}-\u{4FF}]{1,10}",
        1 => "[\u{4E00}-\u{4EFF}ぁ-んァ-ン。、]{1,10}",
        1 => "[\u{600}-\u{6FF}]{1,10}",
        1 => "[가-각\u{300}-\u{36F}a-c]{1,8}",
        1 => "\\PC{0,6}",
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_as_the_reference_reads_it(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn any_mixture_is_read_as_the_reference_reads_it(
        words in prop::collection::vec((word(), "[ \n,.]{0,2}"), 0..40),
        repeat in 1usize..40,
    ) {
        let text: String = words.iter().flat_map(|(word, gap)| [word.as_str(), gap.as_str()]).collect();
        check(&text.repeat(repeat));
    }
}
