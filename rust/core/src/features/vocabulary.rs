//! The WordPiece vocabulary of MiniLM (that of `bert-base-uncased`) and a table in which a piece is found by its hash.
//!
//! A slot's place and content together hold all 64 bits of the hash, beside the id, so that one look at the memory tells
//! whether a word is a piece (comparing the texts would take three). Two different words with equal hashes do not happen
//! by chance (one look-up in 2⁴⁹); someone who forges one gets a wrong id for a word of their own.

use std::sync::OnceLock;

/// The pieces, one a line, in the order of their ids.
pub(super) const TEXT: &str = include_str!("vocab.txt");

/// What stands for a word that the pieces cannot spell: `[UNK]`.
pub(super) const UNKNOWN: u32 = 100;

/// The longest piece, in bytes: longer ones need not be looked for.
const LONGEST: usize = 18;

/// The base of the rolling hash: hash(word + byte) = hash(word) × BASE + byte.
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

/// Where in a word a piece stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At its start.
    First,
    /// Later: the vocabulary marks such pieces by `##`.
    Later,
}

/// The vocabulary and its hash table.
pub(super) struct Vocabulary {
    /// Upper 48 bits: what the place does not tell of the hash; lower 16: the id. 0 is a free slot (`[PAD]` has none).
    slots: Box<[u64]>,
    /// BASE to the power of a piece's length.
    powers: [u64; LONGEST + 1],
    /// The lengths of the pieces that begin with the same three bytes, as bits: most lengths need no look at the slots.
    lengths: Box<[u32]>,
}

/// Adds one byte to a rolling hash.
#[inline]
pub(super) fn roll(hash: u64, byte: u8) -> u64 {
    hash.wrapping_mul(BASE).wrapping_add(u64::from(byte))
}

impl Vocabulary {
    /// The one vocabulary of the process.
    pub(super) fn shared() -> &'static Vocabulary {
        static VOCABULARY: OnceLock<Vocabulary> = OnceLock::new();
        VOCABULARY.get_or_init(Vocabulary::build)
    }

    fn build() -> Vocabulary {
        let mut vocabulary =
            Vocabulary { slots: vec![0; SLOTS].into(), powers: [1; LONGEST + 1], lengths: vec![0; 1 << PREFIX_BITS].into() };
        for length in 1..=LONGEST {
            vocabulary.powers[length] = vocabulary.powers[length - 1].wrapping_mul(BASE);
        }
        for (id, piece) in (0u64..).zip(TEXT.lines()).skip(1) {
            let (bytes, place) = match piece.strip_prefix("##") {
                Some(rest) if !rest.is_empty() => (rest.as_bytes(), Place::Later),
                _ => (piece.as_bytes(), Place::First),
            };
            let (mut slot, rest) = address(bytes.iter().fold(0, |hash, &byte| roll(hash, byte)), place);
            while vocabulary.slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            vocabulary.slots[slot] = rest | id;
            if let Some(prefix) = prefix(bytes, place) {
                vocabulary.lengths[prefix] |= 1 << bytes.len();
            }
        }
        vocabulary
    }

    /// The id of the piece with this hash.
    #[inline]
    pub(super) fn find(&self, hash: u64, place: Place) -> Option<u32> {
        let (mut slot, rest) = address(hash, place);
        loop {
            let entry = *self.slots.get(slot)?;
            if entry == 0 {
                return None;
            }
            if entry ^ rest <= u64::from(u16::MAX) {
                return Some((entry & 0xFFFF) as u32);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The longest piece at the start of `bytes`, with its length; `hashes[i]` is the rolling hash of the word up to
    /// byte i of `bytes`.
    #[inline]
    pub(super) fn longest(&self, bytes: &[u8], hashes: &[u64], place: Place) -> Option<(u32, usize)> {
        let before = *hashes.first()?;
        let reach = bytes.len().min(LONGEST);
        let long = prefix(bytes, place).and_then(|prefix| self.lengths.get(prefix)).copied().unwrap_or(0);
        let mut lengths = (long | SHORT) & ((2 << reach) - 1);
        while lengths != 0 {
            let length = lengths.ilog2() as usize;
            lengths ^= 1 << length;
            let hash = hashes.get(length)?.wrapping_sub(before.wrapping_mul(*self.powers.get(length)?));
            if let Some(id) = self.find(hash, place) {
                return Some((id, length));
            }
        }
        None
    }
}

/// Twice the pieces and a bit more, and all values of 16 bits.
const SLOTS: usize = 1 << 16;

/// The slot of a hash, and those of its bits that the slot does not tell.
#[inline]
fn address(hash: u64, place: Place) -> (usize, u64) {
    let salted = if place == Place::Later { !hash } else { hash };
    let mixed = (salted ^ salted >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    ((mixed >> 48) as usize, mixed << 16)
}

/// Bits of the index into `lengths`.
const PREFIX_BITS: u32 = 13;

/// Pieces of one and two bytes are always looked for, since `lengths` goes by the first three.
const SHORT: u32 = 0b110;

/// Where `lengths` keeps the lengths of the pieces of three bytes and more that begin as `bytes` do.
#[inline]
fn prefix(bytes: &[u8], place: Place) -> Option<usize> {
    let &[first, second, third, ..] = bytes else { return None };
    let later = u8::from(place == Place::Later);
    let key = u32::from_le_bytes([first, second, third, later]);
    Some((key.wrapping_mul(0x9E37_79B1) >> (32 - PREFIX_BITS)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_found_under_its_id_and_nothing_else_is() {
        let vocabulary = Vocabulary::shared();
        assert_eq!(TEXT.lines().count(), super::super::VOCABULARY_LEN);
        for (id, piece) in (0u32..).zip(TEXT.lines()).skip(1) {
            let (text, place) = match piece.strip_prefix("##") {
                Some(rest) => (rest, Place::Later),
                None => (piece, Place::First),
            };
            let mut hashes = vec![0];
            for byte in text.bytes() {
                hashes.push(roll(hashes[hashes.len() - 1], byte));
            }
            assert_eq!(vocabulary.find(hashes[text.len()], place), Some(id), "{piece}");
            assert_eq!(vocabulary.longest(text.as_bytes(), &hashes, place), Some((id, text.len())), "{piece}");
            assert_eq!(vocabulary.find(roll(hashes[text.len()], 1), place), None);
        }
    }
}
