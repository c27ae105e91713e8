//! Answers: their body, their headers, and errors in OpenAI's shape.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};
use tradewind_core::Error;

use crate::relay::Relay;

/// The body of an answer. Dropping it before its end cancels the upstream call.
pub struct AnswerBody(Kind);

enum Kind {
    Whole(Bytes),
    Stream(Box<Relay>),
}

impl AnswerBody {
    /// A body that is there.
    #[must_use]
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Whole(bytes.into()))
    }

    pub(crate) fn stream(relay: Relay) -> Self {
        Self(Kind::Stream(Box::new(relay)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut self.0 {
            Kind::Whole(bytes) => Poll::Ready(Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty())),
            Kind::Stream(relay) => relay.poll_data(context),
        };
        data.map(|data| data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Stream(relay) => relay.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}

/// Id of the decision; joins the outcome.
pub(crate) const DECISION: HeaderName = HeaderName::from_static("x-tradewind-decision");
/// Model that answers.
pub(crate) const MODEL: HeaderName = HeaderName::from_static("x-tradewind-model");
/// Id of the plan.
pub(crate) const PLAN: HeaderName = HeaderName::from_static("x-tradewind-plan");
/// Microseconds from body bytes to the decision.
pub(crate) const DECIDE_US: HeaderName = HeaderName::from_static("x-tradewind-decide-us");
/// Dollars, as known at the first byte.
pub(crate) const COST_USD: HeaderName = HeaderName::from_static("x-tradewind-cost-usd");

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error in OpenAI's shape, saying when to try again where that is known.
#[must_use]
pub fn error(error: &Error) -> Response<AnswerBody> {
    let status = StatusCode::from_u16(error.code.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, error.to_openai());
    if let Some(wait) = error.retry_after_ms {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000)));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Sets a header from text of ours; text that no header may hold is left out.
pub(crate) fn set(response: &mut Response<AnswerBody>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
