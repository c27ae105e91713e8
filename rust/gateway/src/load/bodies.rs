//! Distinct request bodies of a wanted size, seeded, of our own words: questions, sums, code, letters, contracts.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

/// Prompt sizes of the benches, in tokens.
pub const SIZES: [u32; 4] = [20, 100, 500, 2000];

/// What a sentence is about; `{…}` is a slot that a word of that list fills.
const SENTENCES: &[&str] = &[
    "What is {n} times {n}, and how did you find it?",
    "A {trade} sells {n} {goods} for {n} coins each and pays {n} for the stall; how much is left?",
    "Please explain to a {trade} why the {thing} turns {colour} in the {season}.",
    "Write a short letter to the {trade} of {place} about the broken {thing}.",
    "The ship left {place} on the {n}th day with {n} {goods} and a {colour} flag.",
    "If the {thing} weighs {n} grams and the {goods} weigh twice as much, what do they weigh together?",
    "Does the contract with the {trade} end when the {thing} is sold before the {season}?",
    "for index in range({n}): total += {goods}[index] * {n}",
    "def {thing}_of({goods}): return sum({goods}) / {n}",
    "Translate the sentence about the {colour} {thing} into plain words.",
    "Compare the roads from {place} to {place} and say which one a {trade} would take in {season}.",
    "My {thing} makes a strange noise after {n} minutes; what should I check first?",
    "Give me {n} names for a shop in {place} that sells {goods}.",
    "Prove that the sum of {n} odd numbers that follow each other is a square.",
    "The tenant shall return the {thing} and all {goods} to the {trade} within {n} days.",
    "Why did the {trade} of {place} keep {n} {goods} under the {colour} roof?",
    "Fix the query: select count(*) from {goods} where {thing} > {n};",
    "Hello, how was your {season} in {place}?",
    "Sort the list of {goods} by price and remove those above {n} coins.",
    "Summarise what the {trade} said about the {colour} {thing} and leave out the rest.",
];

const LISTS: &[(&str, &[&str])] = &[
    ("trade", &["baker", "sailor", "miller", "teacher", "farmer", "clerk", "doctor", "painter", "lawyer", "driver", "nurse", "pilot"]),
    ("goods", &["apples", "lamps", "ropes", "books", "stones", "barrels", "coats", "letters", "bricks", "tables", "pens", "boats"]),
    ("thing", &["engine", "clock", "bridge", "garden", "window", "river", "machine", "signal", "mirror", "wheel", "kettle", "chain"]),
    ("colour", &["red", "green", "blue", "yellow", "white", "black", "grey", "brown"]),
    ("season", &["spring", "summer", "autumn", "winter", "morning", "evening"]),
    ("place", &["the harbour", "the north", "the village", "the old town", "the island", "the valley", "the coast", "the capital"]),
];

/// A generator of numbers from a seed: SplitMix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap_or(0)
    }

    fn sentence(&mut self) -> String {
        let mut sentence = String::new();
        let mut rest = SENTENCES[self.below(SENTENCES.len())];
        while let Some((before, (slot, after))) = rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
            sentence.push_str(before);
            match LISTS.iter().find(|(name, _)| *name == slot) {
                Some((_, words)) => sentence.push_str(words[self.below(words.len())]),
                None => sentence.push_str(&(2 + self.below(9_998)).to_string()),
            }
            rest = after;
        }
        sentence + rest
    }

    /// A prompt of about this many tokens.
    fn prompt(&mut self, tokens: u32) -> String {
        let mut prompt = self.sentence();
        let mut count = estimate(&prompt);
        loop {
            let sentence = self.sentence();
            let longer = count + estimate(&sentence);
            // Stops where it is closest.
            if longer.saturating_sub(tokens) >= tokens.saturating_sub(count) {
                return prompt;
            }
            prompt.push(' ');
            prompt.push_str(&sentence);
            count = longer;
        }
    }
}

/// About how many WordPiece tokens a text has: words, marks, and a second piece for long numbers.
fn estimate(text: &str) -> u32 {
    let mut count = 0;
    let mut run = 0;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            run += 1;
            count += u32::from(run == 1 || (byte.is_ascii_digit() && run == 4));
        } else {
            run = 0;
            count += u32::from(!byte.is_ascii_whitespace());
        }
    }
    count
}

/// Distinct bodies that ask `auto` a prompt of about `tokens` tokens.
#[must_use]
pub fn seeded(seed: u64, tokens: u32, count: usize) -> Vec<Vec<u8>> {
    let mut draw = Draw(seed ^ (u64::from(tokens) << 32));
    let mut seen = HashSet::with_capacity(count);
    let mut bodies = Vec::with_capacity(count);
    while bodies.len() < count {
        let prompt = draw.prompt(tokens);
        let close = estimate(&prompt).abs_diff(tokens) <= tokens / 10;
        if close && !seen.contains(&prompt) {
            bodies.push(body(&prompt));
            seen.insert(prompt);
        }
    }
    bodies
}

/// [`seeded`] for all of [`SIZES`].
#[must_use]
pub fn seeded_by_size(seed: u64, count: usize) -> BTreeMap<u32, Vec<Vec<u8>>> {
    SIZES.into_iter().map(|size| (size, seeded(seed, size, count))).collect()
}

/// The same bodies, asking for a stream.
#[must_use]
pub fn streamed(bodies: &[Vec<u8>]) -> Vec<Vec<u8>> {
    // Behind the opening brace, so that everything else stays as it is.
    bodies.iter().map(|body| [br#"{"stream":true,"#, body.get(1..).unwrap_or_default()].concat()).collect()
}

/// The same bodies, asking for a model by name: for the direct call beside the routed one.
#[must_use]
pub fn named(bodies: &[Vec<u8>], model: &str) -> Vec<Vec<u8>> {
    bodies
        .iter()
        .map(|body| match serde_json::from_slice::<Value>(body) {
            Ok(mut document) => {
                document["model"] = json!(model);
                document.to_string().into_bytes()
            }
            Err(_) => body.clone(),
        })
        .collect()
}

/// Reads JSON Lines as `decide --input` takes them: `{"body": {…}}`, `{"text": "…"}`, or a body itself. Twins are dropped.
///
/// # Errors
/// The number of the first line that is none of these.
pub fn read(lines: &str) -> Result<Vec<Vec<u8>>, usize> {
    let mut seen = HashSet::new();
    let mut bodies = Vec::new();
    for (index, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let document: Value = serde_json::from_str(line).map_err(|_| index + 1)?;
        let bytes = if document["messages"].is_array() {
            line.trim().as_bytes().to_vec()
        } else if document["body"].is_object() {
            document["body"].to_string().into_bytes()
        } else {
            body(document["text"].as_str().ok_or(index + 1)?)
        };
        if seen.insert(bytes.clone()) {
            bodies.push(bytes);
        }
    }
    Ok(bodies)
}

/// Bodies under the one of [`SIZES`] that their text is closest to.
#[must_use]
pub fn by_size(bodies: Vec<Vec<u8>>) -> BTreeMap<u32, Vec<Vec<u8>>> {
    let mut sizes: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
    for body in bodies {
        let tokens = f64::from(
            estimate(&String::from_utf8_lossy(&body))
                .saturating_sub(estimate(r#"{"max_tokens":64,"messages":[{"content":"","role":"user"}],"model":"auto"}"#))
                .max(1),
        );
        let distance = |size: u32| (f64::from(size) / tokens).ln().abs();
        let size = SIZES.into_iter().min_by(|&left, &right| distance(left).total_cmp(&distance(right))).unwrap_or(SIZES[0]);
        sizes.entry(size).or_default().push(body);
    }
    sizes
}

fn body(prompt: &str) -> Vec<u8> {
    // The limit keeps the upstream's work small beside that of what is measured.
    json!({"model": "auto", "messages": [{"role": "user", "content": prompt}], "max_tokens": 64}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tradewind_core::features::Features;

    fn prompt(body: &[u8]) -> String {
        let body: Value = serde_json::from_slice(body).unwrap();
        body["messages"][0]["content"].as_str().unwrap().to_owned()
    }

    #[test]
    fn bodies_are_distinct_seeded_and_of_their_size() {
        for size in SIZES {
            let bodies = seeded(1, size, 200);
            assert_eq!(bodies, seeded(1, size, 200));
            assert_ne!(bodies, seeded(2, size, 200));
            assert_eq!(bodies.iter().collect::<HashSet<_>>().len(), 200);
            let mean = bodies.iter().map(|body| estimate(&prompt(body))).sum::<u32>() / 200;
            assert!(mean.abs_diff(size) * 10 <= size, "{mean} for {size}");
        }
    }

    #[test]
    fn the_estimate_is_about_what_the_core_counts() {
        for size in [20, 100] {
            let bodies = seeded(3, size, 200);
            let counted: usize = bodies.iter().map(|body| Features::of(&prompt(body)).ids.len()).sum();
            let mean = u32::try_from(counted / bodies.len()).unwrap();
            assert!(mean.abs_diff(size) * 100 <= 15 * size, "{mean} for {size}");
        }
    }

    #[test]
    fn bodies_of_others_are_read_and_sorted_by_size() {
        let lines = "{\"text\": \"short one\"}\n\n{\"id\": \"a\", \"body\": {\"model\": \"auto\", \"messages\": []}}\n{\"messages\": [], \"model\": \"m\"}\n{\"text\": \"short one\"}\n";
        let bodies = read(lines).unwrap();
        assert_eq!(bodies.len(), 3);
        assert_eq!(prompt(&bodies[0]), "short one");
        assert_eq!(read("{\"text\": \"x\"}\n{}"), Err(2));
        for size in SIZES {
            assert_eq!(
                by_size(seeded(4, size, 10)).into_iter().map(|(size, bodies)| (size, bodies.len())).collect::<Vec<_>>(),
                [(size, 10)]
            );
        }
    }

    #[test]
    fn a_body_can_ask_for_a_stream_or_another_model_and_stays_json() {
        let bodies = seeded(5, 20, 1);
        let streamed: Value = serde_json::from_slice(&streamed(&bodies)[0]).unwrap();
        assert_eq!(streamed["stream"], true);
        let named: Value = serde_json::from_slice(&named(&bodies, "large")[0]).unwrap();
        assert_eq!((&named["model"], &named["messages"]), (&json!("large"), &streamed["messages"]));
    }
}
