//! Features: what the predictor sees of a text. One implementation, for serving and for training.
//!
//! A text becomes WordPiece ids over MiniLM's vocabulary, at most [`CAP`] of them, and [`SURFACE`] numbers. Both come
//! from its two ends only, so that a long text costs no more than a short one. The ids equal those of Hugging Face's
//! `tokenizers` (BERT normaliser and pre-tokeniser, uncased) without special tokens; `[SEP]` in a text is only text.

mod cues;
mod normalise;
mod surface;
mod unicode;
mod vocabulary;
mod word;
mod wordpiece;

use std::fmt::Write;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

pub use surface::{SURFACE, SURFACE_LEN, Surface};

/// The most ids that a text has: the first and the last 256.
pub const CAP: usize = 512;

/// Pieces of the vocabulary, the rows of a predictor's table.
pub const VOCABULARY_LEN: usize = 30_522;

/// How features are computed. It changes when the same text would get other features than before; the golden tests
/// below say when.
const VERSION: &str = "tradewind.features/1";

/// The id of `[PAD]`, which stands for a text without words.
const EMPTY: u32 = 0;

/// What the predictor sees of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// WordPiece ids, at least one, at most [`CAP`].
    pub ids: Vec<u32>,
    /// Surface features in the order of [`SURFACE`]; always finite.
    pub surface: [f32; SURFACE_LEN],
    /// The length of the text.
    pub bytes: usize,
}

impl Features {
    /// The features of a text.
    pub fn of(text: &str) -> Features {
        let scan = wordpiece::scan(text);
        let surface = surface::measure(text, &scan);
        let mut ids = scan.ids;
        if ids.is_empty() {
            ids.push(EMPTY);
        }
        Features { ids, surface, bytes: text.len() }
    }
}

/// Names what features mean, as `sha256:…`: a predictor trained on another schema is refused.
pub fn schema() -> &'static str {
    static SCHEMA: OnceLock<String> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut hash = Sha256::new();
        hash.update(format!("{VERSION}\ncap {CAP}\nvocabulary "));
        hash.update(Sha256::digest(vocabulary::TEXT));
        for row in &SURFACE {
            hash.update(format!("\nsurface {}: {}", row.name, row.about));
        }
        for (cue, phrases) in &cues::TABLE {
            hash.update(format!("\ncue {cue:?} {phrases:?}"));
        }
        hash.finalize().iter().fold(String::from("sha256:"), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    })
}

#[cfg(test)]
mod tests;
