//! An answer as server-sent events: each at its time, and the books written before the one that carries the usage.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    answer::{Choice, Content, Usage},
    books::Entry,
    wire::Reset,
};

/// When events are due.
#[derive(Clone, Copy)]
pub struct Pace {
    pub started: Instant,
    pub first_token: Duration,
    pub per_token: Duration,
}

impl Pace {
    /// When the token at this place is due.
    pub fn due(&self, place: u64) -> Instant {
        self.started + self.first_token + self.per_token.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX))
    }
}

/// A stream that is broken off on purpose.
pub enum Cut {
    /// Falls silent after this many chunks.
    Stall(usize),
    /// Resets the connection after this many chunks.
    Reset(usize, Reset),
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// A fault that was asked for.
    #[error("the connection was reset on purpose")]
    Reset,
    /// The answer cannot be booked, so it is not sent.
    #[error("the log cannot be written: {0}")]
    Log(#[from] std::io::Error),
}

/// The body of a streamed answer.
pub struct EventStream {
    entry: Entry,
    pace: Pace,
    cut: Option<Cut>,
    /// Choices and their deltas, in the order of sending.
    deltas: Vec<(usize, Value)>,
    finishes: Vec<&'static str>,
    usage: Usage,
    include_usage: bool,
    created: u64,
    timer: Option<Pin<Box<Sleep>>>,
    /// What was sent before a reset has been handed to the kernel.
    flushed: bool,
    done: bool,
}

impl EventStream {
    pub fn new(entry: Entry, choices: &[Choice], usage: Usage, include_usage: bool, pace: Pace, cut: Option<Cut>) -> Self {
        Self {
            entry,
            pace,
            cut,
            deltas: deltas(choices),
            finishes: choices.iter().map(|choice| choice.finish).collect(),
            usage,
            include_usage,
            created: super::books::unix_ns() / 1_000_000_000,
            timer: None,
            flushed: false,
            done: false,
        }
    }

    /// When the next event is due: the choices' roles with the first token, their tokens side by side, the end with the last.
    fn due(&self) -> Instant {
        let choices = self.finishes.len();
        let tokens = self.deltas.len().saturating_sub(choices);
        let place = self.entry.chunks.saturating_sub(choices).min(tokens.saturating_sub(1)) / choices.max(1);
        self.pace.due(place as u64)
    }

    fn chunk(&self, choices: Value, usage: Option<Value>) -> Vec<u8> {
        let mut chunk = json!({"id": self.entry.id, "object": "chat.completion.chunk", "created": self.created, "model": self.entry.model().name, "choices": choices});
        if let (Some(usage), Some(fields)) = (usage, chunk.as_object_mut()) {
            fields.insert("usage".to_owned(), usage);
        }
        format!("data: {chunk}\n\n").into_bytes()
    }

    fn delta(&self, choice: usize, delta: &Value, finish: Option<&str>) -> Vec<u8> {
        // Where usage was asked for, every chunk has the field, null until the last: as OpenAI does it.
        let usage = self.include_usage.then_some(Value::Null);
        self.chunk(json!([{"index": choice, "delta": delta, "logprobs": null, "finish_reason": finish}]), usage)
    }

    /// The end: finish reasons, usage where it was asked for, `[DONE]`.
    fn end(&mut self) -> Result<Vec<u8>, Broken> {
        let mut end: Vec<u8> = Vec::new();
        for (choice, finish) in self.finishes.iter().enumerate() {
            end.extend(self.delta(choice, &json!({}), Some(finish)));
        }
        if self.include_usage {
            end.extend(self.chunk(json!([]), Some(self.usage.json())));
        }
        end.extend_from_slice(b"data: [DONE]\n\n");
        self.entry.chunks += self.finishes.len() + usize::from(self.include_usage);
        self.entry.complete(self.usage, self.include_usage)?;
        self.done = true;
        Ok(end)
    }
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.done {
            return Poll::Ready(None);
        }
        match &self.cut {
            Some(Cut::Stall(after)) if self.entry.chunks >= *after => return Poll::Pending,
            Some(Cut::Reset(after, reset)) if self.entry.chunks >= *after => {
                if self.flushed {
                    reset.arm();
                    self.done = true;
                    return Poll::Ready(Some(Err(Broken::Reset)));
                }
                // A pending body makes the server flush what it holds: the reset must not overtake the chunks before it.
                self.flushed = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            _ => {}
        }
        let due = self.due();
        if due > Instant::now() {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(context));
        }
        let bytes = match self.deltas.get(self.entry.chunks) {
            Some((choice, delta)) => {
                let bytes = self.delta(*choice, delta, None);
                self.entry.chunks += 1;
                bytes
            }
            None => self.end()?,
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(bytes)))))
    }
}

/// The deltas of all choices, side by side as models send them: each choice's role, then its tokens.
fn deltas(choices: &[Choice]) -> Vec<(usize, Value)> {
    let mut deltas: Vec<(usize, Value)> = choices.iter().enumerate().map(|(index, choice)| (index, role(&choice.content))).collect();
    let tokens: Vec<Vec<Value>> = choices.iter().map(|choice| tokens(&choice.content)).collect();
    let longest = tokens.iter().map(Vec::len).max().unwrap_or(0);
    for place in 0..longest {
        deltas.extend(tokens.iter().enumerate().filter_map(|(index, tokens)| Some((index, tokens.get(place)?.clone()))));
    }
    deltas
}

fn role(content: &Content) -> Value {
    match content {
        Content::Text(_) => json!({"role": "assistant", "content": "", "refusal": null}),
        Content::ToolCalls(_) => json!({"role": "assistant", "content": null}),
    }
}

fn tokens(content: &Content) -> Vec<Value> {
    match content {
        Content::Text(tokens) => tokens.iter().map(|token| json!({"content": token})).collect(),
        Content::ToolCalls(calls) => calls
            .iter()
            .enumerate()
            .flat_map(|(index, call)| {
                let opening = json!({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}]});
                let rest = call.arguments.iter().map(move |token| json!({"tool_calls": [{"index": index, "function": {"arguments": token}}]}));
                std::iter::once(opening).chain(rest)
            })
            .collect(),
    }
}
