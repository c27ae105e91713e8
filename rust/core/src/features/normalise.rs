//! What one character becomes before words are looked up: BERT's normaliser and pre-tokeniser, character by character.
//!
//! BERT cleans the text, puts spaces around ideographs, decomposes, drops accents, lowers case, then splits at spaces and
//! punctuation. None of these steps looks at a neighbour (except canonical reordering, which moves accents only), so all
//! of them together are one function from a character to a [`Folded`]; that is why a text can be read from both ends.

use std::sync::OnceLock;

use unicode_normalization::char::decompose_canonical;

use super::unicode::{MARKS, PUNCTUATION, REMOVED, contains};

/// What a character does to the word that it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folded {
    /// It disappears, and its neighbours meet.
    Nothing,
    /// It ends the word.
    Space,
    /// It is a mark of punctuation, which stands by itself.
    Mark(char),
    /// It is an ideograph, a word by itself.
    Ideograph(char),
    /// It continues the word, as this character.
    Letter(char),
    /// It continues the word as several characters: see [`spell`].
    Letters,
}

/// Folds any character, slowly: this is the definition, [`Folds`] is its table.
fn define(character: char) -> Folded {
    if matches!(character, '\t' | '\n' | '\r') {
        return Folded::Space;
    }
    if contains(REMOVED, character) {
        return Folded::Nothing;
    }
    if character.is_whitespace() {
        return Folded::Space;
    }
    let mut first = None;
    let mut count = 0;
    spell(character, |letter| {
        first.get_or_insert(letter);
        count += 1;
    });
    match (first, count) {
        (None, _) => Folded::Nothing,
        (Some(letter), 1) if is_ideograph(character) => Folded::Ideograph(letter),
        (Some(letter), 1) if contains(PUNCTUATION, letter) => Folded::Mark(letter),
        (Some(letter), 1) => Folded::Letter(letter),
        _ => Folded::Letters,
    }
}

/// Gives the characters that a letter becomes: decomposed, without accents, in lower case.
pub(super) fn spell(character: char, mut take: impl FnMut(char)) {
    decompose_canonical(character, |part| {
        if !contains(MARKS, part) {
            part.to_lowercase().for_each(&mut take);
        }
    });
}

/// The blocks that BERT calls Chinese: Han ideographs, but not kana and not Hangul.
fn is_ideograph(character: char) -> bool {
    matches!(
        u32::from(character),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B920..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}

/// What an ASCII byte does; `Wide` bytes begin or continue a longer character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Byte {
    /// See [`Folded::Nothing`].
    Nothing,
    /// See [`Folded::Space`].
    Space,
    /// See [`Folded::Mark`].
    Mark,
    /// See [`Folded::Letter`].
    Letter,
    /// Not ASCII.
    Wide,
}

/// The kind of every byte.
pub(super) static BYTES: [Byte; 256] = {
    let mut kinds = [Byte::Wide; 256];
    let mut code = 0;
    while code < 128 {
        let byte = code as u8;
        kinds[code] = match byte {
            b'\t' | b'\n' | b'\r' | b' ' => Byte::Space,
            _ if byte.is_ascii_control() => Byte::Nothing,
            _ if byte.is_ascii_punctuation() => Byte::Mark,
            _ => Byte::Letter,
        };
        code += 1;
    }
    kinds
};

/// For each ASCII letter and digit its lower case, for any other byte 0.
pub(super) static LOWER: [u8; 256] = {
    let mut lower = [0; 256];
    let mut code = 0;
    while code < 128 {
        if matches!(BYTES[code], Byte::Letter) {
            lower[code] = (code as u8).to_ascii_lowercase();
        }
        code += 1;
    }
    lower
};

/// The folds of the Basic Multilingual Plane, worked out once: kind in the top byte, character below.
pub(super) struct Folds {
    packed: Box<[u32]>,
}

const PLANE: u32 = 0x1_0000;

impl Folds {
    /// The one table of the process (256 KiB, of which a text touches the blocks of its script).
    pub(super) fn shared() -> &'static Folds {
        static FOLDS: OnceLock<Folds> = OnceLock::new();
        FOLDS.get_or_init(|| Folds {
            packed: (0..PLANE).map(|code| char::from_u32(code).map_or(0, |character| pack(define(character)))).collect(),
        })
    }

    /// Folds one character.
    #[inline]
    pub(super) fn of(&self, character: char) -> Folded {
        match self.packed.get(character as usize) {
            Some(&packed) => unpack(packed),
            None => define(character),
        }
    }
}

fn pack(folded: Folded) -> u32 {
    match folded {
        Folded::Nothing => 0,
        Folded::Space => 1 << 24,
        Folded::Mark(letter) => 2 << 24 | u32::from(letter),
        Folded::Ideograph(letter) => 3 << 24 | u32::from(letter),
        Folded::Letter(letter) => 4 << 24 | u32::from(letter),
        Folded::Letters => 5 << 24,
    }
}

#[inline]
fn unpack(packed: u32) -> Folded {
    let letter = char::from_u32(packed & 0xFF_FFFF).unwrap_or(char::REPLACEMENT_CHARACTER);
    match packed >> 24 {
        0 => Folded::Nothing,
        1 => Folded::Space,
        2 => Folded::Mark(letter),
        3 => Folded::Ideograph(letter),
        4 => Folded::Letter(letter),
        _ => Folded::Letters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_gives_what_the_definition_says_for_every_character() {
        for character in '\0'..=char::MAX {
            assert_eq!(Folds::shared().of(character), define(character), "{character:?}");
        }
    }

    #[test]
    fn the_byte_table_agrees_with_the_definition() {
        for byte in 0..128u8 {
            let (kind, lower) = match define(char::from(byte)) {
                Folded::Nothing => (Byte::Nothing, 0),
                Folded::Space => (Byte::Space, 0),
                Folded::Mark(_) => (Byte::Mark, 0),
                Folded::Letter(letter) => (Byte::Letter, letter as u8),
                other => panic!("{byte} becomes {other:?}"),
            };
            assert_eq!((BYTES[usize::from(byte)], LOWER[usize::from(byte)]), (kind, lower), "byte {byte}");
        }
    }

    /// Words are found by looking at one character at a time; this is what makes that right.
    #[test]
    fn a_character_that_becomes_several_letters_holds_no_boundary() {
        for character in ('\0'..=char::MAX).filter(|&character| define(character) == Folded::Letters) {
            spell(character, |letter| {
                assert!(matches!(define(letter), Folded::Letter(_)), "{character:?} holds {letter:?}");
            });
        }
    }

    #[test]
    fn characters_fold_as_bert_folds_them() {
        for (character, folded) in [
            ('A', Folded::Letter('a')),
            ('é', Folded::Letter('e')),
            ('Й', Folded::Letter('и')),
            ('が', Folded::Letter('か')),
            ('ß', Folded::Letter('ß')),
            ('İ', Folded::Letter('i')),
            ('≠', Folded::Mark('=')),
            ('中', Folded::Ideograph('中')),
            ('¿', Folded::Mark('¿')),
            ('€', Folded::Letter('€')),
            ('한', Folded::Letters),
            ('\u{0}', Folded::Nothing),
            ('\u{85}', Folded::Nothing),
            ('\u{200D}', Folded::Nothing),
            ('\u{301}', Folded::Nothing),
            ('\u{FFFD}', Folded::Nothing),
            ('\u{3000}', Folded::Space),
        ] {
            assert_eq!(Folds::shared().of(character), folded, "{character:?}");
        }
    }
}
