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
    answer::{Call, Choice, Content, Tokens, Usage},
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
    choices: Vec<Deltas>,
    /// Choice and place within it of each delta, in the order of sending: each choice's role, then their tokens side by side.
    order: Vec<(usize, usize)>,
    finishes: Vec<&'static str>,
    usage: Usage,
    include_usage: bool,
    /// The start of every chunk, up to `"choices":`.
    opening: String,
    timer: Option<Pin<Box<Sleep>>>,
    /// What was sent before a reset has been handed to the kernel.
    flushed: bool,
    done: bool,
}

/// The deltas of one choice: its role, then its tokens.
enum Deltas {
    Text(Tokens),
    ToolCalls(Vec<Value>),
}

impl EventStream {
    pub fn new(entry: Entry, choices: Vec<Choice>, usage: Usage, include_usage: bool, pace: Pace, cut: Option<Cut>) -> Self {
        let created = super::books::unix_ns() / 1_000_000_000;
        let opening = format!(
            r#"data: {{"id":"{}","object":"chat.completion.chunk","created":{created},"model":{},"choices":"#,
            entry.id,
            json!(entry.model().name)
        );
        let finishes = choices.iter().map(|choice| choice.finish).collect();
        let choices: Vec<Deltas> = choices.into_iter().map(|choice| Deltas::of(choice.content)).collect();
        let longest = choices.iter().map(Deltas::len).max().unwrap_or(0);
        let order = (0..longest).flat_map(|place| {
            choices.iter().enumerate().filter(move |(_, deltas)| place < deltas.len()).map(move |(index, _)| (index, place))
        });
        let order = order.collect();
        Self { entry, pace, cut, choices, order, finishes, usage, include_usage, opening, timer: None, flushed: false, done: false }
    }

    /// When the next event is due: the choices' roles with the first token, the end with the last.
    fn due(&self) -> Instant {
        let last = self.order.last().map_or(0, |(_, place)| *place);
        let place = self.order.get(self.entry.chunks).map_or(last, |(_, place)| *place);
        self.pace.due(place.saturating_sub(1) as u64)
    }

    fn chunk(&self, choice: usize, delta: &str, finish: &str) -> String {
        // Where usage was asked for, every chunk has the field, null until the last: as OpenAI does it.
        let usage = if self.include_usage { r#","usage":null"# } else { "" };
        let opening = &self.opening;
        format!("{opening}[{{\"index\":{choice},\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]{usage}}}\n\n")
    }

    /// The end: finish reasons, usage where it was asked for, `[DONE]`.
    fn end(&mut self) -> Result<String, Broken> {
        let mut end: String =
            self.finishes.iter().enumerate().map(|(choice, finish)| self.chunk(choice, "{}", &format!("\"{finish}\""))).collect();
        if self.include_usage {
            end.push_str(&format!("{}[],\"usage\":{}}}\n\n", self.opening, self.usage.json()));
        }
        end.push_str("data: [DONE]\n\n");
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
        let bytes = match self.order.get(self.entry.chunks) {
            Some(&(choice, place)) => {
                let bytes = self.chunk(choice, &self.choices[choice].get(place), "null");
                self.entry.chunks += 1;
                bytes
            }
            None => self.end()?,
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(bytes)))))
    }
}

impl Deltas {
    fn of(content: Content) -> Self {
        match content {
            Content::Text(tokens) => Self::Text(tokens),
            Content::ToolCalls(calls) => {
                let role = json!({"role": "assistant", "content": null});
                Self::ToolCalls(
                    std::iter::once(role).chain(calls.iter().enumerate().flat_map(|(index, call)| tool_call(index, call))).collect(),
                )
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(tokens) => 1 + tokens.len(),
            Self::ToolCalls(deltas) => deltas.len(),
        }
    }

    /// The JSON of one delta.
    fn get(&self, place: usize) -> String {
        match self {
            Self::Text(_) if place == 0 => r#"{"role":"assistant","content":"","refusal":null}"#.to_owned(),
            Self::Text(tokens) => {
                format!(r#"{{"content":{}}}"#, serde_json::to_string(tokens.get(place - 1).unwrap_or_default()).unwrap_or_default())
            }
            Self::ToolCalls(deltas) => deltas[place].to_string(),
        }
    }
}

fn tool_call(index: usize, call: &Call) -> impl Iterator<Item = Value> {
    let opening =
        json!({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}]});
    let tokens = (0..call.arguments.len()).filter_map(|place| call.arguments.get(place));
    std::iter::once(opening).chain(tokens.map(move |token| json!({"tool_calls": [{"index": index, "function": {"arguments": token}}]})))
}
