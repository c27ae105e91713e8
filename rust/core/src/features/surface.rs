//! What the surface of a text shows without being understood: marks, digits, layout, kinds of words.
//!
//! Counts become rates, lengths become logarithms, and only the two ends that the scan reads are looked at, so that the
//! features of a prompt and of the same prompt with a long document inside stay close.

use super::cues::Cue;
use super::wordpiece::{Scan, Words};

/// A surface feature: one row, one number.
pub struct Surface {
    /// Its name, part of the feature schema.
    pub name: &'static str,
    /// What it measures, with its unit.
    pub about: &'static str,
    value: fn(&Reading) -> f32,
}

/// How many surface features there are.
pub const SURFACE_LEN: usize = 32;

/// The surface features, in the order in which predictors are trained on them.
#[rustfmt::skip]
pub static SURFACE: [Surface; SURFACE_LEN] = [
    row("log_bytes", "ln(1 + bytes of the whole text)", |r| log(r.bytes as f32)),
    row("log_ids", "ln(1 + ids kept)", |r| log(r.ids as f32)),
    row("digits", "digits per character", |r| rate(r.marks.digits, r.marks.characters)),
    row("number_length", "ln(1 + mean digits of a number)", |r| log(rate(r.marks.digits, r.marks.numbers))),
    row("upper", "capital letters (A–Z) per character", |r| rate(r.marks.upper, r.marks.characters)),
    row("punctuation", "ASCII marks per character", |r| rate(r.marks.punctuation, r.marks.characters)),
    row("operators", "root of mathematical operators per character", |r| root(r.marks.operators, r.marks.characters)),
    row("latex", "root of backslashes and dollar signs per character", |r| root(r.marks.latex, r.marks.characters)),
    row("code", "root of marks and line starts of code per character", |r| root(r.marks.code, r.marks.characters)),
    row("indentation", "indented lines per line", |r| rate(r.marks.indented, r.marks.lines)),
    row("newlines", "root of line breaks per character", |r| root(r.marks.newlines, r.marks.characters)),
    row("quotes", "root of quotation marks per character", |r| root(r.marks.quotes, r.marks.characters)),
    row("questions", "question marks per sentence, at most 1", |r| rate(r.marks.questions, r.marks.sentences).min(1.0)),
    row("options", "answer options such as `A)`, in tenths, at most 1", |r| (r.marks.options as f32 / 10.0).min(1.0)),
    row("lists", "list items per line", |r| rate(r.marks.items, r.marks.lines)),
    row("links", "root of links per word", |r| root(r.marks.links, r.words.count)),
    row("east_asian", "ideographs, kana and Hangul per character", |r| rate(r.marks.east_asian, r.marks.characters)),
    row("non_ascii", "characters outside ASCII per character", |r| rate(r.marks.non_ascii, r.marks.characters)),
    row("word_length", "mean characters of a word, at most 30", |r| rate(r.words.characters, r.words.count).min(30.0)),
    row("long_words", "words of nine characters and more per word", |r| rate(r.words.long, r.words.count)),
    row("pieces", "pieces per word, at most 10", |r| rate(r.words.pieces, r.words.count).min(10.0)),
    row("unknown", "words that the vocabulary cannot spell per word", |r| rate(r.words.unknown, r.words.count)),
    row("variety", "different ids among the first 64", |r| r.variety),
    row("personal", "root of words in the first person per word", |r| r.cue(Cue::Personal)),
    row("courtesy", "root of greetings, thanks and pleases per word", |r| r.cue(Cue::Courtesy)),
    row("reasoning", "root of cues of stepwise work per word", |r| r.cue(Cue::Reasoning)),
    row("easy", "root of cues of easy work per word", |r| r.cue(Cue::Easy)),
    row("demand", "root of conditions set per word", |r| r.cue(Cue::Demand)),
    row("clause", "root of conjunctions per word", |r| r.cue(Cue::Clause)),
    row("technical", "root of technical terms per word", |r| r.cue(Cue::Technical)),
    row("commas", "commas per word, at most 1", |r| rate(r.marks.commas, r.words.count).min(1.0)),
    row("sentence_length", "ln(1 + mean words of a sentence)", |r| log(rate(r.words.count, r.marks.sentences.max(1)))),
];

const fn row(name: &'static str, about: &'static str, value: fn(&Reading) -> f32) -> Surface {
    Surface { name, about, value }
}

/// The surface features of a text that has been scanned.
pub(super) fn measure(text: &str, scan: &Scan) -> [f32; SURFACE_LEN] {
    let mut marks = Marks::default();
    for window in windows(text, scan).into_iter().flatten() {
        marks.read(window);
    }
    let reading = Reading { bytes: text.len(), ids: scan.ids.len(), marks, words: &scan.words, variety: variety(&scan.ids) };
    std::array::from_fn(|index| (SURFACE[index].value)(&reading))
}

/// All that a row can ask for.
struct Reading<'a> {
    bytes: usize,
    ids: usize,
    marks: Marks,
    words: &'a Words,
    variety: f32,
}

/// Words added to the length of a text where cues are counted, so that one cue among three words is not the extreme.
const CUE_SMOOTHING: u32 = 8;

impl Reading<'_> {
    fn cue(&self, cue: Cue) -> f32 {
        root(self.words.cues[cue as usize], self.words.count + CUE_SMOOTHING)
    }
}

fn rate(count: u32, of: u32) -> f32 {
    count as f32 / of.max(1) as f32
}

/// The root of a rate: heavy tails become short, one in a hundred still shows.
fn root(count: u32, of: u32) -> f32 {
    rate(count, of).sqrt()
}

/// In double precision, so that the last bit does not depend on the platform's logarithm.
fn log(value: f32) -> f32 {
    f64::from(value).ln_1p() as f32
}

/// How many ids `variety` looks at: more would measure length.
const VARIETY: usize = 64;

/// The share of different ids among the first ones.
fn variety(ids: &[u32]) -> f32 {
    const SLOTS: usize = 4 * VARIETY;
    let mut seen = [u16::MAX; SLOTS];
    let (mut different, mut read) = (0, 0);
    for &id in ids.iter().take(VARIETY) {
        let id = id as u16;
        let mut slot = usize::from(id.wrapping_mul(40_503) >> 8) % SLOTS;
        while seen[slot] != u16::MAX && seen[slot] != id {
            slot = (slot + 1) % SLOTS;
        }
        different += u32::from(seen[slot] != id);
        seen[slot] = id;
        read += 1;
    }
    rate(different, read)
}

/// Bytes looked at from each end; 256 ids rarely need so many, a word of a megabyte would.
const WINDOW: usize = 4096;

/// The ends that the scan read: the whole text where they meet.
fn windows<'a>(text: &'a str, scan: &Scan) -> [Option<&'a str>; 2] {
    if scan.tail_start <= scan.head_end && text.len() <= 2 * WINDOW {
        return [Some(text), None];
    }
    let head_end = text.floor_char_boundary(scan.head_end.min(WINDOW));
    let tail_start = text.ceil_char_boundary(scan.tail_start.max(text.len().saturating_sub(WINDOW)).max(head_end));
    [text.get(..head_end), text.get(tail_start..)]
}

/// Counts over the bytes of the windows.
#[derive(Debug, Default, Clone, PartialEq)]
struct Marks {
    characters: u32,
    east_asian: u32,
    non_ascii: u32,
    digits: u32,
    upper: u32,
    punctuation: u32,
    operators: u32,
    newlines: u32,
    quotes: u32,
    commas: u32,
    code: u32,
    latex: u32,
    numbers: u32,
    sentences: u32,
    questions: u32,
    options: u32,
    links: u32,
    lines: u32,
    indented: u32,
    items: u32,
}

/// What a byte adds, whatever stands beside it: each class has a byte of a 128-bit counter of its own.
mod lane {
    pub(super) const CONTINUATION: u32 = 0;
    pub(super) const EAST_ASIAN: u32 = 1;
    pub(super) const NON_ASCII: u32 = 2;
    pub(super) const DIGIT: u32 = 3;
    pub(super) const UPPER: u32 = 4;
    pub(super) const PUNCTUATION: u32 = 5;
    pub(super) const OPERATOR: u32 = 6;
    pub(super) const NEWLINE: u32 = 7;
    pub(super) const QUOTE: u32 = 8;
    pub(super) const COMMA: u32 = 9;
    pub(super) const CODE: u32 = 10;
    pub(super) const LATEX: u32 = 11;
}

/// So many bytes can be counted before a lane overflows.
const CHUNK: usize = 255;

static LANES: [u128; 256] = {
    let mut lanes = [0; 256];
    let mut code = 0;
    while code < 256 {
        let byte = code as u8;
        lanes[code] = bit(matches!(byte, 0x80..=0xBF), lane::CONTINUATION)
            | bit(matches!(byte, 0xE3..=0xED), lane::EAST_ASIAN)
            | bit(matches!(byte, 0xC0..=0xFF), lane::NON_ASCII)
            | bit(byte.is_ascii_digit(), lane::DIGIT)
            | bit(byte.is_ascii_uppercase(), lane::UPPER)
            | bit(byte.is_ascii_punctuation(), lane::PUNCTUATION)
            | bit(matches!(byte, b'+' | b'*' | b'=' | b'<' | b'>' | b'^' | b'%' | b'|' | b'~' | b'&'), lane::OPERATOR)
            | bit(byte == b'\n', lane::NEWLINE)
            | bit(byte == b'"', lane::QUOTE)
            | bit(byte == b',', lane::COMMA)
            | bit(matches!(byte, b'{' | b'}' | b'[' | b']' | b';' | b'_' | b'`'), lane::CODE)
            | bit(matches!(byte, b'\\' | b'$'), lane::LATEX);
        code += 1;
    }
    lanes
};

const fn bit(is: bool, lane: u32) -> u128 {
    (is as u128) << (8 * lane)
}

/// Bytes that mean something only together with their neighbours.
static EVENTS: [bool; 256] = {
    let mut events = [false; 256];
    let mut code = 0;
    while code < 256 {
        let byte = code as u8;
        events[code] = byte.is_ascii_digit()
            || matches!(byte, b'\n' | b'.' | b'!' | b'?' | b')' | b':' | b'=' | b'-')
            || matches!(byte, 0xC2 | 0xD8 | 0xE2 | 0xE3 | 0xEF);
        code += 1;
    }
    events
};

/// How lines of code begin.
#[rustfmt::skip]
const CODE_LINES: [&[u8]; 14] = [
    b"def ", b"class ", b"import ", b"from ", b"fn ", b"func ", b"function ", b"return ", b"for (", b"if (", b"#include", b"SELECT ",
    b"public ", b"const ",
];

impl Marks {
    fn read(&mut self, window: &str) {
        let bytes = window.as_bytes();
        self.line(bytes);
        let mut position = 0;
        for chunk in bytes.chunks(CHUNK) {
            let mut lanes = 0u128;
            for &byte in chunk {
                lanes = lanes.wrapping_add(LANES[usize::from(byte)]);
                if EVENTS[usize::from(byte)] {
                    self.event(byte, bytes, position);
                }
                position += 1;
            }
            self.add(lanes, chunk.len() as u32);
        }
    }

    fn add(&mut self, lanes: u128, bytes: u32) {
        let count = |lane: u32| (lanes >> (8 * lane)) as u32 & 0xFF;
        self.characters += bytes - count(lane::CONTINUATION);
        self.east_asian += count(lane::EAST_ASIAN);
        self.non_ascii += count(lane::NON_ASCII);
        self.digits += count(lane::DIGIT);
        self.upper += count(lane::UPPER);
        self.punctuation += count(lane::PUNCTUATION);
        self.operators += count(lane::OPERATOR);
        self.newlines += count(lane::NEWLINE);
        self.quotes += count(lane::QUOTE);
        self.commas += count(lane::COMMA);
        self.code += count(lane::CODE);
        self.latex += count(lane::LATEX);
    }

    /// Looks at the neighbours of the byte at `position`.
    fn event(&mut self, byte: u8, bytes: &[u8], position: usize) {
        let (before, after) = (bytes.get(..position).unwrap_or_default(), bytes.get(position + 1..).unwrap_or_default());
        let ends_here = after.first().is_none_or(u8::is_ascii_whitespace);
        match byte {
            b'\n' => self.line(after),
            b'.' | b'!' => self.sentences += u32::from(ends_here),
            b'?' => {
                self.questions += 1;
                self.sentences += u32::from(ends_here);
            }
            b')' => self.options += u32::from(is_option(before)),
            b':' if after.starts_with(b"//") => self.links += 1,
            b':' if after.starts_with(b":") => self.code += 1,
            b'=' if matches!(after.first(), Some(b'=' | b'>')) => self.code += 1,
            b'-' if after.starts_with(b">") => self.code += 1,
            b'0'..=b'9' => self.numbers += u32::from(!before.last().is_some_and(u8::is_ascii_digit)),
            _ => self.wide_event(byte, after),
        }
    }

    /// Marks outside ASCII, by their UTF-8 bytes.
    fn wide_event(&mut self, byte: u8, after: &[u8]) {
        let second = after.first().copied().unwrap_or(0);
        let third = after.get(1).copied().unwrap_or(0);
        match (byte, second, third) {
            // « »  “ ” „  「 」
            (0xC2, 0xAB | 0xBB, _) | (0xE2, 0x80, 0x9C..=0x9E) | (0xE3, 0x80, 0x8C | 0x8D) => self.quotes += 1,
            // The block of mathematical operators: ∀ … ⋿
            (0xE2, 0x88..=0x8B, _) => self.operators += 1,
            // 、 ， ،
            (0xE3, 0x80, 0x81) | (0xEF, 0xBC, 0x8C) | (0xD8, 0x8C, _) => self.commas += 1,
            // 。 ！
            (0xE3, 0x80, 0x82) | (0xEF, 0xBC, 0x81) => self.sentences += 1,
            // ？ ؟
            (0xEF, 0xBC, 0x9F) | (0xD8, 0x9F, _) => {
                self.questions += 1;
                self.sentences += 1;
            }
            _ => {}
        }
    }

    /// Looks at how the line begins that starts here.
    fn line(&mut self, rest: &[u8]) {
        let blank = rest.iter().position(|&byte| byte != b' ' && byte != b'\t').unwrap_or(rest.len());
        let line = rest.get(blank..).unwrap_or_default();
        if matches!(line.first(), None | Some(b'\n' | b'\r')) {
            return;
        }
        self.lines += 1;
        self.indented += u32::from(blank >= 2 || rest.starts_with(b"\t"));
        self.items += u32::from(is_item(line));
        self.code += u32::from(CODE_LINES.iter().any(|begin| line.starts_with(begin)));
        self.options += u32::from(matches!(line, [b'A'..=b'J', b'.' | b':', b' ', ..]));
    }
}

/// Whether an option's letter stands before its parenthesis, as in `A)`, `(B)`, `(c)`.
fn is_option(before: &[u8]) -> bool {
    match before {
        [.., b'(', letter] => matches!(letter, b'A'..=b'J' | b'a'..=b'e'),
        [.., space, letter] => space.is_ascii_whitespace() && matches!(letter, b'A'..=b'J' | b'a'..=b'e'),
        [letter] => letter.is_ascii_uppercase(),
        [] => false,
    }
}

/// Whether a line begins as a list item does: `- `, `* `, `• `, `12. `, `3) `.
fn is_item(line: &[u8]) -> bool {
    match line {
        [b'-' | b'*', b' ', ..] | [0xE2, 0x80, 0xA2, ..] => true,
        _ => {
            let digits = line.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
            digits > 0 && matches!(line.get(digits..), Some([b'.' | b')', b' ', ..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(text: &str) -> Marks {
        let mut marks = Marks::default();
        marks.read(text);
        marks
    }

    #[test]
    fn names_are_unique_and_told() {
        for (index, row) in SURFACE.iter().enumerate() {
            assert!(!row.about.is_empty());
            assert!(SURFACE[..index].iter().all(|other| other.name != row.name), "{} twice", row.name);
        }
    }

    #[test]
    fn marks_are_counted_in_context() {
        for (text, count, expected) in [
            ("A) yes (B) no\nC. maybe (see f(x)) d) never", (|m| m.options) as fn(&Marks) -> u32, 4),
            ("- one\n* two\n3. three\n 14) four\n-5 degrees\n3.5 too", |m| m.items, 4),
            ("At 12:30 we had 1,000 of 3.14", |m| m.numbers, 6),
            ("One. Two! e.g.this Three? 四。五？", |m| m.sentences, 5),
            ("Why? ¿Qué? 何？ متى؟", |m| m.questions, 4),
            ("see https://example.org and http://a.b", |m| m.links, 2),
            ("def f(x):\n    return x;\n", |m| m.code, 3),
            ("a\n  b\n\tc\n\n   \n", |m| m.indented, 2),
            ("a\n  b\n\tc\n\n   \n", |m| m.lines, 3),
            ("x ∈ S, y ≤ 3 + z", |m| m.operators, 3),
            ("“a” «b» \"c\" 「d」", |m| m.quotes, 8),
            ("中文 and かな 한글", |m| m.east_asian, 6),
            ("中文 é", |m| m.characters, 4),
        ] {
            assert_eq!(count(&marks(text)), expected, "{text}");
        }
    }

    #[test]
    fn lanes_do_not_overflow() {
        for (text, count) in [("7", (|m| m.digits) as fn(&Marks) -> u32), ("é", |m| m.non_ascii), ("$", |m| m.latex)] {
            assert_eq!(count(&marks(&text.repeat(1000))), 1000);
        }
    }

    #[test]
    fn variety_is_the_share_of_different_ids_among_the_first() {
        for (ids, expected) in [(vec![], 0.0), (vec![5, 5, 5, 7], 0.5), ((0..64).collect(), 1.0), (vec![9; 500], 1.0 / 64.0)] {
            assert_eq!(variety(&ids), expected);
        }
    }
}
