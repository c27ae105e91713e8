//! Tokens as an upstream reports them, read from a unary body or from one chunk of a stream; and what to assume where it does not.

use std::sync::LazyLock;

use memchr::memmem::{Finder, FinderRev};
use serde::{Deserialize, de::IgnoredAny};

/// Bytes of text that make a token, where nobody has counted.
const BYTES_PER_TOKEN: u64 = 4;

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens.
    pub input: u64,
    /// The part of `input` that the upstream had cached.
    pub cached: u64,
    /// Answer tokens.
    pub output: u64,
}

/// What a chunk says of usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The tokens.
    pub usage: Usage,
    /// Whether the chunk carries nothing else: no choice.
    pub alone: bool,
}

#[derive(Deserialize)]
struct Chunk {
    usage: Option<Counts>,
    #[serde(default)]
    choices: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

// A quote inside a JSON string is escaped, so this is always a key (or a whole string value), never part of a text.
const KEY: &[u8] = br#""usage""#;
static LAST_KEY: LazyLock<FinderRev<'static>> = LazyLock::new(|| FinderRev::new(KEY));
static CONTENT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#"content":"#));
static ARGUMENTS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#"arguments":"#));

/// Reads the usage of a JSON document, if it has one. Cheap where it has none.
#[must_use]
pub fn read(json: &[u8]) -> Option<Reported> {
    let at = LAST_KEY.rfind(json)?;
    let value = json[at + KEY.len()..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    if value.starts_with(b"null") {
        return None;
    }
    let chunk: Chunk = serde_json::from_slice(json).ok()?;
    let counts = chunk.usage?;
    let cached = counts.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0).min(counts.prompt_tokens);
    let usage = Usage { input: counts.prompt_tokens, cached, output: counts.completion_tokens };
    Some(Reported { usage, alone: chunk.choices.is_none_or(|choices| choices.is_empty()) })
}

/// Bytes of text in a JSON document: its contents and the arguments of tool calls, as they stand there.
#[must_use]
pub fn text_bytes(json: &[u8]) -> u64 {
    strings_after(&CONTENT, json) + strings_after(&ARGUMENTS, json)
}

/// Tokens in so many bytes of text.
#[must_use]
pub fn estimate(text_bytes: u64) -> u64 {
    text_bytes.div_ceil(BYTES_PER_TOKEN)
}

fn strings_after(key: &Finder<'_>, json: &[u8]) -> u64 {
    let mut total = 0;
    for at in key.find_iter(json) {
        let Some(text) = json[at + key.needle().len()..].trim_ascii_start().strip_prefix(b"\"") else { continue };
        let mut end = 0;
        // The quote that closes the string is the first one that no backslash escapes.
        while let Some(step) = memchr::memchr2(b'"', b'\\', &text[end..]) {
            end += step;
            if text[end] == b'"' {
                break;
            }
            end = (end + 2).min(text.len());
        }
        total += end as u64;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_where_it_is_reported() {
        let with = |usage: &str| read(format!(r#"{{"choices":[],"usage":{usage}}}"#).as_bytes());
        assert_eq!(
            with(r#"{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}"#).unwrap().usage,
            Usage { input: 7, cached: 0, output: 3 }
        );
        assert_eq!(
            with(r#"{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":5}}"#).unwrap().usage.cached,
            5
        );
        assert_eq!(with(r#"{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":null}"#).unwrap().usage.cached, 0);
        assert_eq!((with("null"), with("3"), read(b"{}"), read(br#"{"usage":"#)), (None, None, None, None));
        assert!(
            !read(br#"{"choices":[{"delta":{"content":"say \"usage\""}}], "usage" : {"prompt_tokens":1,"completion_tokens":2}}"#)
                .unwrap()
                .alone
        );
    }

    #[test]
    fn text_is_counted_without_its_envelope() {
        assert_eq!(text_bytes(br#"{"choices":[{"delta":{"role":"assistant","content":"abcd"}}]}"#), 4);
        assert_eq!(text_bytes(br#"{"content": "a\"b","reasoning_content":"xy","tool_calls":[{"function":{"arguments":"{}"}}]}"#), 8);
        assert_eq!(text_bytes(br#"{"content":null,"arguments":"cut off \"#), 9);
        assert_eq!((estimate(0), estimate(1), estimate(9)), (0, 1, 3));
    }
}
