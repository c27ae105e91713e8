//! A stream on its way from the upstream to the client: frames that are there together go out together, none waits for another.
//!
//! The client has heard this model, so there is no other attempt. A break becomes an error event after the last whole event,
//! and the stream ends without `[DONE]`.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, Sleep};
use tradewind_core::{Code, Error};

use crate::{
    account::{Account, End},
    live::Place,
    routing::Target,
    sse::Follower,
    upstream::Body,
    usage::{self, Usage},
};

/// Frames are joined up to this many bytes.
const TOGETHER: usize = 64 << 10;
/// An event that is longer is not one.
pub(crate) const MAX_EVENT: usize = 8 << 20;

/// A started stream.
pub(crate) struct Relay {
    pub body: Body,
    pub follower: Follower,
    /// What came before the answer's head was sent.
    pub first: Bytes,
    /// What the call holds until it is over.
    pub held: Option<Held>,
    pub target: Target,
    /// The model's name, for errors.
    pub model: String,
    /// Bytes of the request's body.
    pub request_bytes: usize,
    /// Prompt tokens to assume where the upstream does not count.
    pub input_tokens: u32,
    pub idle: Duration,
    pub deadline: Instant,
    pub last_frame: Instant,
    pub timer: Pin<Box<Sleep>>,
    pub rest: (u64, u64),
}

/// Given back before the client reads the end, so that its next call finds them free.
pub(crate) struct Held {
    pub account: Account,
    pub _place: Place,
}

impl Relay {
    /// Whether there is nothing more to come.
    pub fn is_over(&self) -> bool {
        self.held.is_none() && self.first.is_empty()
    }

    /// The next bytes for the client.
    pub fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut out = Joined::of(std::mem::take(&mut self.first));
        let mut came = false;
        while self.held.is_some() && out.len() < TOGETHER {
            match self.body.poll_data(context) {
                Poll::Ready(Some(Ok(chunk))) => {
                    came = true;
                    out.add(self.follower.push(chunk));
                    if self.follower.held() > MAX_EVENT {
                        out.add(self.fail(Code::UpstreamInvalid, format!("sent an event of more than {MAX_EVENT} bytes")));
                    }
                }
                Poll::Ready(Some(Err(error))) => out.add(self.broken(&error)),
                Poll::Ready(None) => out.add(self.ended()),
                Poll::Pending => break,
            }
        }
        if came {
            self.last_frame = Instant::now();
        }
        if !out.is_empty() {
            return Poll::Ready(Some(out.bytes()));
        }
        if self.held.is_none() {
            return Poll::Ready(None);
        }
        self.poll_timer(context)
    }

    /// Rings when the upstream has been silent too long, or the request has taken too long.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while self.timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if now >= self.deadline {
                return Poll::Ready(Some(self.fail(Code::UpstreamTimeout, "did not finish within the time of the request".to_owned())));
            }
            if now >= self.last_frame + self.idle {
                return Poll::Ready(Some(self.fail(Code::UpstreamTimeout, format!("was silent for {} ms", self.idle.as_millis()))));
            }
            let next = (self.last_frame + self.idle).min(self.deadline);
            self.timer.as_mut().reset(next);
        }
        Poll::Pending
    }

    fn broken(&mut self, error: &hyper::Error) -> Bytes {
        if self.follower.seen.done {
            // The answer is complete; only the connection's end is untidy.
            return self.ended();
        }
        tracing::debug!(model = self.model, %error, "a stream broke off");
        self.fail(Code::UpstreamBroken, "broke off its answer".to_owned())
    }

    fn ended(&mut self) -> Bytes {
        let rest = self.follower.finish();
        let seen = self.follower.seen;
        if !seen.done && !self.body.framed {
            // The end was the connection's, not the answer's: nobody can tell it from a crash.
            return self.fail(Code::UpstreamBroken, "closed the connection before `[DONE]`".to_owned());
        }
        let error = seen.error.then_some(Code::UpstreamStatus);
        self.over(error);
        rest
    }

    fn fail(&mut self, code: Code, what: String) -> Bytes {
        self.target.state.failed(crate::engine::unix_ns(), None, self.rest.0, self.rest.1);
        self.over(Some(code));
        let error = Error::new(code, self.model.clone(), format!("the server of `{}` {what}", self.model));
        let mut event = b"data: ".to_vec();
        event.extend_from_slice(&error.to_openai());
        event.extend_from_slice(b"\n\n");
        event.into()
    }

    fn over(&mut self, error: Option<Code>) {
        let Some(Held { mut account, _place }) = self.held.take() else { return };
        let seen = self.follower.seen;
        if let Some(usage) = seen.usage {
            self.target.state.observe_input(self.request_bytes, usage.input);
        }
        // What a broken stream had reported on its way is not its final count.
        let reported = seen.usage.filter(|_| error.is_none() || seen.done);
        let estimated = Usage { input: self.input_tokens.into(), cached: 0, output: usage::estimate(seen.text_bytes) };
        account.end(End { error, reported, estimated });
        account.close(error);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let Some(Held { account, .. }) = &self.held else { return };
        // A client that hangs up on `[DONE]` has everything.
        let error = (!self.follower.seen.done).then(|| account.left());
        self.over(error);
    }
}

/// Chunks joined without copying while there is only one.
struct Joined {
    first: Bytes,
    more: Option<BytesMut>,
}

impl Joined {
    fn of(first: Bytes) -> Self {
        Self { first, more: None }
    }

    fn add(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        if self.first.is_empty() {
            self.first = chunk;
            return;
        }
        self.more.get_or_insert_with(|| BytesMut::from(&self.first[..])).extend_from_slice(&chunk);
    }

    fn len(&self) -> usize {
        self.more.as_ref().map_or(self.first.len(), BytesMut::len)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn bytes(self) -> Bytes {
        self.more.map_or(self.first, BytesMut::freeze)
    }
}
