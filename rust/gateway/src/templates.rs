//! Templates that recur: the instructions and examples that an application puts before each question of its users. They are
//! learned by tenant and route, and left out of what the predictor sees.
//!
//! A template ends where one beginning of a text, up to the end of a line, goes on in many different ways. So the end is found
//! exactly, and one text that is sent again and again is none. Of each beginning a 64-bit hash is kept and a 32-bit sketch of its
//! continuations (linear counting: Whang et al. 1990), in a table of fixed size from which the least used give way; no word of a
//! text is. A text whose first bytes do not recur, nearly every one, costs a hash of them and a look at the table.

use std::{
    hash::{BuildHasher, DefaultHasher, Hasher, RandomState},
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use tradewind_core::live;

/// Bytes that a template has at least: what is shorter does not drown the question.
const LEAST: usize = 128;
/// Bytes of a text in which a template's end is looked for.
const MOST: usize = 32 << 10;
/// Lines that are learned of one text.
const LINES: usize = 128;
/// Bytes by which continuations are told apart.
const CONTINUATION: usize = 64;
/// Continuations that make a template, of the 32 that a sketch can tell apart.
const MANY: u32 = 12;
/// Calls that are counted of a beginning, so that one that is used no more gives way in time.
const MOST_CALLS: u32 = 255;
/// Beginnings in a bucket, which is a cache line.
const WAYS: usize = 4;
/// Buckets: 128 KiB for 8,192 beginnings.
const BUCKETS: usize = 2048;

/// A beginning of texts.
#[derive(Debug, Default)]
struct Slot {
    /// Its hash; 0 where the slot is free.
    key: AtomicU64,
    /// A bit for each continuation.
    seen: AtomicU32,
    /// Calls that began so, less the beginnings that have come to the bucket meanwhile.
    calls: AtomicU32,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([Slot; WAYS]);

/// What recurs, of all tenants. Atomics only: nothing waits for anything, and a sketch does not mind a lost bit.
#[derive(Debug)]
pub struct Templates {
    /// Keyed anew in each process, so that nobody can make two beginnings collide.
    hashes: RandomState,
    buckets: Box<[Bucket]>,
}

impl Default for Templates {
    fn default() -> Self {
        Self { hashes: RandomState::new(), buckets: (0..BUCKETS).map(|_| Bucket::default()).collect() }
    }
}

impl live::Templates for Templates {
    fn bytes(&self, tenant: &str, route: &str, text: &str) -> u32 {
        let Some(beginnings) = Beginnings::of(&self.hashes, tenant, route, text) else { return 0 };
        if !self.seen(beginnings.head()).is_some_and(many) {
            return 0;
        }
        let mut template = 0;
        for (end, key) in beginnings {
            match self.seen(key) {
                Some(seen) if many(seen) => template = end,
                Some(_) => {}
                None => break,
            }
        }
        u32::try_from(template).unwrap_or(0)
    }
}

impl Templates {
    /// Learns from the text of a call.
    pub fn learn(&self, tenant: &str, route: &str, text: &str) {
        let Some(beginnings) = Beginnings::of(&self.hashes, tenant, route, text) else { return };
        let recurs = self.seen(beginnings.head()).is_some_and(many);
        // How it goes on is told by how it ends: what follows the first bytes may belong to the template.
        self.note(beginnings.head(), self.bit(&text.as_bytes()[text.len() - CONTINUATION..], text.len()));
        if !recurs {
            return;
        }
        let mut ended = false;
        for (end, key) in beginnings {
            let known = self.seen(key);
            self.note(key, self.bit(line(&text.as_bytes()[end..]), 0));
            ended |= known.is_some_and(many);
            // Beyond its end, lines are a user's own: one of them is learned, in case the template goes on.
            if ended && known.is_none() {
                break;
            }
        }
    }

    /// The bit of a continuation.
    fn bit(&self, bytes: &[u8], length: usize) -> u32 {
        let mut hash = self.hashes.build_hasher();
        hash.write(bytes);
        hash.write_usize(length);
        1 << (hash.finish() % 32)
    }

    /// The sketch of a beginning that is known.
    fn seen(&self, key: u64) -> Option<u32> {
        self.bucket(key).0.iter().find(|slot| slot.key.load(Acquire) == key).map(|slot| slot.seen.load(Relaxed))
    }

    /// Notes a continuation of a beginning. One that is new takes the place of the least used.
    fn note(&self, key: u64, bit: u32) {
        let slots = &self.bucket(key).0;
        if let Some(slot) = slots.iter().find(|slot| slot.key.load(Acquire) == key) {
            slot.seen.fetch_or(bit, Relaxed);
            let calls = slot.calls.load(Relaxed);
            slot.calls.store(calls.saturating_add(1).min(MOST_CALLS), Relaxed);
            return;
        }
        for slot in slots {
            slot.calls.store(slot.calls.load(Relaxed).saturating_sub(1), Relaxed);
        }
        if let Some(slot) = slots.iter().min_by_key(|slot| slot.calls.load(Relaxed)) {
            // Emptied first: whoever sees the new key must not see the old one's continuations.
            slot.seen.store(0, Relaxed);
            slot.key.store(key, Release);
            slot.seen.fetch_or(bit, Relaxed);
            // More than those who came before it have left: lines of one text that meet in a bucket do not push each other out.
            slot.calls.store(WAYS as u32, Relaxed);
        }
    }

    fn bucket(&self, key: u64) -> &Bucket {
        // The low bits choose; the whole key is compared.
        &self.buckets[key as usize % BUCKETS]
    }
}

/// The line that begins here, as far as it tells continuations apart.
fn line(rest: &[u8]) -> &[u8] {
    let most = &rest[..rest.len().min(CONTINUATION)];
    memchr::memchr(b'\n', most).map_or(most, |end| &most[..end])
}

fn many(seen: u32) -> bool {
    seen.count_ones() >= MANY
}

/// The beginnings of a text that may be a template: each ends with a line, after the first [`LEAST`] bytes and before the last word.
struct Beginnings<'a> {
    /// Without the space at the end: what has nothing else behind it is all that there is, and no template.
    bytes: &'a [u8],
    hash: DefaultHasher,
    at: usize,
    lines: usize,
}

impl<'a> Beginnings<'a> {
    /// `None` for a text that is too short to begin with a template.
    fn of(hashes: &RandomState, tenant: &str, route: &str, text: &'a str) -> Option<Self> {
        if text.len() <= LEAST {
            return None;
        }
        let mut hash = hashes.build_hasher();
        for part in [tenant, route] {
            hash.write(part.as_bytes());
            hash.write_u8(0xFF);
        }
        hash.write(&text.as_bytes()[..LEAST]);
        Some(Self { bytes: text.trim_ascii_end().as_bytes(), hash, at: LEAST, lines: 0 })
    }

    /// The key of the first bytes.
    fn head(&self) -> u64 {
        key(&self.hash)
    }
}

impl Iterator for Beginnings<'_> {
    type Item = (usize, u64);

    /// Where a beginning ends, and its key.
    fn next(&mut self) -> Option<(usize, u64)> {
        if self.lines == LINES {
            return None;
        }
        let within = self.bytes.get(self.at..self.bytes.len().min(MOST))?;
        let end = self.at + memchr::memchr(b'\n', within)? + 1;
        self.hash.write(&self.bytes[self.at..end]);
        self.at = end;
        self.lines += 1;
        Some((end, key(&self.hash)))
    }
}

fn key(hash: &DefaultHasher) -> u64 {
    hash.finish() | 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tradewind_core::live::Templates as _;

    use super::*;

    const TENANT: &str = "a";
    const ROUTE: &str = "a/default";

    fn template(lines: usize) -> String {
        (0..lines).map(|line| format!("Example {line}: what is {line} plus {line}? Answer: {}.\n", 2 * line)).collect()
    }

    fn question(number: usize) -> String {
        format!("Question {number}: why did traveller {number} leave town?\nThink about it.")
    }

    fn check(templates: &Templates, text: &str) -> usize {
        templates.bytes(TENANT, ROUTE, text) as usize
    }

    fn taught(texts: impl IntoIterator<Item = String>) -> Templates {
        let templates = Templates::default();
        for text in texts {
            templates.learn(TENANT, ROUTE, &text);
        }
        templates
    }

    #[test]
    fn a_template_is_left_out_to_its_last_line_once_it_has_been_seen_before_many_questions() {
        let template = template(20);
        let templates = Templates::default();
        let learned = (0..200).find(|&number| {
            let text = format!("{template}{}", question(number));
            let found = check(&templates, &text);
            templates.learn(TENANT, ROUTE, &text);
            assert!(found == 0 || found == template.len(), "{found} of {}", template.len());
            found > 0
        });
        assert!((24..80).contains(&learned.unwrap()), "{learned:?}");
        assert_eq!(check(&templates, &format!("{template}Something else altogether")), template.len());
        assert_eq!(check(&templates, &template), template.len() - template.lines().last().unwrap().len() - 1, "something is left");
    }

    #[test]
    fn it_is_a_tenants_own_and_a_routes_own() {
        let template = template(5);
        let templates = taught((0..100).map(|number| format!("{template}{}", question(number))));
        let text = format!("{template}{}", question(1000));
        assert_eq!(check(&templates, &text), template.len());
        assert_eq!((templates.bytes("b", ROUTE, &text), templates.bytes(TENANT, "a/other", &text)), (0, 0));
    }

    #[test]
    fn what_is_sent_again_and_again_is_no_template() {
        let text = format!("{}{}", template(10), question(1));
        assert_eq!(check(&taught(std::iter::repeat_n(text.clone(), 500)), &text), 0);
    }

    #[test]
    fn short_beginnings_and_single_lines_are_none() {
        let short = "Answer briefly.\n";
        let templates = taught((0..500).map(|number| format!("{short}{}", question(number))));
        assert_eq!(check(&templates, &format!("{short}{}", question(1000))), 0);
        let line = "word ".repeat(100);
        let templates = taught((0..500).map(|number| format!("{line}{number}")));
        assert_eq!(check(&templates, &format!("{line}1000")), 0);
    }

    #[test]
    fn other_texts_do_not_push_it_out() {
        let template = template(10);
        let templates = taught((0..100).map(|number| format!("{template}{}", question(number))));
        for number in 0..50_000 {
            templates.learn(TENANT, ROUTE, &format!("{number} {}\n{}", "x".repeat(LEAST), question(number)));
        }
        assert_eq!(check(&templates, &format!("{template}{}", question(1000))), template.len());
    }

    #[test]
    fn a_new_template_is_learned_though_the_old_one_is_remembered() {
        let (old, new) = (template(12), template(12).replace("Example", "Sample"));
        let templates = taught([&old, &new].into_iter().flat_map(|each| (0..100).map(move |n| format!("{each}{}", question(n)))));
        assert_eq!(check(&templates, &format!("{new}{}", question(1000))), new.len());
        assert_eq!(check(&templates, &format!("{old}{}", question(1000))), old.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_cut_is_the_end_of_a_line_with_words_behind_it(texts in proptest::collection::vec("(a|é|\n| ){100,300}", 40), same in "(a|é|\n){100,200}") {
            let texts: Vec<String> = texts.iter().map(|text| format!("{same}{text}")).collect();
            let templates = taught(texts.iter().cycle().take(200).cloned());
            for text in &texts {
                let cut = check(&templates, text);
                prop_assert!(text.get(cut..).is_some_and(|rest| !rest.trim().is_empty()) || cut == 0);
                prop_assert!(cut == 0 || (cut > LEAST && text.as_bytes()[cut - 1] == b'\n'));
            }
        }
    }
}
