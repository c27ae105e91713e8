//! The journey of one call: parse, decide, call upstreams as `resume` says, relay, account.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, header};
use tradewind_core::{
    Call, Code, Decision, Dials, Error, Now, Step,
    call::{MAX_COST, WILLINGNESS_TO_PAY},
    decide::{Hints, decide_request},
    live::Last,
    parse::{self, Request},
    resume,
};

use crate::{
    account::Account,
    answer::{self, AnswerBody},
    attempt::{self, Answer, Ask, Head, Started},
    engine::{Engine, unix_ns},
    keys::Addressed,
    relay::{Held, Relay},
    routing::Routing,
    second_tier,
};

/// Name of the session header.
const SESSION: &str = "x-tradewind-session";
/// Longest name of a session.
const MAX_SESSION: usize = 256;
/// Headers of an upstream's answer that the client gets too.
static RELAYED: [HeaderName; 5] =
    [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CACHE_CONTROL, header::RETRY_AFTER, HeaderName::from_static("x-request-id")];

/// Serves `POST /v1/chat/completions`.
pub(crate) async fn serve(engine: &Arc<Engine>, headers: &HeaderMap, body: Bytes, from: Addressed<'_>) -> Response<AnswerBody> {
    match begin(engine, headers, body, from).await {
        Ok(response) => response,
        Err(error) => engine.refuse(&error),
    }
}

/// Up to the account. An error here is of a request that never became a call: it has no outcome.
async fn begin(engine: &Arc<Engine>, headers: &HeaderMap, body: Bytes, from: Addressed<'_>) -> Result<Response<AnswerBody>, Error> {
    let slot = engine.enter(from.promised)?;
    let line = engine.reserve_line().await?;
    let started = Instant::now();
    let routing = engine.routing()?;
    let call = from.call(&body);
    let request = parse::request(&call)?;
    let account = Account::open(Arc::clone(engine), slot, line, Arc::clone(&routing), from.clone(), body.clone());
    Ok(run(engine, &routing, headers, &call, &request, &body, account, started).await)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one call, each of another owner")]
async fn run(
    engine: &Arc<Engine>,
    routing: &Routing,
    headers: &HeaderMap,
    call: &Call<'_>,
    request: &Request<'_>,
    body: &Bytes,
    mut account: Account,
    started: Instant,
) -> Response<AnswerBody> {
    let id = account.id().to_owned();
    let label = |mut response: Response<AnswerBody>| {
        answer::set(&mut response, answer::DECISION, &id);
        answer::set(&mut response, answer::PLAN, routing.plan.id());
        response
    };
    let decision = match decide(engine, routing, headers, call, request).await {
        Ok(Decided { decision, dials, session }) => {
            if let Some(session) = session {
                let last = Last { predictor: Arc::clone(&decision.predictor), prediction: decision.prediction.clone() };
                engine.sessions().remember(&call.identity.tenant, session, Arc::new(last), Instant::now());
            }
            let decision = Arc::new(decision);
            account.decided(Arc::clone(&decision), dials);
            if decision.doubt.is_some() {
                second_tier::label(engine, request, &decision, &mut account);
            }
            decision
        }
        Err(error) => {
            account.close(Some(error.code));
            return label(answer::error(&error));
        }
    };
    let took = started.elapsed();
    engine.metrics().decide.observe(took.as_secs_f64());
    if request.own_turn {
        engine.templates().learn(&call.identity.tenant, &decision.route, &request.text);
    }
    let deadline = started + Duration::from_millis(decision.timeouts.request_ms);
    let ask = Ask { engine, routing, decision: &decision, body, request, deadline: deadline.into() };
    let mut response = label(match answer(&ask, &mut account).await {
        Ok(Answer::Whole { head, body }) => whole(head, body, &mut account),
        Ok(Answer::Stream(stream)) => streamed(&ask, *stream, account),
        Err(error) => {
            account.close(Some(error.code));
            answer::error(&error)
        }
    });
    answer::set(&mut response, answer::DECIDE_US, &took.as_micros().to_string());
    response
}

/// Reads the dials and the session, and decides; once more where a second tier answers.
async fn decide<'h>(
    engine: &Engine,
    routing: &Routing,
    headers: &'h HeaderMap,
    call: &Call<'_>,
    request: &Request<'_>,
) -> Result<Decided<'h>, Error> {
    let dials = Dials::parse(text(headers, WILLINGNESS_TO_PAY)?, text(headers, MAX_COST)?)?;
    let session = text(headers, SESSION)?;
    if session.is_some_and(|session| session.is_empty() || session.len() > MAX_SESSION) {
        return Err(Error::new(Code::InvalidHeader, SESSION, format!("`{SESSION}` has 1 to {MAX_SESSION} characters")));
    }
    let tenant = &call.identity.tenant;
    let last = session.and_then(|session| engine.sessions().last(tenant, session, Instant::now()));
    let now = engine.draw();
    let call = Call { dials, ..*call };
    let live = routing.live(last.as_deref(), engine.templates());
    let mut decision = decide_request(&routing.plan, &call, request, &Hints::default(), &live, now)?;
    if decision.doubt.is_some() {
        // In a box, for nearly all calls go without it.
        decision = Box::pin(second_tier::decide_again(engine, routing, &call, request, decision)).await?;
    }
    Ok(Decided { decision, dials, session })
}

/// A decision and what of the headers it rests on.
struct Decided<'h> {
    decision: Decision,
    dials: Dials,
    session: Option<&'h str>,
}

/// Serves `POST /v1/decide`: the decision that a call would get, nothing called, nothing remembered.
pub(crate) async fn explain(engine: &Arc<Engine>, headers: &HeaderMap, body: &Bytes, from: &Addressed<'_>) -> Response<AnswerBody> {
    let started = Instant::now();
    let explained = async {
        let routing = engine.routing()?;
        let call = from.call(body);
        let request = parse::request(&call)?;
        let decision = decide(engine, &routing, headers, &call, &request).await?.decision;
        Ok::<_, Error>((routing, decision))
    };
    match explained.await {
        Err(error) => engine.refuse(&error),
        Ok((routing, decision)) => {
            let took = started.elapsed();
            let id = engine.next_id();
            let document = serde_json::to_vec(&decision.document(&id)).unwrap_or_default();
            let mut response = answer::json(http::StatusCode::OK, document);
            answer::set(&mut response, answer::DECISION, &id);
            answer::set(&mut response, answer::PLAN, routing.plan.id());
            answer::set(&mut response, answer::MODEL, &decision.chosen().model.0.id);
            answer::set(&mut response, answer::DECIDE_US, &took.as_micros().to_string());
            answer::set(&mut response, answer::COST_USD, &usd(decision.chosen().forecast.cost.0));
            response
        }
    }
}

/// Calls upstreams, as `resume` says, until one answers or there is nothing left to try.
async fn answer(ask: &Ask<'_>, account: &mut Account) -> Result<Answer, Error> {
    let mut attempts: Vec<resume::Attempt> = Vec::new();
    let mut answers = None;
    loop {
        let now = Now { unix_ns: unix_ns(), seed: 0 };
        match resume::resume(&ask.routing.plan, ask.decision, &attempts, &ask.routing.live(None, ask.engine.templates()), now) {
            Step::Call(target) => {
                let candidate = &ask.decision.candidates[target.candidate];
                let error = match attempt::run(ask, candidate, account).await {
                    Ok(answer) => {
                        answers = Some(answer);
                        None
                    }
                    Err(error) => Some(error),
                };
                attempts.push(resume::Attempt { candidate: target.candidate, error, answered: false });
            }
            Step::Answer(_) => return answers.ok_or_else(|| Error::new(Code::Internal, "", "an answer was lost")),
            Step::Stop(error) => return Err(error),
        }
    }
}

fn whole(head: Head, body: Bytes, account: &mut Account) -> Response<AnswerBody> {
    account.answered();
    account.close(None);
    let cost = account.cost();
    let mut response = headed(head, AnswerBody::whole(body));
    answer::set(&mut response, answer::COST_USD, &usd(cost.0));
    if let Some(model) = account.answerer() {
        answer::set(&mut response, answer::MODEL, model);
    }
    response
}

fn streamed(ask: &Ask<'_>, stream: Started, mut account: Account) -> Response<AnswerBody> {
    account.answered();
    let Started { head, first, follower, body, target, place } = stream;
    let model = account.answerer().unwrap_or_default().to_owned();
    let forecast = ask.decision.candidates.iter().find(|candidate| *candidate.model.0.id == *model).map(|candidate| candidate.forecast);
    let idle = Duration::from_millis(ask.decision.timeouts.stream_idle_ms);
    let settings = ask.engine.settings();
    let now = tokio::time::Instant::now();
    let cost = forecast.map_or(0, |forecast| forecast.cost.0);
    let relay = Relay {
        body,
        follower,
        first,
        held: Some(Held { account, _place: place }),
        target,
        request_bytes: ask.body.len(),
        input_tokens: forecast.map_or(0, |forecast| forecast.input_tokens),
        idle,
        deadline: ask.deadline,
        last_frame: now,
        timer: Box::pin(tokio::time::sleep_until((now + idle).min(ask.deadline))),
        rest: (settings.rest_ms, settings.max_rest_ms),
        model: model.clone(),
    };
    let mut response = headed(head, AnswerBody::stream(relay));
    answer::set(&mut response, answer::MODEL, &model);
    answer::set(&mut response, answer::COST_USD, &usd(cost));
    response
}

fn headed(head: Head, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    for name in &RELAYED {
        if let Some(value) = head.headers.get(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn text<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| Error::new(Code::InvalidHeader, name, format!("`{name}` holds characters other than ASCII")))
}

/// Nano-dollars as a plain decimal number of dollars.
fn usd(nanousd: i64) -> String {
    format!("{}.{:09}", nanousd / 1_000_000_000, nanousd % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_plain_decimals() {
        assert_eq!(
            (usd(118_000), usd(2_000_000_001), usd(0)),
            ("0.000118000".to_owned(), "2.000000001".to_owned(), "0.000000000".to_owned())
        );
    }
}
