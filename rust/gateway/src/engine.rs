//! The engine behind both doors: owns every part that lives longer than a call, and serves every path.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use tokio::sync::Notify;
use tradewind_core::{
    Code, Error, Now,
    features::Features,
    plan::{self, Predictors, Problem},
};

use crate::{
    answer::{self, AnswerBody},
    chat,
    keys::{Addressed, Caller, Keys, Peer},
    ledger::{Ledger, Reserved},
    live::Live,
    metrics::{CodeLabels, Metrics, PlanLabels},
    pages::{self, Refusal},
    routing::Routing,
    second_tier,
    secrets::Credentials,
    sessions::Sessions,
    settings::Settings,
    sync::client::{Callers, Roots, Status},
    templates::Templates,
    tls::Certificates,
    upstream::{
        Pool,
        guard::{self, Guard},
    },
};

/// Every path, by method: what the answer to an unknown one names.
const PATHS: &[(&str, &str)] = &[
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/decide"),
    ("GET", "/v1/models"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/startupz"),
    ("GET", "/metrics"),
    ("GET", "/plan"),
];

/// The data plane of one process.
pub struct Engine {
    settings: Settings,
    predictors: Mutex<Predictors>,
    routing: ArcSwapOption<Routing>,
    refusal: ArcSwapOption<Refusal>,
    swapping: Mutex<()>,
    keys: ArcSwap<Keys>,
    credentials: ArcSwap<Credentials>,
    /// What controllers are asked, where there are some.
    controllers: ArcSwapOption<(Arc<Status>, Callers)>,
    live: Live,
    sessions: Sessions,
    templates: Templates,
    pool: Arc<Pool>,
    /// Before the ledger, in which it leaves what waits for it.
    second_tier: second_tier::Threads,
    ledger: Option<Ledger>,
    metrics: Metrics,
    /// Of the TLS door.
    certificates: Certificates,
    begun: Instant,
    in_flight: AtomicUsize,
    leaving: AtomicBool,
    draining: AtomicBool,
    cut: AtomicBool,
    /// Woken when the last call has ended while the gateway drains.
    idle: Notify,
    /// Drawn once per process, so that ids of two processes differ.
    nonce: u64,
    calls: AtomicU64,
}

/// A plan that was taken.
#[derive(Debug)]
pub struct PlanStatus {
    /// Its id.
    pub plan: String,
    /// What was left out of it.
    pub warnings: Vec<Problem>,
}

/// A place among the calls in flight, given back on drop.
pub(crate) struct Slot(Arc<Engine>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.metrics.in_flight.dec();
        if self.0.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.is_draining() {
            self.0.idle.notify_waiters();
        }
    }
}

impl Engine {
    /// Builds the data plane, without a plan: until one is swapped in, calls are answered 503 `no_plan`.
    ///
    /// # Errors
    /// Where settings exclude each other (`invalid_request`), or the ledger's folder cannot be written.
    pub fn new(settings: Settings, predictors: Predictors) -> Result<Arc<Self>, Error> {
        if settings.tls_port.is_some() && settings.controllers.is_empty() {
            let message = "`tls_port` needs `controllers`, which give the certificate of the TLS door; none are given";
            return Err(Error::new(Code::InvalidRequest, "tls_port", message));
        }
        let metrics = Metrics::default();
        let open =
            |folder| Ledger::open(folder, settings.ledger_rotate_bytes, metrics.ledger_lines.clone(), metrics.ledger_dropped.clone());
        let ledger = settings.ledger_dir.as_deref().map(open).transpose();
        let ledger = ledger.map_err(|error| Error::new(Code::Internal, "ledger_dir", format!("the ledger cannot be opened: {error}")))?;
        let nonce = RandomState::new().build_hasher().finish();
        Ok(Arc::new(Self {
            predictors: Mutex::new(predictors),
            routing: ArcSwapOption::empty(),
            refusal: ArcSwapOption::empty(),
            swapping: Mutex::new(()),
            keys: ArcSwap::from_pointee(if settings.controllers.is_empty() { Keys::default() } else { Keys::pending() }),
            credentials: ArcSwap::default(),
            controllers: ArcSwapOption::empty(),
            live: Live::default(),
            sessions: Sessions::new(settings.max_sessions, Duration::from_secs(settings.session_ttl_s)),
            templates: Templates::default(),
            pool: Arc::new(Pool {
                id: nonce,
                max_idle: settings.max_idle_connections,
                max_age: Duration::from_millis(settings.idle_connection_ms),
                connect_timeout: Duration::from_millis(settings.connect_timeout_ms),
                hosts: settings.hosts.clone(),
                hop: ArcSwapOption::empty(),
                // Files are written by whoever runs the gateway; what controllers give is written by others.
                guard: (!settings.controllers.is_empty()).then(|| Arc::new(Guard::new(settings.allow_upstreams.clone()))),
            }),
            second_tier: second_tier::Threads::new(Duration::from_millis(settings.second_tier_timeout_ms), metrics.second_tier.clone()),
            ledger,
            metrics,
            certificates: Certificates::default(),
            begun: Instant::now(),
            in_flight: AtomicUsize::new(0),
            leaving: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            idle: Notify::new(),
            nonce,
            calls: AtomicU64::new(0),
            settings,
        }))
    }

    /// Loads a predictor for plans to come; gives its digest.
    ///
    /// # Errors
    /// `invalid_predictor`.
    pub fn add_predictor(&self, onnx: &[u8]) -> Result<Arc<str>, Error> {
        let predictor = self.settings.executor.load(onnx, self.settings.onnxruntime_library.as_deref())?;
        // The tables of the tokenizer and of the predictor are made here, not while the first caller waits.
        predictor.predict(&Features::of("What is the capital of France?"))?;
        let digest = Arc::clone(predictor.digest());
        self.predictors.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.to_string(), Arc::new(predictor));
        Ok(digest)
    }

    /// Forgets predictors. Plans that were compiled with them keep them as long as they serve.
    pub(crate) fn forget_predictors(&self, digests: &[String]) {
        let mut loaded = self.predictors.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten: Vec<_> = digests.iter().filter_map(|digest| loaded.remove(digest)).collect();
        drop(loaded);
        // Large ones take their time to be freed.
        drop(forgotten);
    }

    /// Those of some digests that are not loaded.
    pub(crate) fn missing_predictors(&self, digests: impl IntoIterator<Item = String>) -> Vec<String> {
        let loaded = self.predictors.lock().unwrap_or_else(PoisonError::into_inner);
        digests.into_iter().filter(|digest| !loaded.contains_key(digest)).collect()
    }

    /// Compiles a plan source and serves it from the next call on. A bad one is refused, remembered for `/plan`, and the old one kept.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn swap(&self, plan_source: &[u8], source: &str) -> Result<PlanStatus, Vec<Problem>> {
        let _one_at_a_time = self.swapping.lock().unwrap_or_else(PoisonError::into_inner);
        let predictors = self.predictors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let compiled = plan::compile(plan_source, &predictors);
        let routing = compiled.and_then(|compiled| Routing::new(compiled, &self.live, source.to_owned(), SystemTime::now()));
        match routing {
            Ok(routing) => {
                let status = PlanStatus { plan: routing.plan.id().to_string(), warnings: routing.warnings.clone() };
                self.metrics.plans_loaded.inc();
                self.metrics.plan.clear();
                self.metrics.plan.get_or_create(&PlanLabels { plan: status.plan.clone() }).set(1);
                self.routing.store(Some(Arc::new(routing)));
                self.refusal.store(None);
                tracing::info!(plan = status.plan, source, "a plan is served");
                Ok(status)
            }
            Err(problems) => {
                self.refuse_plan(problems.clone(), source);
                Err(problems)
            }
        }
    }

    /// Remembers that a plan could not even be made, for `/plan`. The old one is kept.
    pub fn refuse_plan(&self, problems: impl serde::Serialize, source: &str) {
        let problems = serde_json::to_value(problems).unwrap_or_default();
        self.metrics.plans_refused.inc();
        tracing::error!(source, %problems, "a plan is refused; the old one is kept");
        self.refusal.store(Some(pages::refusal(problems)));
    }

    /// Replaces the callers' keys.
    pub fn set_keys(&self, keys: Keys) {
        self.keys.store(Arc::new(keys));
    }

    /// Replaces the upstreams' credentials.
    pub fn set_credentials(&self, credentials: Credentials) {
        self.credentials.store(Arc::new(credentials));
    }

    /// Id of the plan in service, if there is one.
    #[must_use]
    pub fn plan_id(&self) -> Option<String> {
        self.routing().ok().map(|routing| routing.plan.id().to_string())
    }

    /// Names of the credentials that the plan in service needs.
    #[must_use]
    pub fn credential_names(&self) -> Vec<String> {
        let Ok(routing) = self.routing() else { return Vec::new() };
        routing.plan.models().iter().filter_map(|model| model.upstream.credential.clone()).collect()
    }

    /// Says from now on that the gateway leaves: it is no longer ready, and each answer asks to close its connection. Calls are taken.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }

    /// Refuses new calls from now on, but for those of a [`Peer`] to whom it was promised; those in flight go on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Waits until no call is in flight. After [`Self::drain`] only calls of a [`Peer`] to whom it was promised begin.
    pub async fn idle(&self) {
        let idle = self.idle.notified();
        let mut idle = std::pin::pin!(idle);
        // Listens before it looks, so that the end of the last call is not missed.
        idle.as_mut().enable();
        if self.calls_in_flight() > 0 {
            idle.await;
        }
    }

    /// The time to drain is over: a call that is dropped from now on is our doing, not its client's.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    /// Whether calls were still in flight when the time to drain was over.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Writes what the ledger holds, syncs and closes it. Blocks.
    pub fn close(&self) {
        self.drain();
        // Outcomes that wait for a label are written without it.
        self.second_tier.close();
        if let Some(ledger) = &self.ledger {
            ledger.close();
        }
    }

    /// Waits until the outcomes of all calls that have ended are in the ledger's file.
    pub async fn flush_ledger(&self) {
        self.second_tier.idle().await;
        if let Some(ledger) = &self.ledger {
            ledger.flush().await;
        }
    }

    /// Serves a request. Dropping the future, or the answer's body, cancels the upstream call.
    pub async fn handle(self: &Arc<Self>, request: Request<Bytes>, peer: Peer) -> Response<AnswerBody> {
        let mut response = self.answer(request, peer).await;
        if self.leaving.load(Ordering::SeqCst) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn answer(self: &Arc<Self>, request: Request<Bytes>, peer: Peer) -> Response<AnswerBody> {
        let (head, body) = request.into_parts();
        if length(&head) > self.settings.max_header_bytes {
            return self.refuse(&self.head_too_large());
        }
        let path = head.uri.path();
        let read = matches!(head.method, Method::GET | Method::HEAD);
        match path {
            "/healthz" if read => return pages::alive(),
            "/readyz" if read => return pages::ready(self),
            "/startupz" if read => return pages::started(self),
            "/metrics" if read => return pages::metrics(self),
            "/plan" if read => return pages::plan(self),
            _ => {}
        }
        let (path, namespace) = addressed(path);
        let Some(&(method, _)) = PATHS.iter().find(|(_, known)| *known == path) else {
            return self.refuse(&not_found(head.uri.path()));
        };
        if head.method != method && !(method == "GET" && read) {
            let mut response =
                self.refuse(&Error::new(Code::MethodNotAllowed, "", format!("`{path}` is served by {method}, not by {}", head.method)));
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(method));
            return response;
        }
        let from = match self.caller(&head.headers, peer).await {
            Ok(caller) => Addressed { caller, namespace, promised: peer.promised },
            Err(error) => return self.refuse(&error),
        };
        if path == "/v1/models" {
            return pages::models(self, &from);
        }
        if body.len() > self.settings.max_body_bytes {
            return self.refuse(&self.body_too_large());
        }
        match path {
            "/v1/chat/completions" => chat::serve(self, &head.headers, body, from).await,
            _ => chat::explain(self, &head.headers, &body, &from).await,
        }
    }

    async fn caller(&self, headers: &http::HeaderMap, peer: Peer) -> Result<Arc<Caller>, Error> {
        let known = self.keys.load().caller(headers, peer);
        match (known, self.controllers()) {
            // It may be the token of a ServiceAccount, whom a controller knows.
            (Err(unknown), Some(controllers)) if matches!(unknown.code, Code::Unauthorized | Code::IdentityUnavailable) => {
                controllers.1.caller(headers, peer, unknown).await
            }
            (known, _) => known,
        }
    }

    fn head_too_large(&self) -> Error {
        let message = format!("request line and headers exceed the {} bytes that this gateway accepts", self.settings.max_header_bytes);
        Error::new(Code::HeadTooLarge, "", message)
    }

    /// What a body over the limit is answered.
    #[must_use]
    pub fn body_too_large(&self) -> Error {
        Error::new(Code::BodyTooLarge, "", format!("the body exceeds the {} bytes that this gateway accepts", self.settings.max_body_bytes))
    }

    /// What a body that does not come is answered.
    #[must_use]
    pub fn request_timeout(&self) -> Error {
        Error::new(Code::RequestTimeout, "", format!("the body was not complete after {} ms", self.settings.body_read_timeout_ms))
    }

    /// The answer to a request that never became a call.
    #[must_use]
    pub fn refuse(&self, error: &Error) -> Response<AnswerBody> {
        self.metrics.refused.get_or_create(&CodeLabels { code: error.code.row().code }).inc();
        answer::error(error)
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether it can be told who calls.
    ///
    /// # Errors
    /// `identity_unavailable` as long as keys have not come from a controller.
    pub fn callers_known(&self) -> Result<(), Error> {
        self.keys.load().known()
    }

    /// Whether callers need keys.
    #[must_use]
    pub fn keys_required(&self) -> bool {
        self.keys.load().required()
    }

    /// Calls in flight.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Whether it is to be called no more: it leaves, or drains.
    pub(crate) fn is_ending(&self) -> bool {
        self.leaving.load(Ordering::SeqCst) || self.is_draining()
    }

    /// The certificate of the TLS door, which controllers give.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// How long it has been there.
    pub(crate) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    pub(crate) fn routing(&self) -> Result<Arc<Routing>, Error> {
        self.routing.load_full().ok_or_else(|| Error::new(Code::NoPlan, "", "no plan is loaded yet").after(1000))
    }

    pub(crate) fn refusal(&self) -> Option<Arc<Refusal>> {
        self.refusal.load_full()
    }

    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        self.credentials.load_full()
    }

    pub(crate) fn controllers(&self) -> Option<Arc<(Arc<Status>, Callers)>> {
        self.controllers.load_full()
    }

    /// Asks these controllers from now on.
    pub(crate) fn set_controllers(&self, status: Arc<Status>, callers: Callers) {
        self.controllers.store(Some(Arc::new((status, callers))));
    }

    /// Trusts gateways as controllers are trusted, where a pod shows them its token.
    pub(crate) fn trust_gateways(&self, roots: Arc<Roots>) {
        self.pool.hop.store(Some(roots));
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(crate) fn second_tier(&self) -> &second_tier::Threads {
        &self.second_tier
    }

    pub(crate) fn templates(&self) -> &Templates {
        &self.templates
    }

    /// Lets no upstream be at these addresses of a host, in place of those that it had.
    pub(crate) fn spare(&self, why: guard::Why, host: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        if let Some(guard) = &self.pool.guard {
            guard.learn(why, host, addresses);
        }
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Takes a place among the calls in flight. A drain lets those in alone to whom it was promised.
    pub(crate) fn enter(self: &Arc<Self>, promised: bool) -> Result<Slot, Error> {
        let slot = Slot(Arc::clone(self));
        self.metrics.in_flight.inc();
        let before = self.in_flight.fetch_add(1, Ordering::SeqCst);
        // Asked once the place is taken: a drain either sees this call or is seen by it.
        if self.is_draining() && !promised {
            return Err(Error::new(Code::Draining, "", "the gateway is shutting down").after(1000));
        }
        if before >= self.settings.max_calls_in_flight {
            let message = format!("{} calls are in flight, as many as the settings allow", self.settings.max_calls_in_flight);
            return Err(Error::new(Code::Overloaded, "", message).after(1000));
        }
        Ok(slot)
    }

    /// Reserves a line of the ledger, waiting while it is full.
    pub(crate) async fn reserve_line(&self) -> Result<Option<Reserved>, Error> {
        let Some(ledger) = &self.ledger else { return Ok(None) };
        let closed = || Error::new(Code::Draining, "", "the gateway is shutting down");
        ledger.reserve().await.map(Some).ok_or_else(closed)
    }

    /// An id that no other call has: the time, then the process and the count.
    pub(crate) fn next_id(&self) -> String {
        let count = self.calls.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{:016x}", unix_ns(), self.nonce ^ count)
    }

    /// Time and draw for a decision.
    pub(crate) fn draw(&self) -> Now {
        let unix_ns = unix_ns();
        Now { unix_ns, seed: mix(unix_ns ^ self.nonce.wrapping_add(self.calls.load(Ordering::Relaxed))) }
    }
}

/// Bytes of a request line and headers, as HTTP/1.1 writes them.
fn length(head: &http::request::Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let line = head.method.as_str().len() + target + "  HTTP/1.1\r\n".len();
    let headers: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum();
    line + headers + "\r\n".len()
}

/// The path below `/ns/<namespace>`, and the namespace: it is the route's business whether that one admits the caller.
fn addressed(path: &str) -> (&str, Option<&str>) {
    let inner = || {
        let rest = path.strip_prefix("/ns/")?;
        let at = rest.find('/')?;
        rest[at..].starts_with("/v1/").then_some((&rest[at..], Some(&rest[..at])))
    };
    inner().unwrap_or((path, None))
}

fn not_found(path: &str) -> Error {
    not_among(PATHS, path)
}

/// The answer to a path that is none of those served.
pub(crate) fn not_among(paths: &[(&str, &str)], path: &str) -> Error {
    let served: Vec<String> = paths.iter().map(|(method, path)| format!("{method} {path}")).collect();
    Error::new(Code::NotFound, "", format!("`{}` is not served; served are {}", tradewind_core::error::excerpt(path), served.join(", ")))
}

/// Nanoseconds since 1970.
pub(crate) fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// SplitMix64's last step: neighbouring inputs, unrelated outputs.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
