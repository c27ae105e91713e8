//! Follows a stream of server-sent events by whole events: finds the usage, counts the text, takes out the usage chunk that only
//! we have asked for. A partial event waits for its end, so that whatever comes after a break begins on a line of its own.
//!
//! Lines end in `\n` or `\r\n`; an upstream that ends them in `\r` alone has not been seen.

use bytes::Bytes;
use memchr::memchr;

use crate::usage::{self, Usage};

/// Follows one stream.
#[derive(Debug, Default)]
pub struct Follower {
    /// Take out the chunk that carries nothing but usage.
    remove_usage: bool,
    /// A partial event.
    held: Vec<u8>,
    /// Where the search for its end goes on.
    searched: usize,
    /// What has been seen.
    pub seen: Seen,
}

/// What a stream has said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The last usage.
    pub usage: Option<Usage>,
    /// Events with data, `[DONE]` not among them.
    pub events: u64,
    /// Bytes of text.
    pub text_bytes: u64,
    /// `[DONE]` came.
    pub done: bool,
    /// An event of the upstream said that it failed.
    pub error: bool,
}

impl Follower {
    /// A follower; `remove_usage` where the client has not asked for usage.
    #[must_use]
    pub fn new(remove_usage: bool) -> Self {
        Self { remove_usage, ..Self::default() }
    }

    /// Takes the next bytes of the upstream; gives those that go to the client now. What holds whole events and nothing to remove
    /// is not copied.
    pub fn push(&mut self, chunk: Bytes) -> Bytes {
        let buffer = if self.held.is_empty() {
            chunk
        } else {
            self.held.extend_from_slice(&chunk);
            Bytes::from(std::mem::take(&mut self.held))
        };
        let (mut start, mut kept) = (0, Kept::default());
        while let Some(end) = event_end(&buffer, start, self.searched.max(start)) {
            let keep = self.event(&buffer[start..end]);
            kept.add(&buffer, start..end, keep);
            start = end;
            self.searched = 0;
        }
        if start < buffer.len() {
            self.held = buffer[start..].to_vec();
            // The end may be split: its first three bytes are looked at again.
            self.searched = self.held.len().saturating_sub(3);
        }
        kept.bytes(&buffer)
    }

    /// The upstream has ended: gives what was left without the blank line that ends an event.
    pub fn finish(&mut self) -> Bytes {
        let rest = std::mem::take(&mut self.held);
        if rest.is_empty() || !self.event(&rest) {
            return Bytes::new();
        }
        Bytes::from(rest)
    }

    /// Bytes of a partial event.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Looks at one event; `false` to take it out.
    fn event(&mut self, event: &[u8]) -> bool {
        let mut keep = true;
        for line in event.split(|&byte| byte == b'\n') {
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            let data = data.trim_ascii();
            if data == b"[DONE]" {
                self.seen.done = true;
                continue;
            }
            self.seen.events += 1;
            self.seen.text_bytes += usage::text_bytes(data);
            self.seen.error |= data.starts_with(br#"{"error":"#) && !data.starts_with(br#"{"error":null"#);
            if let Some(reported) = usage::read(data) {
                self.seen.usage = Some(reported.usage);
                keep &= !(self.remove_usage && reported.alone);
            }
        }
        keep
    }
}

/// Where the event that begins at `start` ends, its blank line included; nothing before `from` ends it.
fn event_end(buffer: &[u8], start: usize, from: usize) -> Option<usize> {
    if from == start {
        match &buffer[start..] {
            [b'\n', ..] => return Some(start + 1),
            [b'\r', b'\n', ..] => return Some(start + 2),
            _ => {}
        }
    }
    let mut at = from;
    while let Some(step) = memchr(b'\n', &buffer[at..]) {
        at += step + 1;
        match &buffer[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// The kept part of a buffer: one range without copying, until something between has been taken out.
#[derive(Default)]
struct Kept {
    range: std::ops::Range<usize>,
    copied: Option<Vec<u8>>,
}

impl Kept {
    fn add(&mut self, buffer: &[u8], range: std::ops::Range<usize>, keep: bool) {
        if !keep {
            return;
        }
        if let Some(copied) = &mut self.copied {
            copied.extend_from_slice(&buffer[range]);
        } else if self.range.is_empty() {
            self.range = range;
        } else if self.range.end == range.start {
            self.range.end = range.end;
        } else {
            let mut copied = buffer[self.range.clone()].to_vec();
            copied.extend_from_slice(&buffer[range]);
            self.copied = Some(copied);
        }
    }

    fn bytes(self, buffer: &Bytes) -> Bytes {
        match self.copied {
            Some(copied) => copied.into(),
            None => buffer.slice(self.range),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USAGE: &str = r#"{"id":"x","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":2}}"#;

    fn check(remove: bool, chunks: &[&[u8]]) -> (Vec<u8>, Seen) {
        let mut follower = Follower::new(remove);
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend_from_slice(&follower.push(Bytes::copy_from_slice(chunk)));
        }
        out.extend_from_slice(&follower.finish());
        (out, follower.seen)
    }

    #[test]
    fn only_the_chunk_that_carries_nothing_but_usage_is_taken_out() {
        let text = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n";
        let last = "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n";
        let all = format!("{text}{last}data: {USAGE}\n\ndata: [DONE]\n\n");
        let (out, seen) = check(true, &[all.as_bytes()]);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{text}{last}data: [DONE]\n\n"));
        assert_eq!(
            seen,
            Seen { usage: Some(Usage { input: 11, cached: 0, output: 2 }), events: 3, text_bytes: 2, done: true, error: false }
        );
        assert_eq!(check(false, &[all.as_bytes()]).0, all.as_bytes());
    }

    #[test]
    fn a_whole_event_never_waits_and_a_partial_one_does() {
        let mut follower = Follower::new(true);
        assert_eq!(&follower.push(Bytes::from_static(b"data: 1\n\ndata: 2"))[..], b"data: 1\n\n");
        assert_eq!((&follower.push(Bytes::from_static(b"\r\n\r"))[..], follower.held()), (&b""[..], 10));
        assert_eq!(&follower.push(Bytes::from_static(b"\n"))[..], b"data: 2\r\n\r\n");
    }

    #[test]
    fn an_error_of_the_upstream_is_seen() {
        assert!(check(true, &[b"data: {\"error\":{\"message\":\"x\"}}\n\n"]).1.error);
        assert!(!check(true, &[b"data: {\"error\":null,\"choices\":[]}\n\n"]).1.error);
    }

    fn event() -> impl Strategy<Value = (String, bool)> {
        let end = prop_oneof![Just("\n"), Just("\r\n")];
        let text = "[a-z \"\\\\]{0,12}"
            .prop_map(|text| (serde_json::json!({"choices": [{"delta": {"content": text}}], "usage": null}).to_string(), false));
        let data = prop_oneof![4 => text, 1 => Just((USAGE.to_owned(), true)), 1 => Just(("[DONE]".to_owned(), false)), 1 => Just((String::new(), false))];
        (data, end, any::<bool>())
            .prop_map(|((data, usage), end, comment)| (format!("{}data: {data}{end}{end}", if comment { ": ping\n" } else { "" }), usage))
    }

    proptest! {
        #[test]
        fn whatever_the_chunks_the_client_gets_the_stream_without_its_usage_chunks(
            events in proptest::collection::vec(event(), 0..8), tail in "(data: [a-z]{0,5}\n?)?", cuts in proptest::collection::vec(1usize..9, 0..400),
        ) {
            let input: String = events.iter().map(|(text, _)| text.as_str()).chain([tail.as_str()]).collect();
            let expected: String = events.iter().filter(|(_, usage)| !usage).map(|(text, _)| text.as_str()).chain([tail.as_str()]).collect();
            let (mut chunks, mut rest) = (Vec::new(), input.as_bytes());
            for cut in cuts {
                let (chunk, after) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            chunks.push(rest);
            let (out, seen) = check(true, &chunks);
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
            prop_assert_eq!(seen, check(true, &[input.as_bytes()]).1);
            prop_assert_eq!(check(false, &chunks).0, input.as_bytes());
        }
    }
}
