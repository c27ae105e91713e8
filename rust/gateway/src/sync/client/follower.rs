//! What is in service, and how an update becomes that: predictors are fetched, the plan is compiled off the hot path and swapped in,
//! keys are set, and the next poll says so.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{Method, StatusCode};
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;
use tradewind_core::{
    digest,
    error::excerpt,
    plan::{CURRENT, POD, Problem, Severity},
};

use super::{
    super::protocol::{Certificate, Have, Identity, Keys, MAX_PREDICTOR_BYTES, PREDICTORS, Poll, Reject, Role, Trust, Update},
    connection::Connection,
    roots::Roots,
    status::Status,
    stock::{self, Kept, Stock},
    vault::Vault,
};
use crate::{Engine, keys, metrics::UpdateLabels, secrets::Credentials, settings::SyncFault};

/// After a refusal that another try may heal, such as a predictor that could not be fetched.
const TRY_AGAIN: Duration = Duration::from_secs(30);
/// Lineages that were left and are not gone back to.
const LEFT: usize = 64;
/// Bytes of a refusal's sentence.
const MESSAGE: usize = 1_000;

/// Whether the predictors of a plan are there; if not, the code and sentence of the refusal, and until when it stands.
type Fetched = Result<(), (&'static str, String, Option<Instant>)>;

/// A replica, the connection to it, and the token to show.
pub struct Line<'a> {
    pub replica: SocketAddr,
    pub source: &'a str,
    pub connection: &'a mut Connection,
    pub token: &'a str,
}

/// What is in service.
pub struct Follower {
    engine: Arc<Engine>,
    stock: Arc<Stock>,
    vault: Option<Vault>,
    roots: Arc<Roots>,
    status: Arc<Status>,
    /// One update at a time: two replicas give the same.
    taking: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    serves: Version,
    /// What polls say. Only a fault makes it another.
    says: Version,
    reject: Option<Refusal>,
    left: Vec<String>,
    identity: Option<Identity>,
    token: String,
    keys: Option<Keys>,
    /// What replicas that are connected gave last.
    given: HashMap<SocketAddr, Given>,
    received: u64,
    predictors: Loaded,
}

/// Predictors that were loaded here, beside those that the engine was given at its start.
#[derive(Default)]
struct Loaded {
    digests: BTreeSet<String>,
    /// Named by the plan in service, then by the one before it: the last one that is known to be good.
    named: [Vec<String>; 2],
    /// Named by plans that are being taken, by replica.
    coming: HashMap<SocketAddr, Vec<String>>,
}

impl Loaded {
    /// Another plan is in service; gives those that no plan names any more.
    fn serve(&mut self, named: Vec<String>) -> Vec<String> {
        self.named.swap(0, 1);
        self.named[0] = named;
        let used: BTreeSet<&String> = self.named.iter().chain(self.coming.values()).flatten().collect();
        self.digests.extract_if(.., |digest| !used.contains(digest)).collect()
    }
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Version {
    lineage: String,
    serial: u64,
    plan: Option<String>,
}

#[derive(Default)]
struct Given {
    lineage: String,
    keys: Option<(u64, Keys)>,
    trust: Option<String>,
    certificate: Option<String>,
}

/// A refusal, and until when it stands: for ever where the plan itself is wrong.
struct Refusal {
    reject: Reject,
    until: Option<Instant>,
}

impl Follower {
    pub fn new(engine: Arc<Engine>, stock: Stock, vault: Option<Vault>, roots: Arc<Roots>, status: Arc<Status>) -> Self {
        Self { engine, stock: Arc::new(stock), vault, roots, status, taking: tokio::sync::Mutex::default(), state: Mutex::default() }
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Serves the first of what was kept that can be served.
    pub fn resume(&self) {
        if let Some(keys) = self.vault.as_ref().and_then(Vault::load) {
            self.state().keys = Some(keys);
        }
        for (source, kept) in self.stock.plans() {
            let named = stock::predictors(kept.plan.get());
            for digest in self.engine.missing_predictors(named.iter().cloned()) {
                match self.stock.predictor(&digest).map(|onnx| self.engine.add_predictor(&onnx)) {
                    Some(Err(error)) => tracing::error!(digest, %error, "a kept predictor cannot be loaded"),
                    Some(Ok(_)) => drop(self.state().predictors.digests.insert(digest)),
                    None => {}
                }
            }
            if let Ok(status) = self.engine.swap(kept.plan.get().as_bytes(), &source) {
                let version = Version { lineage: kept.lineage, serial: kept.serial, plan: Some(status.plan) };
                let mut state = self.state();
                state.identity = kept.identity;
                let unused = state.predictors.serve(named);
                self.engine.forget_predictors(&unused);
                (state.says, state.serves) = (version.clone(), version);
                break;
            }
        }
        self.install(&self.state());
        self.show();
    }

    /// The token of this pod, as its file holds it now.
    pub fn token(&self) -> std::io::Result<String> {
        let Some(file) = &self.engine.settings().controller_token else { return Ok(String::new()) };
        let about = |error: std::io::Error| std::io::Error::new(error.kind(), format!("the token's file {}: {error}", file.display()));
        let token = std::fs::read_to_string(file).map_err(about)?.trim().to_owned();
        let mut state = self.state();
        if state.token != token {
            state.token.clone_from(&token);
            self.install(&state);
        }
        Ok(token)
    }

    /// What to tell a replica.
    pub fn report(&self, replica: SocketAddr) -> Poll {
        let mut state = self.state();
        if state.reject.as_ref().is_some_and(|refusal| refusal.until.is_some_and(|until| until <= Instant::now())) {
            state.reject = None;
        }
        let given = state.given.get(&replica);
        let keys = given.and_then(|given| given.keys.as_ref()).map(|(_, keys)| keys.digest.clone());
        let certificate = given.and_then(|given| given.certificate.clone());
        Poll {
            schema: CURRENT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            lineage: state.says.lineage.clone(),
            serial: state.says.serial,
            have: Have {
                plan: state.says.plan.clone(),
                keys,
                trust: given.and_then(|given| given.trust.clone()),
                certificate: self.engine.settings().tls_port.map(|_| certificate.unwrap_or_default()),
            },
            reject: state.reject.as_ref().map(|refusal| refusal.reject.clone()),
        }
    }

    /// A replica is no longer connected: its word counts no more, but what was taken from it stays.
    pub fn forget(&self, replica: SocketAddr) {
        let mut state = self.state();
        state.given.remove(&replica);
        state.predictors.coming.remove(&replica);
        drop(state);
        self.roots.forget(replica);
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// A sentence, where it cannot be read.
    pub async fn take(&self, mut line: Line<'_>, answer: &[u8]) -> Result<(), String> {
        let update: Update<'_> = serde_json::from_slice(answer)
            .map_err(|error| format!("the answer cannot be read at line {}, column {}", error.line(), error.column()))?;
        self.meet(line.replica, &update);
        if let Some(trust) = update.trust {
            self.trust(line.replica, trust);
        }
        if let Some(certificate) = update.certificate {
            self.certify(line.replica, certificate);
        }
        let plan = update.plan_id.filter(|_| self.is_newer(line.replica, &update.lineage, update.serial));
        if let Some(keys) = update.keys {
            self.hear(line.replica, keys, plan.is_some());
        }
        if let Some(plan) = plan {
            let version = Version { lineage: update.lineage, serial: update.serial, plan: Some(plan) };
            self.take_plan(&mut line, version, update.plan).await;
        }
        // With keys and plan, old and new ones were there until now.
        self.install(&self.state());
        self.show();
        Ok(())
    }

    fn meet(&self, replica: SocketAddr, update: &Update<'_>) {
        let mut state = self.state();
        state.identity = Some(update.identity.clone());
        let given = state.given.entry(replica).or_default();
        given.lineage.clone_from(&update.lineage);
    }

    fn trust(&self, replica: SocketAddr, trust: Trust) {
        let all = match self.roots.give(replica, trust.bundle) {
            Ok(all) => all,
            Err(message) => return tracing::error!(message, "a trust bundle is refused; the old one is kept"),
        };
        self.count("trust");
        self.state().given.entry(replica).or_default().trust = Some(trust.digest);
        if let Err(error) = self.stock.keep_trust(&all) {
            tracing::warn!(%error, "the trust bundle cannot be kept");
        }
    }

    /// Of what the replicas give, the youngest counts: each issues its own, and all are good.
    fn certify(&self, replica: SocketAddr, certificate: Certificate) {
        if let Err(message) = self.engine.certificates().set(certificate.chain.as_bytes(), certificate.key.as_bytes()) {
            return tracing::error!(message, "a certificate for the TLS door is refused; the old one is kept");
        }
        self.count("certificate");
        tracing::info!(digest = certificate.digest, "the TLS door has a certificate");
        self.state().given.entry(replica).or_default().certificate = Some(certificate.digest);
    }

    /// A higher serial of the lineage in service, or another lineage. One that was left is not gone back to while another replica
    /// still gives the one in service: then this one is late.
    fn is_newer(&self, replica: SocketAddr, lineage: &str, serial: u64) -> bool {
        let state = self.state();
        let serves = &state.serves;
        if serves.lineage == lineage {
            return serial > serves.serial;
        }
        let confirmed = state.given.iter().any(|(other, given)| *other != replica && given.lineage == serves.lineage);
        !(confirmed && state.left.iter().any(|left| left == lineage))
    }

    /// Of what the replicas give, the largest revision counts, and of these the youngest.
    fn hear(&self, replica: SocketAddr, keys: Keys, with_plan: bool) {
        let mut state = self.state();
        state.received += 1;
        let received = state.received;
        state.given.entry(replica).or_default().keys = Some((received, keys));
        let words = state.given.values().filter_map(|given| given.keys.as_ref());
        let Some((_, keys)) = words.max_by_key(|(received, keys)| (keys.revision, *received)).cloned() else { return };
        if state.keys.as_ref() == Some(&keys) {
            return;
        }
        self.count("keys");
        if let Some(Err(error)) = self.vault.as_ref().map(|vault| vault.keep(&keys)) {
            tracing::warn!(%error, "the keys cannot be kept");
        }
        let old = state.keys.replace(keys);
        if with_plan {
            // The old plan goes on with the old ones, until the new one is there.
            let mut both = old.unwrap_or_default().credentials;
            both.extend(state.keys.iter().flat_map(|keys| keys.credentials.clone()));
            self.engine.set_credentials(credentials(&both, &state.token));
        } else {
            self.install(&state);
        }
    }

    async fn take_plan(&self, line: &mut Line<'_>, version: Version, plan: Option<&RawValue>) {
        let id = version.plan.clone().unwrap_or_default();
        let fetched = match plan {
            Some(plan) => self.fetch(line, plan.get()).await,
            None => Ok(()),
        };
        self.serve_plan(line, version, id, plan, fetched).await;
        self.state().predictors.coming.remove(&line.replica);
    }

    async fn serve_plan(&self, line: &Line<'_>, version: Version, id: String, plan: Option<&RawValue>, fetched: Fetched) {
        let _one_at_a_time = self.taking.lock().await;
        if !self.is_newer(line.replica, &version.lineage, version.serial) {
            return;
        }
        if self.state().serves.plan == version.plan {
            return self.adopt(version, None);
        }
        if let Err((code, message, until)) = fetched {
            return self.refuse(Reject { plan: id, code: code.to_owned(), message }, until);
        }
        // Without the plan itself, the replica takes us for another.
        let Some(plan) = plan else { return };
        if self.engine.settings().sync_fault == SyncFault::AckUnswapped {
            return self.adopt(version, None);
        }
        let (engine, json, source) = (Arc::clone(&self.engine), plan.get().to_owned(), line.source.to_owned());
        let swapped = spawn_blocking(move || engine.swap(json.as_bytes(), &source)).await;
        match swapped {
            Ok(Ok(status)) => self.adopt(Version { plan: Some(status.plan), ..version }, Some(plan)),
            Ok(Err(problems)) => self.refuse(reject(id, &problems), None),
            Err(error) => self.refuse(Reject { plan: id, code: "internal".to_owned(), message: error.to_string() }, None),
        }
    }

    /// Fetches predictors that the plan names and that are not loaded.
    async fn fetch(&self, line: &mut Line<'_>, plan: &str) -> Fetched {
        let named = stock::predictors(plan);
        self.state().predictors.coming.insert(line.replica, named.clone());
        let missing = |message: String| ("missing_predictor", message, Some(Instant::now() + TRY_AGAIN));
        for wanted in self.engine.missing_predictors(named) {
            let onnx = match self.stock.predictor(&wanted) {
                Some(onnx) => onnx,
                None => self.download(line, &wanted).await.map_err(missing)?,
            };
            let engine = Arc::clone(&self.engine);
            let loaded = spawn_blocking(move || engine.add_predictor(&onnx)).await.map_err(|error| missing(error.to_string()))?;
            loaded.map_err(|error| (error.code.row().code, format!("predictor `{wanted}`: {}", error.message), None))?;
            self.state().predictors.digests.insert(wanted);
        }
        Ok(())
    }

    async fn download(&self, line: &mut Line<'_>, wanted: &str) -> Result<Vec<u8>, String> {
        let target = format!("{PREDICTORS}{wanted}");
        let answered = line.connection.ask(Method::GET, &target, line.token, Vec::new(), MAX_PREDICTOR_BYTES).await;
        let (status, onnx) = answered.map_err(|error| format!("predictor `{wanted}` cannot be fetched: {error}"))?;
        if status != StatusCode::OK {
            return Err(format!("predictor `{wanted}` cannot be fetched: status {}", status.as_u16()));
        }
        if digest::sha256(&onnx) != wanted {
            return Err(format!("what was given as predictor `{wanted}` is another"));
        }
        self.count("predictor");
        if let Err(error) = self.stock.keep_predictor(wanted, &onnx) {
            tracing::warn!(%error, wanted, "a predictor cannot be kept");
        }
        Ok(onnx.to_vec())
    }

    /// A version is in service, with its plan where that is another.
    fn adopt(&self, version: Version, plan: Option<&RawValue>) {
        let mut state = self.state();
        if state.serves.lineage != version.lineage && !state.serves.lineage.is_empty() {
            let left = std::mem::take(&mut state.serves.lineage);
            state.left.push(left);
            let surplus = state.left.len().saturating_sub(LEFT);
            state.left.drain(..surplus);
        }
        state.left.retain(|left| *left != version.lineage);
        state.reject = None;
        if self.engine.settings().sync_fault != SyncFault::NeverAck {
            state.says = version.clone();
        }
        state.serves = version.clone();
        let identity = state.identity.clone();
        let unused = plan.map(|plan| state.predictors.serve(stock::predictors(plan.get())));
        drop(state);
        self.engine.forget_predictors(&unused.unwrap_or_default());
        if let Some(plan) = plan {
            self.count("plan");
            self.keep_later(version, identity, plan.to_owned());
        }
    }

    /// Keeps a plan once it has served for a while.
    fn keep_later(&self, version: Version, identity: Option<Identity>, plan: Box<RawValue>) {
        let after = Duration::from_secs(self.engine.settings().plan_cache_after_s);
        let (stock, engine) = (Arc::clone(&self.stock), Arc::clone(&self.engine));
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let serves = engine.routing().is_ok_and(|routing| Some(&**routing.plan.id()) == version.plan.as_deref());
            if !serves {
                return;
            }
            let kept = Kept { lineage: version.lineage, serial: version.serial, identity, plan };
            if let Ok(Err(error)) = spawn_blocking(move || stock.keep(&kept)).await {
                tracing::warn!(%error, "the plan cannot be kept");
            }
        });
    }

    fn refuse(&self, reject: Reject, until: Option<Instant>) {
        tracing::error!(
            plan = reject.plan,
            code = reject.code,
            message = reject.message,
            "a controller's plan is refused; the old one is kept"
        );
        self.state().reject = Some(Refusal { reject, until });
    }

    /// Gives keys and credentials to the engine.
    fn install(&self, state: &State) {
        let none = std::collections::BTreeMap::new();
        let values = state.keys.as_ref().map_or(&none, |keys| &keys.credentials);
        self.engine.set_credentials(credentials(values, &state.token));
        match (&state.identity, &state.keys) {
            (Some(Identity { role: Role::Sidecar, namespace }), _) => self.engine.set_keys(keys::Keys::sidecar(namespace)),
            (_, Some(keys)) => self.engine.set_keys(keys::Keys::delivered(&keys.callers)),
            (_, None) => {}
        }
    }

    fn show(&self) {
        let state = self.state();
        self.status.serves(&state.serves.lineage, state.serves.serial, state.identity.as_ref());
        self.engine.metrics().plan_serial.set(i64::try_from(state.serves.serial).unwrap_or(i64::MAX));
    }

    fn count(&self, kind: &'static str) {
        self.engine.metrics().sync_updates.get_or_create(&UpdateLabels { kind }).inc();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn credentials(values: &std::collections::BTreeMap<String, String>, token: &str) -> Credentials {
    let own = (!token.is_empty()).then_some((POD, token));
    Credentials::delivered(values.iter().map(|(name, value)| (&**name, &**value)).chain(own))
}

/// The first error of a plan, with the number of the others.
fn reject(plan: String, problems: &[Problem]) -> Reject {
    let errors = || problems.iter().filter(|problem| problem.severity == Severity::Error);
    let Some(first) = errors().next() else { return Reject { plan, code: "internal".to_owned(), message: String::new() } };
    let mut message = match &*first.path {
        "" => first.message.clone(),
        path => format!("{path}: {}", first.message),
    };
    if message.len() > MESSAGE {
        message = excerpt(&message);
    }
    if let more @ 1.. = errors().count() - 1 {
        message += &format!(" (and {more} more)");
    }
    Reject { plan, code: first.code.to_owned(), message }
}
