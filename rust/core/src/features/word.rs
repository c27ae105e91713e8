//! One word, read from the text into a buffer: folded, with the rolling hash of each of its beginnings.

use super::normalise::{BYTES, Byte, Folded, Folds, LOWER, spell};
use super::vocabulary::roll;

/// WordPiece spells longer words as `[UNK]`.
const MOST_CHARACTERS: usize = 100;

/// Room for the longest word: four bytes a character, and a power of two.
const ROOM: usize = 512;

/// The word read last.
pub(super) struct Word {
    bytes: [u8; ROOM],
    hashes: [u64; ROOM + 1],
    length: usize,
    characters: usize,
}

impl Word {
    /// An empty word.
    pub(super) fn new() -> Word {
        Word { bytes: [0; ROOM], hashes: [0; ROOM + 1], length: 0, characters: 0 }
    }

    /// Its folded bytes; not the whole word where it is [too long](Word::is_too_long).
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The rolling hash of its first 0, 1, … bytes.
    #[inline]
    pub(super) fn hashes(&self) -> &[u64] {
        self.hashes.get(..=self.length).unwrap_or_default()
    }

    /// The hash of the whole word.
    #[inline]
    pub(super) fn hash(&self) -> u64 {
        self.hashes.get(self.length).copied().unwrap_or(0)
    }

    /// How many characters it has, folded.
    #[inline]
    pub(super) fn characters(&self) -> usize {
        self.characters
    }

    /// Whether it has more characters than WordPiece spells.
    #[inline]
    pub(super) fn is_too_long(&self) -> bool {
        self.characters > MOST_CHARACTERS
    }

    /// Reads the word at `at`, which ends before `end` at the latest; says where it ends or, where it is too long, where
    /// that became clear.
    #[inline]
    pub(super) fn read(&mut self, text: &str, at: usize, end: usize, folds: &Folds) -> usize {
        self.length = 0;
        self.characters = 0;
        let mut at = self.read_ascii(text.as_bytes(), at, end);
        while at < end && !self.is_too_long() {
            let Some(character) = text.get(at..end).and_then(|rest| rest.chars().next()) else { return end };
            match folds.of(character) {
                Folded::Nothing => {}
                Folded::Space | Folded::Mark(_) | Folded::Ideograph(_) => return at,
                Folded::Letter(letter) => self.push(letter),
                Folded::Letters => spell(character, |letter| self.push(letter)),
            }
            at += character.len_utf8();
            if text.as_bytes().get(at).is_some_and(u8::is_ascii) {
                at = self.read_ascii(text.as_bytes(), at, end);
            }
        }
        at
    }

    /// Makes a word of one character.
    #[inline]
    pub(super) fn set(&mut self, letter: char) {
        self.length = 0;
        self.characters = 0;
        self.push(letter);
    }

    /// Reads ASCII letters and digits up to whatever follows them.
    #[inline]
    fn read_ascii(&mut self, text: &[u8], at: usize, end: usize) -> usize {
        let room = MOST_CHARACTERS + 1 - self.characters.min(MOST_CHARACTERS);
        let (mut hash, mut length) = (self.hash(), self.length);
        for &byte in text.get(at..end.min(at + room)).unwrap_or_default() {
            let letter = LOWER[usize::from(byte)];
            if letter == 0 {
                break;
            }
            self.bytes[length % ROOM] = letter;
            length = (length + 1) % ROOM;
            hash = roll(hash, letter);
            self.hashes[length] = hash;
        }
        let read = length - self.length;
        self.characters += read;
        self.length = length;
        at + read
    }

    #[inline]
    fn push(&mut self, letter: char) {
        self.characters += 1;
        if self.is_too_long() {
            return;
        }
        let mut hash = self.hash();
        for &byte in letter.encode_utf8(&mut [0; 4]).as_bytes() {
            self.bytes[self.length % ROOM] = byte;
            self.length = (self.length + 1) % ROOM;
            hash = roll(hash, byte);
            self.hashes[self.length] = hash;
        }
    }
}

/// Where the word that ends at `end` begins, not before `floor`.
pub(super) fn start(text: &str, end: usize, floor: usize, folds: &Folds) -> usize {
    let bytes = text.as_bytes();
    let mut at = end;
    while at > floor {
        match BYTES[usize::from(bytes[at - 1])] {
            Byte::Letter | Byte::Nothing => at -= 1,
            Byte::Space | Byte::Mark => break,
            Byte::Wide => match before(text, at) {
                Some(character) if continues(folds.of(character)) => at -= character.len_utf8(),
                _ => break,
            },
        }
    }
    at.max(floor)
}

/// Where the word that goes on at `at` ends.
pub(super) fn end(text: &str, at: usize, folds: &Folds) -> usize {
    let bytes = text.as_bytes();
    let mut at = at;
    while let Some(&byte) = bytes.get(at) {
        match BYTES[usize::from(byte)] {
            Byte::Letter | Byte::Nothing => at += 1,
            Byte::Space | Byte::Mark => break,
            Byte::Wide => match text.get(at..).and_then(|rest| rest.chars().next()) {
                Some(character) if continues(folds.of(character)) => at += character.len_utf8(),
                _ => break,
            },
        }
    }
    at
}

/// The character that ends at `end`.
#[inline]
pub(super) fn before(text: &str, end: usize) -> Option<char> {
    text.get(..end).and_then(|rest| rest.chars().next_back())
}

fn continues(folded: Folded) -> bool {
    !matches!(folded, Folded::Space | Folded::Mark(_) | Folded::Ideograph(_))
}
