//! The scan: words become pieces, from the start of the text and, where it is long, from its end, never in between.
//!
//! A word's pieces depend on that word alone, and a word's borders on single characters (see [`super::normalise`]). So
//! the last 256 ids of a text can be had by reading words backwards, and a long text costs no more than a short one.

use super::CAP;
use super::cues::{self, Cue, Cues};
use super::normalise::{BYTES, Byte, Folded, Folds};
use super::vocabulary::{Place, UNKNOWN, Vocabulary};
use super::word::{self, Word};

/// Ids kept from each end of a text with more than [`CAP`].
const HALF: usize = CAP / 2;

/// Words of at least so many characters are long.
const LONG_WORD: usize = 9;

/// What the scan found.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Scan {
    /// The ids, capped; empty for a text without words.
    pub ids: Vec<u32>,
    /// The text was read from its start up to here …
    pub head_end: usize,
    /// … and from here to its end.
    pub tail_start: usize,
    /// What was counted on the way.
    pub words: Words,
}

/// Counts over the words that were read; punctuation is no word.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Words {
    /// Words.
    pub count: u32,
    /// Their characters.
    pub characters: u32,
    /// Those with many characters.
    pub long: u32,
    /// Ids that they became.
    pub pieces: u32,
    /// Those that became `[UNK]`.
    pub unknown: u32,
    /// Cues by kind: words and pairs of words that say what is asked for.
    pub cues: [u32; Cue::COUNT],
}

/// Scans a text.
pub(super) fn scan(text: &str) -> Scan {
    let mut scanner = Scanner {
        text,
        folds: Folds::shared(),
        vocabulary: Vocabulary::shared(),
        cues: Cues::shared(),
        word: Word::new(),
        neighbour: 0,
        pair: |before, word| cues::pair(before, word),
        scan: Scan { ids: Vec::with_capacity((text.len() / 4 + 8).min(CAP + HALF)), ..Scan::default() },
    };
    scanner.read_forwards();
    scanner.read_backwards();
    let mut scan = scanner.scan;
    if scan.ids.len() > CAP {
        scan.ids.drain(HALF..scan.ids.len() - HALF);
    }
    scan
}

struct Scanner<'a> {
    text: &'a str,
    folds: &'static Folds,
    vocabulary: &'static Vocabulary,
    cues: &'static Cues,
    word: Word,
    /// The hash of the word read before; 0 where there is none or a mark stands between.
    neighbour: u64,
    /// Makes one key of the neighbour and the word, in the order of the text.
    pair: fn(u64, u64) -> u64,
    scan: Scan,
}

impl Scanner<'_> {
    /// Reads words from the start until they have given half of the ids.
    fn read_forwards(&mut self) {
        let mut at = 0;
        while let Some(&byte) = self.text.as_bytes().get(at) {
            if self.scan.ids.len() >= HALF {
                break;
            }
            at = match BYTES[usize::from(byte)] {
                Byte::Space | Byte::Nothing => at + 1,
                Byte::Letter => self.word_forwards(at),
                Byte::Mark => self.mark(char::from(byte), at + 1),
                Byte::Wide => {
                    let Some(character) = self.text.get(at..).and_then(|rest| rest.chars().next()) else { break };
                    let next = at + character.len_utf8();
                    match self.folds.of(character) {
                        Folded::Nothing | Folded::Space => next,
                        Folded::Mark(mark) => self.mark(mark, next),
                        Folded::Ideograph(ideograph) => self.ideograph(ideograph, next),
                        Folded::Letter(_) | Folded::Letters => self.word_forwards(at),
                    }
                }
            };
        }
        self.scan.head_end = at;
    }

    /// Reads words from the end until they have given the other half, or meet those already read.
    fn read_backwards(&mut self) {
        let floor = self.scan.head_end;
        let first = self.scan.ids.len();
        let mut at = self.text.len();
        self.neighbour = 0;
        self.pair = |after, word| cues::pair(word, after);
        while at > floor && self.scan.ids.len() < first + HALF {
            let Some(character) = word::before(self.text, at) else { break };
            let start = at - character.len_utf8();
            at = match self.folds.of(character) {
                Folded::Nothing | Folded::Space => start,
                Folded::Mark(mark) => self.mark(mark, start),
                Folded::Ideograph(ideograph) => self.ideograph(ideograph, start),
                Folded::Letter(_) | Folded::Letters => self.word_backwards(at, floor),
            };
        }
        if let Some(tail) = self.scan.ids.get_mut(first..) {
            tail.reverse();
        }
        self.scan.tail_start = at;
    }

    fn word_forwards(&mut self, at: usize) -> usize {
        let end = self.word.read(self.text, at, self.text.len(), self.folds);
        self.take_word();
        self.heed();
        if self.word.is_too_long() { word::end(self.text, end, self.folds) } else { end }
    }

    fn word_backwards(&mut self, end: usize, floor: usize) -> usize {
        let start = word::start(self.text, end, floor, self.folds);
        self.word.read(self.text, start, end, self.folds);
        let first = self.scan.ids.len();
        self.take_word();
        if let Some(pieces) = self.scan.ids.get_mut(first..) {
            pieces.reverse();
        }
        self.heed();
        start
    }

    /// Takes a mark of punctuation; passes `next` on.
    #[inline]
    fn mark(&mut self, mark: char, next: usize) -> usize {
        self.word.set(mark);
        let id = self.vocabulary.find(self.word.hash(), Place::First);
        self.scan.ids.push(id.unwrap_or(UNKNOWN));
        self.neighbour = 0;
        next
    }

    /// Takes an ideograph; passes `next` on.
    #[inline]
    fn ideograph(&mut self, ideograph: char, next: usize) -> usize {
        self.word.set(ideograph);
        self.take_word();
        self.heed();
        next
    }

    /// Spells the word in pieces.
    fn take_word(&mut self) {
        let first = self.scan.ids.len();
        let known = !self.word.is_too_long() && self.spell();
        if !known {
            self.scan.ids.truncate(first);
            self.scan.ids.push(UNKNOWN);
        }
        let words = &mut self.scan.words;
        words.count += 1;
        words.characters += self.word.characters() as u32;
        words.long += u32::from(self.word.characters() >= LONG_WORD);
        words.pieces += (self.scan.ids.len() - first) as u32;
        words.unknown += u32::from(!known);
    }

    /// The whole word if it is a piece; else always the longest piece that fits. False if none does.
    fn spell(&mut self) -> bool {
        let (bytes, hashes) = (self.word.bytes(), self.word.hashes());
        if let Some(id) = self.vocabulary.find(self.word.hash(), Place::First) {
            self.scan.ids.push(id);
            return true;
        }
        let (mut at, mut place) = (0, Place::First);
        while let (Some(rest @ [_, ..]), Some(hashes)) = (bytes.get(at..), hashes.get(at..)) {
            let Some((id, length)) = self.vocabulary.longest(rest, hashes, place) else { return false };
            self.scan.ids.push(id);
            at += length;
            place = Place::Later;
        }
        true
    }

    /// Counts the cues that the word is, alone or with its neighbour.
    #[inline]
    fn heed(&mut self) {
        let hash = self.word.hash();
        for key in [hash, (self.pair)(self.neighbour, hash)] {
            if let Some(count) = self.cues.get(key).and_then(|cue| self.scan.words.cues.get_mut(cue)) {
                *count += 1;
            }
        }
        self.neighbour = hash;
    }
}
