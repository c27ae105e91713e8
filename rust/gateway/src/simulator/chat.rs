//! One chat call: from its body to an answer or a fault.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::{Either, Full};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    answer::{self, Choice, Content, Usage},
    books::{Books, Entry, unix_ns},
    fault::FaultKind,
    request::Request,
    settings::{Error, Settings},
    stream::{Broken, Cut, EventStream, Pace},
    wire::Reset,
};

/// The body of any answer.
pub type AnswerBody = Either<Full<Bytes>, EventStream>;

/// What all connections of a simulator share.
pub struct Shared {
    pub settings: Settings,
    pub books: Arc<Books>,
    /// How often each fault may still strike.
    left: Vec<AtomicU64>,
    connections: AtomicU64,
    calls: AtomicU64,
    /// Tells ids of one run from those of the next.
    run: u64,
}

/// What goes wrong with one call.
#[derive(Default)]
struct Fate {
    extra_delay: std::time::Duration,
    end: Option<FaultKind>,
}

impl Shared {
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let books = Arc::new(Books::open(settings.models.clone(), settings.log.as_deref())?);
        let left = settings.faults.iter().map(|fault| AtomicU64::new(fault.times)).collect();
        Ok(Self { settings, books, left, connections: AtomicU64::new(0), calls: AtomicU64::new(0), run: unix_ns() })
    }

    /// How long a new connection waits before it is read.
    pub fn connect_delay(&self) -> std::time::Duration {
        let index = self.connections.fetch_add(1, Relaxed);
        let struck = |(place, kind): (usize, FaultKind)| match kind {
            FaultKind::ConnectDelay(delay) if self.strikes(place, index) => Some(delay),
            _ => None,
        };
        self.settings.faults.iter().map(|fault| fault.kind).enumerate().filter_map(struck).sum()
    }

    fn fate(&self, model: &str, index: u64) -> Fate {
        let mut fate = Fate::default();
        for (place, fault) in self.settings.faults.iter().enumerate() {
            let concerned = fault.model.as_deref().is_none_or(|only| only == model);
            match fault.kind {
                FaultKind::ConnectDelay(_) => {}
                FaultKind::Delay(delay) if concerned && self.strikes(place, index) => fate.extra_delay += delay,
                kind if concerned && fate.end.is_none() && self.strikes(place, index) => fate.end = Some(kind),
                _ => {}
            }
        }
        fate
    }

    fn strikes(&self, place: usize, index: u64) -> bool {
        self.settings.faults[place].strikes(self.settings.seed, place, index)
            && self.left[place].fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

/// Answers a chat call.
///
/// # Errors
/// [`Broken`], where the connection is to end without an answer.
pub async fn answer(shared: &Shared, headers: &HeaderMap, body: &[u8], reset: &Reset) -> Result<Response<AnswerBody>, Broken> {
    let started = Instant::now();
    if let Some(key) = &shared.settings.api_key
        && headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "))
            != Some(key)
    {
        return Ok(error(StatusCode::UNAUTHORIZED, "invalid_request_error", "invalid_api_key", "this simulator does not know that key"));
    }
    let request = match Request::read(body) {
        Ok(request) => request,
        Err(message) => return Ok(error(StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_request", &message)),
    };
    let Some(account) = shared.books.find(&request.model) else {
        let known: Vec<&str> = shared.books.models().map(|model| model.name.as_str()).collect();
        let message = tradewind_core::error::unknown("model", &request.model, &known);
        return Ok(error(StatusCode::NOT_FOUND, "invalid_request_error", "model_not_found", &message));
    };
    let index = shared.calls.fetch_add(1, Relaxed);
    let id = format!("chatcmpl-{:016x}", super::fault::mix(shared.run ^ index));
    let stream = request.stream.unwrap_or(false);
    let mut entry = Entry::open(&shared.books, account, id, request.user.clone(), stream);
    let fate = shared.fate(&request.model, index);
    match fate.end {
        Some(FaultKind::Status { status, retry_after_s }) => {
            entry.refuse(status)?;
            return Ok(injected(status, retry_after_s));
        }
        Some(FaultKind::Stall) => return std::future::pending().await,
        Some(FaultKind::StallAfter(_)) if !stream => return std::future::pending().await,
        Some(FaultKind::Reset) => return Err(break_off(reset)),
        Some(FaultKind::ResetAfter(_)) if !stream => return Err(break_off(reset)),
        _ => {}
    }
    let words = request.words();
    let choices = answer::choices(&request, &words, &shared.settings.table);
    let usage = answer::usage(&words, entry.model().price.cached_input_nanousd_per_million.is_some(), &choices);
    let pace = Pace { started, first_token: shared.settings.first_token + fate.extra_delay, per_token: shared.settings.per_token };
    entry.status = 200;
    if stream {
        let cut = match fate.end {
            Some(FaultKind::StallAfter(chunks)) => Some(Cut::Stall(chunks)),
            Some(FaultKind::ResetAfter(chunks)) => Some(Cut::Reset(chunks, reset.clone())),
            _ => None,
        };
        // The status goes out at once, as many servers do it: it says nothing yet of whether a token will come.
        let id = entry.id.clone();
        let body = EventStream::new(entry, choices, usage, request.include_usage(), pace, cut);
        return Ok(response(StatusCode::OK, "text/event-stream", Some(&id), Either::Right(body)));
    }
    let longest = choices.iter().map(|choice| choice.content.tokens()).max().unwrap_or(0);
    let due = pace.due(longest.saturating_sub(1));
    if due > Instant::now() {
        entry.status = 0;
        sleep_until(due).await;
        entry.status = 200;
    }
    let document = document(&entry, &choices, usage);
    entry.complete(usage, true)?;
    Ok(response(StatusCode::OK, "application/json", Some(&entry.id), full(&document)))
}

fn break_off(reset: &Reset) -> Broken {
    reset.arm();
    Broken::Reset
}

fn document(entry: &Entry, choices: &[Choice], usage: Usage) -> Value {
    let choices: Vec<Value> = choices
        .iter()
        .enumerate()
        .map(|(index, choice)| json!({"index": index, "message": message(&choice.content), "logprobs": null, "finish_reason": choice.finish}))
        .collect();
    json!({
        "id": entry.id, "object": "chat.completion", "created": unix_ns() / 1_000_000_000, "model": entry.model().name,
        "choices": choices, "usage": usage.json(),
    })
}

fn message(content: &Content) -> Value {
    match content {
        Content::Text(tokens) => json!({"role": "assistant", "content": tokens.text(), "refusal": null}),
        Content::ToolCalls(calls) => {
            let calls: Vec<Value> = calls
                .iter()
                .map(|call| json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments.text()}}))
                .collect();
            json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": calls})
        }
    }
}

fn injected(status: u16, retry_after_s: Option<u64>) -> Response<AnswerBody> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (kind, code) = if status == StatusCode::TOO_MANY_REQUESTS {
        ("rate_limit_error", "rate_limit_exceeded")
    } else {
        ("api_error", "simulated_fault")
    };
    let mut response = error(status, kind, code, "this fault was asked for with --fail");
    if let Some(seconds) = retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// An error in OpenAI's shape.
pub fn error(status: StatusCode, kind: &str, code: &str, message: &str) -> Response<AnswerBody> {
    response(status, "application/json", None, full(&json!({"error": {"message": message, "type": kind, "param": null, "code": code}})))
}

/// A body that is there already.
pub fn full(document: &Value) -> AnswerBody {
    Either::Left(Full::new(Bytes::from(document.to_string())))
}

/// A response with the headers that every answer has.
pub fn response(status: StatusCode, content_type: &'static str, id: Option<&str>, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    if let Some(id) = id.and_then(|id| http::HeaderValue::from_str(id).ok()) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}
