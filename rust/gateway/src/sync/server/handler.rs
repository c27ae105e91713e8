//! One request of a data plane: its token, its role, what differs from what it has.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll as Polled},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tradewind_core::plan::Scope;

use super::{
    super::protocol::{self, Account, Identity, Poll, Question, Role},
    books::{Books, Sent, Ticket, Wanted},
    counters::{Counters, count},
    identity::{Bearer, Holder, Identities, Unidentified},
    keyring::Blob,
    publication::{Publication, Rendering},
    settings::Settings,
};
use crate::server::until;

/// Bytes of a request's body.
const MAX_BODY: usize = 64 << 10;
/// The largest serial that a data plane may claim: the largest integer that every JSON reader keeps. No controller comes near it.
const MAX_SERIAL: u64 = 1 << 53;
/// For a request's body.
const BODY: Duration = Duration::from_secs(10);

/// What all connections share.
pub struct Shared {
    pub settings: Settings,
    pub identities: Identities,
    pub books: Books,
    pub counters: Counters,
    pub stopped: watch::Receiver<bool>,
}

/// A refusal: status, code, sentence.
struct Refusal(StatusCode, &'static str, String);

type Answer = Response<Segments>;

/// A body in pieces that may be shared with other answers.
#[derive(Default)]
pub struct Segments(VecDeque<Bytes>);

impl Segments {
    fn length(&self) -> u64 {
        self.0.iter().map(|segment| segment.len() as u64).sum()
    }
}

impl Body for Segments {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Polled<Option<Result<Frame<Bytes>, Infallible>>> {
        Polled::Ready(self.0.pop_front().map(|segment| Ok(Frame::data(segment))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}

/// Drops what is too old, until the server is stopped.
pub async fn sweep(shared: Arc<Shared>) {
    let every = (shared.books.silence() / 10).clamp(Duration::from_millis(20), Duration::from_secs(1));
    let mut ticks = tokio::time::interval(every);
    let mut stopped = shared.stopped.clone();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = until(&mut stopped) => return,
        }
        shared.books.sweep();
        shared.identities.sweep();
    }
}

/// Answers a request.
pub async fn answer(shared: &Arc<Shared>, request: Request<Incoming>, peer: IpAddr) -> Result<Answer, Infallible> {
    let answer = match served(shared, request, peer).await {
        Ok(answer) => answer,
        Err(refusal) => refused(shared, &refusal),
    };
    shared.counters.bytes.fetch_add(answer.body().length(), std::sync::atomic::Ordering::Relaxed);
    Ok(answer)
}

async fn served(shared: &Arc<Shared>, request: Request<Incoming>, peer: IpAddr) -> Result<Answer, Refusal> {
    let path = request.uri().path();
    let method = match path {
        protocol::SYNC | protocol::IDENTIFY => Method::POST,
        _ if path.starts_with(protocol::PREDICTORS) => Method::GET,
        _ => return Err(Refusal(StatusCode::NOT_FOUND, "not_found", "no such path".to_owned())),
    };
    if request.method() != method {
        return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("this path is served by {method}")));
    }
    let holder = holder(shared, request.headers(), peer).await?;
    let role = shared.role(&holder);
    match path {
        protocol::SYNC => sync(shared, &holder, role, request).await,
        protocol::IDENTIFY => identify(shared, &holder, role, request).await,
        _ => predictor(shared, &path[protocol::PREDICTORS.len()..]),
    }
}

async fn holder(shared: &Shared, headers: &http::HeaderMap, peer: IpAddr) -> Result<Arc<Holder>, Refusal> {
    let presented = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = presented.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim).filter(|token| !token.is_empty());
    let Some(token) = token else {
        return Err(Refusal(StatusCode::UNAUTHORIZED, "unauthorized", "expected `Authorization: Bearer <token>`".to_owned()));
    };
    let holder = shared.identities.of(token, Bearer::Address(peer)).await.map_err(unidentified)?;
    if holder.pod_uid.is_empty() {
        return Err(Refusal(StatusCode::FORBIDDEN, "not_a_pod", "the token is not bound to a pod".to_owned()));
    }
    Ok(holder)
}

fn unidentified(why: Unidentified) -> Refusal {
    match why {
        Unidentified::Unknown => Refusal(StatusCode::UNAUTHORIZED, "unauthorized", "the token is not accepted".to_owned()),
        Unidentified::Unavailable => {
            Refusal(StatusCode::SERVICE_UNAVAILABLE, "identity_unavailable", "the token cannot be looked at now".to_owned())
        }
        Unidentified::Flood => {
            Refusal(StatusCode::TOO_MANY_REQUESTS, "too_many_bad_tokens", "too many bad tokens came from there; wait 10 s".to_owned())
        }
    }
}

impl Shared {
    fn role(&self, holder: &Holder) -> Role {
        let account = format!("{}/{}", holder.namespace, holder.service_account);
        if self.settings.gateway_accounts.contains(&account) { Role::Gateway } else { Role::Sidecar }
    }

    pub fn scope(&self, role: Role, holder: &Holder) -> Scope {
        match role {
            Role::Gateway => Scope::Gateway,
            Role::Sidecar => Scope::Sidecar { namespace: holder.namespace.clone(), hop: self.settings.hop_url.clone() },
        }
    }
}

async fn sync(shared: &Arc<Shared>, holder: &Arc<Holder>, role: Role, request: Request<Incoming>) -> Result<Answer, Refusal> {
    own_namespace(role, holder, request.uri().query())?;
    let poll: Poll = body(request).await?;
    if poll.schema == 0 {
        return Err(Refusal(StatusCode::BAD_REQUEST, "unsupported_schema", "plan schemas begin with 1".to_owned()));
    }
    if poll.serial > MAX_SERIAL {
        return Err(Refusal(StatusCode::BAD_REQUEST, "invalid_serial", format!("a serial is at most {MAX_SERIAL}")));
    }
    count(&shared.counters.polls);
    let deadline = Instant::now() + shared.settings.park();
    let scope = shared.scope(role, holder);
    let identity = Identity { namespace: holder.namespace.clone(), role };
    let mut news = shared.books.news();
    let mut stopped = shared.stopped.clone();
    let ticket = shared.books.arrive(holder, role, poll.clone());
    loop {
        // Marked as seen before it is looked at, so that nothing falls between the two.
        news.borrow_and_update();
        let Some(wanted) = shared.books.wanted(&ticket) else { break };
        let rendering = rendering(shared, &ticket, &wanted, poll.schema, &scope).await?;
        let mut end = deadline;
        if let Some(difference) = Difference::between(&poll, &wanted, rendering.as_deref()) {
            match shared.books.send(&ticket, difference.sent(&poll)) {
                Ok(()) => {
                    ticket.answered();
                    count(&shared.counters.updates);
                    return Ok(document(StatusCode::OK, difference.write(&identity)));
                }
                Err(again) => end = deadline.min(again.into()),
            }
        }
        tokio::select! {
            _ = news.changed() => {}
            () = ticket.woken() => {}
            () = sleep_until(end) => if end == deadline { break },
            () = until(&mut stopped) => break,
        }
    }
    ticket.answered();
    count(&shared.counters.unchanged);
    let mut response = Response::new(Segments::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn own_namespace(role: Role, holder: &Holder, query: Option<&str>) -> Result<(), Refusal> {
    let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("namespace="));
    match asked {
        Some(asked) if role == Role::Sidecar && asked != holder.namespace => {
            let message = format!("a sidecar of `{}` gets its own namespace only", holder.namespace);
            Err(Refusal(StatusCode::FORBIDDEN, "foreign_namespace", message))
        }
        _ => Ok(()),
    }
}

async fn rendering(
    shared: &Shared,
    ticket: &Ticket<'_>,
    wanted: &Wanted,
    schema: u32,
    scope: &Scope,
) -> Result<Option<Arc<Rendering>>, Refusal> {
    let Some(publication) = &wanted.publication else { return Ok(None) };
    let stopping = |_| Refusal(StatusCode::SERVICE_UNAVAILABLE, "stopping", "this replica is stopping".to_owned());
    let rendering = publication.rendering(schema, scope.clone()).await.map_err(stopping)?;
    shared.books.expect(ticket, publication, &rendering);
    Ok(Some(rendering))
}

/// What a data plane has not.
struct Difference<'a> {
    lineage: &'a str,
    serial: u64,
    /// Id of the plan to take, and the plan where it is another one.
    plan: Option<(&'a str, Option<&'a Bytes>)>,
    keys: Option<&'a Blob>,
    trust: Option<&'a Blob>,
    certificate: Option<&'a Blob>,
    /// Whether the data plane claims a serial that it was never given.
    claimed: bool,
}

/// Whether a data plane claims a serial of the plan's lineage that it cannot have: not that of a plan that it was given here, and
/// neither an older one nor this very plan, which another replica may have given.
fn claims(poll: &Poll, wanted: &Wanted, publication: &Publication, rendering: &Rendering) -> bool {
    let given = wanted.given.iter().flatten().any(|(lineage, serial)| *lineage == poll.lineage && *serial == poll.serial);
    let this = poll.serial == publication.serial && poll.have.plan.as_deref() == Some(&*rendering.id);
    poll.lineage == publication.lineage && poll.serial >= publication.serial && !given && !this
}

impl<'a> Difference<'a> {
    fn between(poll: &'a Poll, wanted: &'a Wanted, rendering: Option<&'a Rendering>) -> Option<Self> {
        let plan = wanted.publication.as_deref().zip(rendering);
        let claimed = plan.is_some_and(|(publication, rendering)| claims(poll, wanted, publication, rendering));
        let fresh = plan.filter(|(publication, rendering)| {
            let newer = poll.lineage != publication.lineage || publication.serial > poll.serial;
            (newer || claimed) && poll.reject.as_ref().is_none_or(|reject| reject.plan != rendering.id)
        });
        let plan = fresh.map(|(_, rendering)| {
            let same = poll.have.plan.as_deref() == Some(&*rendering.id);
            (&*rendering.id, (!same).then_some(&rendering.json))
        });
        let keys = wanted.keys.as_ref().filter(|keys| poll.have.keys.as_deref() != Some(&*keys.digest));
        let trust = wanted.trust.as_ref().filter(|trust| poll.have.trust.as_deref() != Some(&*trust.digest));
        // Only who has a TLS door asks for its certificate.
        let asked = poll.have.certificate.as_deref();
        let certificate = wanted.certificate.as_ref().filter(|certificate| asked.is_some_and(|have| have != &*certificate.digest));
        let (lineage, serial) = fresh.map_or((&*poll.lineage, poll.serial), |(publication, _)| (&*publication.lineage, publication.serial));
        let differs = plan.is_some() || keys.is_some() || trust.is_some() || certificate.is_some();
        differs.then_some(Self { lineage, serial, plan, keys, trust, certificate, claimed })
    }

    fn sent(&self, poll: &Poll) -> Sent<'a> {
        let plan = self.plan.map(|_| (self.lineage, self.serial));
        Sent { fingerprint: self.fingerprint(poll), plan, claimed: self.claimed }
    }

    /// Of the question and its answer. A serial that was never given is the same as every other such.
    fn fingerprint(&self, poll: &Poll) -> String {
        let digest = |blob: Option<&Blob>| blob.map_or(String::new(), |blob| blob.digest.clone());
        let question = (&poll.lineage, (!self.claimed).then_some(poll.serial), &poll.have, &poll.reject);
        let answer = (self.lineage, self.serial, self.plan.map(|(id, _)| id), [self.keys, self.trust, self.certificate].map(digest));
        format!("{question:?} {answer:?}")
    }

    /// The answer in pieces, of which the large ones are shared.
    fn write(&self, identity: &Identity) -> Segments {
        let mut head = json!({"lineage": self.lineage, "serial": self.serial, "identity": identity});
        if let Some((id, _)) = self.plan {
            head["plan_id"] = json!(id);
        }
        let mut head = head.to_string();
        head.pop();
        let mut segments = VecDeque::from([Bytes::from(head)]);
        let plan = self.plan.and_then(|(_, json)| json);
        let [keys, trust, certificate] = [self.keys, self.trust, self.certificate].map(|part| part.map(|blob| &blob.json));
        let parts = [(&b",\"plan\":"[..], plan), (b",\"keys\":", keys), (b",\"trust\":", trust), (b",\"certificate\":", certificate)];
        for (name, json) in parts {
            if let Some(json) = json {
                segments.extend([Bytes::from_static(name), json.clone()]);
            }
        }
        segments.push_back(Bytes::from_static(b"}"));
        Segments(segments)
    }
}

async fn identify(shared: &Shared, holder: &Holder, role: Role, request: Request<Incoming>) -> Result<Answer, Refusal> {
    if role != Role::Gateway {
        return Err(Refusal(StatusCode::FORBIDDEN, "forbidden", "only gateways may ask who a token is".to_owned()));
    }
    let question: Question = body(request).await?;
    let found = shared.identities.of(&question.token, Bearer::Gateway(holder.pod_uid.clone())).await;
    let found = found.map_err(|why| match why {
        Unidentified::Unknown => {
            Refusal(StatusCode::UNAUTHORIZED, protocol::UNKNOWN_TOKEN, "the caller's token is not accepted".to_owned())
        }
        why => unidentified(why),
    })?;
    count(&shared.counters.identified);
    let expires_s = Some(shared.identities.good_for(&question.token).as_secs_f64());
    let account = Account { namespace: found.namespace.clone(), service_account: found.service_account.clone(), expires_s };
    let json = serde_json::to_vec(&account).unwrap_or_default();
    Ok(document(StatusCode::OK, Segments(VecDeque::from([json.into()]))))
}

fn predictor(shared: &Shared, digest: &str) -> Result<Answer, Refusal> {
    let onnx = shared.books.predictor(digest);
    let onnx = onnx.ok_or_else(|| Refusal(StatusCode::NOT_FOUND, "not_found", "no predictor has this digest".to_owned()))?;
    count(&shared.counters.predictors);
    let mut response = document(StatusCode::OK, Segments(VecDeque::from([onnx])));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let read = Limited::new(request.into_body(), MAX_BODY).collect();
    let late = |_| Refusal(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body did not come in time".to_owned());
    let bytes = timeout(BODY, read).await.map_err(late)?;
    let large = |_| Refusal(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", format!("a body has at most {MAX_BODY} bytes"));
    let bytes = bytes.map_err(large)?.to_bytes();
    // The reader's own message may quote what it found, and that may be a token.
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("the body cannot be read at line {}, column {}", error.line(), error.column());
        Refusal(StatusCode::BAD_REQUEST, "invalid_request", message)
    })
}

fn refused(shared: &Shared, Refusal(status, code, message): &Refusal) -> Answer {
    shared.counters.refused(code);
    let json = json!({"error": {"code": code, "message": message}}).to_string();
    document(*status, Segments(VecDeque::from([json.into()])))
}

fn document(status: StatusCode, body: Segments) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
