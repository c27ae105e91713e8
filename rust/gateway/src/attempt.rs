//! One upstream call, up to the point where its answer may go to the client: a whole unary answer, or the first event of a stream.
//! Until then it may fail and another model may be called.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use tokio::time::{Instant, timeout_at};
use tradewind_core::{
    Code, Decision, Error,
    decision::Candidate,
    parse,
    plan::{Model, POD, Timeouts},
};

use crate::{
    account::{Account, End},
    engine::Engine,
    live::Place,
    relay::MAX_EVENT,
    routing::{Routing, Target},
    splice,
    sse::Follower,
    upstream::{self, Answered, Body, Endpoint, Failure},
    usage::{self, Usage},
};

/// What all attempts of a call share.
pub(crate) struct Ask<'a> {
    pub engine: &'a Engine,
    pub routing: &'a Routing,
    pub decision: &'a Decision,
    pub body: &'a Bytes,
    pub request: &'a parse::Request<'a>,
    /// End of the whole call.
    pub deadline: Instant,
}

/// An answer that may go to the client.
pub(crate) enum Answer {
    /// All of it.
    Whole { head: Head, body: Bytes },
    /// Its first events.
    Stream(Box<Started>),
}

/// Status and headers.
pub(crate) struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
}

/// A stream whose first event has come.
pub(crate) struct Started {
    pub head: Head,
    pub first: Bytes,
    pub follower: Follower,
    pub body: Body,
    pub target: Target,
    pub place: Place,
}

/// Why an attempt failed, and what it may have cost.
struct Failed {
    error: Error,
    /// Whether the upstream may have worked on the prompt.
    worked: bool,
}

/// Calls a model.
///
/// # Errors
/// An error of the upstream; the model rests then.
pub(crate) async fn run(ask: &Ask<'_>, candidate: &Candidate, account: &mut Account) -> Result<Answer, Error> {
    let model = &candidate.model.0;
    account.begin(Arc::clone(model), candidate.forecast.input_tokens);
    let result = call(ask, model, account).await;
    let estimated_input = u64::from(candidate.forecast.input_tokens);
    match result {
        Ok(Answer::Whole { head, body }) => {
            let worked = head.status.is_success();
            let reported = usage::read(&body).map(|reported| reported.usage).filter(|_| worked);
            if let (Some(usage), Some(target)) = (reported, ask.routing.target(&model.id)) {
                target.state.observe_input(ask.body.len(), usage.input);
            }
            let estimated = if worked {
                Usage { input: estimated_input, cached: 0, output: usage::estimate(usage::text_bytes(&body)) }
            } else {
                Usage::default()
            };
            account.end(End { error: None, reported, estimated });
            Ok(Answer::Whole { head, body })
        }
        Ok(stream) => Ok(stream),
        Err(Failed { error, worked }) => {
            let estimated = Usage { input: if worked { estimated_input } else { 0 }, ..Usage::default() };
            account.end(End { error: Some(error.code), reported: None, estimated });
            tracing::debug!(model = %model.id, code = error.code.row().code, message = error.message, "an attempt failed");
            Err(error)
        }
    }
}

async fn call(ask: &Ask<'_>, model: &Arc<Model>, account: &mut Account) -> Result<Answer, Failed> {
    let fault =
        |code, what: String| Failed { error: Error::new(code, model.id.to_string(), format!("`{}`: {what}", model.id)), worked: false };
    let target = ask.routing.target(&model.id).ok_or_else(|| fault(Code::Internal, "the plan has lost its address".to_owned()))?;
    let place =
        target.state.enter(model.limits.concurrent_requests).ok_or_else(|| fault(Code::AllResting, "every place is taken".to_owned()))?;
    if target.endpoint.credential.as_deref() == Some(POD) && target.endpoint.is_in_the_clear() {
        let what = "is a gateway over plain http, which is not shown this pod's token; its URL must be https".to_owned();
        return Err(fault(Code::UpstreamForbidden, what));
    }
    let credential = credential(ask.engine, &target.endpoint)
        .map_err(|name| fault(Code::CredentialMissing, format!("its credential `{name}` has not been delivered")))?;
    let body = splice::body(ask.body, ask.request, &target.endpoint.model);
    let first_byte_by = (Instant::now() + patience(&ask.decision.timeouts, ask.request.facts.stream)).min(ask.deadline);
    let pool = ask.engine.pool();
    let answering = answering(ask, target, place, credential, body, first_byte_by, account, pool);
    let result = answering.await;
    let settings = ask.engine.settings();
    match result {
        Ok(answer) => {
            target.state.succeeded();
            Ok(answer)
        }
        Err(trouble) => {
            let Trouble { code, what, retry_after_ms, worked } = trouble;
            target.state.failed(crate::engine::unix_ns(), retry_after_ms, settings.rest_ms, settings.max_rest_ms);
            let mut error = Error::new(code, model.id.to_string(), format!("the server of `{}` {what}", model.id));
            error.retry_after_ms = retry_after_ms;
            Err(Failed { error, worked })
        }
    }
}

/// How long the first byte of an answer may take. Without a stream all of the answer is generated before it: that may take as long as
/// the longest silence within a stream, too.
fn patience(timeouts: &Timeouts, stream: bool) -> Duration {
    let idle_ms = if stream { 0 } else { timeouts.stream_idle_ms };
    Duration::from_millis(timeouts.first_token_ms.saturating_add(idle_ms))
}

/// What an upstream did wrong.
struct Trouble {
    code: Code,
    what: String,
    retry_after_ms: Option<u64>,
    worked: bool,
}

impl Trouble {
    fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), retry_after_ms: None, worked: true }
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one upstream call, each of another owner")]
async fn answering(
    ask: &Ask<'_>,
    target: &Target,
    place: Place,
    credential: Option<HeaderValue>,
    body: Bytes,
    first_byte_by: Instant,
    account: &mut Account,
    pool: &Arc<upstream::Pool>,
) -> Result<Answer, Trouble> {
    let late = |_| Trouble::new(Code::UpstreamTimeout, "sent no byte of an answer in time");
    let call = upstream::call(pool, &target.endpoint, || request(&target.endpoint, credential.as_ref(), body.clone()));
    let Answered { status, headers, mut body } =
        timeout_at(first_byte_by, call).await.map_err(late)?.map_err(|failure| unreachable_or_broken(&failure))?;
    account.status(status.as_u16());
    refused(status, &headers)?;
    let head = Head { status, headers };
    if !is_event_stream(&head.headers) {
        let first = timeout_at(first_byte_by, body.data()).await.map_err(late)?;
        account.first_byte();
        let body = whole(ask, first, &mut body).await?;
        return Ok(Answer::Whole { head, body });
    }
    let asked = ask.request.stream_options.as_ref().is_some_and(|(_, usage)| *usage);
    let mut follower = Follower::new(!asked);
    let first = timeout_at(first_byte_by, first_event(&mut follower, &mut body)).await.map_err(late)??;
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds as a moving average")]
    target.state.observe_first_token(account.first_byte() as f32);
    Ok(Answer::Stream(Box::new(Started { head, first, follower, body, target: target.clone(), place })))
}

fn request(endpoint: &Endpoint, credential: Option<&HeaderValue>, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.target.clone();
    let headers = request.headers_mut();
    headers.insert(header::HOST, endpoint.authority.clone());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("tradewind/", env!("CARGO_PKG_VERSION"))));
    if let Some(credential) = credential {
        headers.insert(header::AUTHORIZATION, credential.clone());
    }
    request
}

fn credential(engine: &Engine, endpoint: &Endpoint) -> Result<Option<HeaderValue>, String> {
    let Some(name) = &endpoint.credential else { return Ok(None) };
    engine.credentials().header(name).cloned().map(Some).ok_or_else(|| name.clone())
}

fn unreachable_or_broken(failure: &Failure) -> Trouble {
    match failure {
        Failure::Connect(error) => Trouble { worked: false, ..Trouble::new(Code::UpstreamConnect, format!("cannot be reached: {error}")) },
        Failure::Forbidden(why) => {
            let what = format!("is at {why}, which a gateway that controllers feed does not call unless `allow_upstreams` has it");
            Trouble { worked: false, ..Trouble::new(Code::UpstreamForbidden, what) }
        }
        Failure::Broken(error) => Trouble::new(Code::UpstreamBroken, format!("broke off before it answered: {error}")),
        Failure::Invalid(error) => Trouble::new(Code::UpstreamInvalid, format!("answered something that is not HTTP: {error}")),
    }
}

/// Statuses that another model may do better. Other refusals are the client's to read.
fn refused(status: StatusCode, headers: &HeaderMap) -> Result<(), Trouble> {
    let code = match status.as_u16() {
        429 => Code::UpstreamRateLimited,
        401 | 403 | 404 => Code::UpstreamRejected,
        200..300 | 400..500 => return Ok(()),
        _ => Code::UpstreamStatus,
    };
    let what = format!("answered with status {}", status.as_u16());
    Err(Trouble { code, what, retry_after_ms: retry_after_ms(headers), worked: false })
}

/// Longest rest that an upstream may ask for: an hour.
const MAX_RETRY_AFTER_MS: f64 = 3_600_000.0;

/// Milliseconds that an upstream asks us to wait: seconds, or the milliseconds some vendors send. A date is not looked at.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok().filter(|value| (0.0..=1e9).contains(value));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded above")]
    let rounded = |milliseconds: f64| milliseconds.min(MAX_RETRY_AFTER_MS).ceil() as u64;
    number("retry-after-ms").map(rounded).or_else(|| number("retry-after").map(|seconds| rounded(seconds * 1e3)))
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream"))
}

type Data = Option<hyper::Result<Bytes>>;

/// A whole body, of which the first data has come. Usually that is all: then nothing is copied.
async fn whole(ask: &Ask<'_>, first: Data, body: &mut Body) -> Result<Bytes, Trouble> {
    let broken = |error: hyper::Error| Trouble::new(Code::UpstreamBroken, format!("broke off its answer: {error}"));
    let idle = Duration::from_millis(ask.decision.timeouts.stream_idle_ms);
    let limit = ask.engine.settings().max_answer_bytes;
    let mut all = first.transpose().map_err(broken)?.unwrap_or_default();
    let mut joined: Option<BytesMut> = None;
    loop {
        if all.len().max(joined.as_ref().map_or(0, BytesMut::len)) > limit {
            return Err(Trouble::new(Code::UpstreamInvalid, format!("answered more than {limit} bytes")));
        }
        let by = (Instant::now() + idle).min(ask.deadline);
        let next =
            timeout_at(by, body.data()).await.map_err(|_| Trouble::new(Code::UpstreamTimeout, "did not complete its answer in time"))?;
        let Some(next) = next.transpose().map_err(broken)? else { break };
        joined.get_or_insert_with(|| BytesMut::from(&std::mem::take(&mut all)[..])).extend_from_slice(&next);
    }
    Ok(joined.map_or(all, BytesMut::freeze))
}

/// Reads a stream up to its first event with data: until then, a break is no answer.
async fn first_event(follower: &mut Follower, body: &mut Body) -> Result<Bytes, Trouble> {
    let mut out = BytesMut::new();
    loop {
        let chunk = match body.data().await {
            Some(Ok(chunk)) => follower.push(chunk),
            Some(Err(error)) => return Err(Trouble::new(Code::UpstreamBroken, format!("broke off before its first event: {error}"))),
            None => return Err(Trouble::new(Code::UpstreamBroken, "ended its stream before its first event")),
        };
        if follower.seen.error && follower.seen.events == 1 {
            return Err(Trouble::new(Code::UpstreamStatus, "answered with an error event"));
        }
        let begun = follower.seen.events > 0 || follower.seen.done;
        if begun && out.is_empty() {
            return Ok(chunk);
        }
        out.extend_from_slice(&chunk);
        if begun {
            return Ok(out.freeze());
        }
        if out.len() + follower.held() > MAX_EVENT {
            return Err(Trouble::new(Code::UpstreamInvalid, format!("sent {MAX_EVENT} bytes without an event")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_may_ask_for_a_pause() {
        let check = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            retry_after_ms(&headers)
        };
        assert_eq!(
            (check("retry-after", "2"), check("retry-after", "0.5"), check("retry-after-ms", "70")),
            (Some(2000), Some(500), Some(70))
        );
        assert_eq!(
            (check("retry-after", "-1"), check("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), check("x", "1")),
            (None, None, None)
        );
    }

    #[test]
    fn statuses_fail_over_or_are_relayed() {
        let check = |status: u16| refused(StatusCode::from_u16(status).unwrap(), &HeaderMap::new()).err().map(|trouble| trouble.code);
        for (status, expected) in [
            (200, None),
            (400, None),
            (422, None),
            (401, Some(Code::UpstreamRejected)),
            (404, Some(Code::UpstreamRejected)),
            (429, Some(Code::UpstreamRateLimited)),
            (301, Some(Code::UpstreamStatus)),
            (503, Some(Code::UpstreamStatus)),
        ] {
            assert_eq!(check(status), expected, "{status}");
        }
    }
}
