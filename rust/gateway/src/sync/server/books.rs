//! What is published and who has what. One lock, held for moments; who waits is woken after it is given back.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{Notify, watch};

use super::{
    super::protocol::{Poll, Reject, Role},
    bell::Bell,
    identity::Holder,
    keyring::{Blob, KeyRing},
    publication::{Publication, Rendering},
};

/// The same answer is not given twice to one data plane within this time: one that does not take it would ask in a loop.
const AGAIN: Duration = Duration::from_secs(1);
/// The same for a data plane that claims a serial which it was never given: it may not take the answer at all.
const CLAIMED_AGAIN: Duration = Duration::from_secs(5);
/// A session that changes nothing but the serial it claims rings no sooner than this after it rang.
const CALM: Duration = Duration::from_millis(20);

/// What is published and who has what.
pub struct Books {
    state: Mutex<State>,
    /// Counts changes that concern everybody.
    news: watch::Sender<u64>,
    bell: Bell,
    silence: Duration,
}

#[derive(Default)]
struct State {
    published: Option<Arc<Publication>>,
    /// By pod uid.
    offers: HashMap<String, Arc<Publication>>,
    keys: Option<Arc<KeyRing>>,
    trust: Option<Blob>,
    /// For gateways only.
    certificate: Option<Blob>,
    predictors: HashMap<String, Bytes>,
    /// By pod uid.
    sessions: BTreeMap<String, Session>,
    polls: u64,
}

struct Session {
    holder: Arc<Holder>,
    role: Role,
    report: Poll,
    /// When it polled last.
    polled: Instant,
    /// Its latest poll; an older one gives way.
    poll: u64,
    /// Whether that poll waits for its answer.
    parked: bool,
    wake: Arc<Notify>,
    expected: Option<Expected>,
    lacks: Vec<&'static str>,
    sent: Option<(String, Instant)>,
    /// What it was given last, as lineage and serial, and before that.
    given: [Option<(String, u64)>; 2],
    /// When a change of the serial alone rings again.
    calm: Instant,
}

/// What a data plane is to have.
#[derive(Clone, PartialEq, Eq, Serialize)]
struct Expected {
    lineage: String,
    serial: u64,
    plan: String,
}

/// A session, as the controller reads it.
#[derive(Serialize)]
struct Line<'a> {
    pod: &'a str,
    pod_uid: &'a str,
    namespace: &'a str,
    node: &'a str,
    service_account: &'a str,
    role: Role,
    version: &'a str,
    schema: u32,
    lineage: &'a str,
    serial: u64,
    plan: Option<&'a str>,
    keys: Option<&'a str>,
    trust: Option<&'a str>,
    reject: Option<&'a Reject>,
    expected: Option<&'a Expected>,
    lacks: &'a [&'static str],
    parked: bool,
    silent_s: f64,
}

/// A poll that is being answered. Dropped, it is parked no more.
pub struct Ticket<'a> {
    books: &'a Books,
    pod_uid: String,
    poll: u64,
    wake: Arc<Notify>,
    answered: AtomicBool,
}

impl Ticket<'_> {
    /// Something concerns this poll alone: an offer, or a newer poll.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The data plane is told something, and will poll again.
    pub fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut latest = false;
        self.books.with(self, |session| {
            session.parked = false;
            latest = true;
        });
        if latest && !self.answered.load(Ordering::Relaxed) {
            // It has hung up.
            self.books.bell.ring();
        }
    }
}

/// What a data plane is to have, as of now.
pub struct Wanted {
    /// Its plan.
    pub publication: Option<Arc<Publication>>,
    /// Its keys.
    pub keys: Option<Blob>,
    /// Certificates to trust.
    pub trust: Option<Blob>,
    /// The certificate of its TLS door.
    pub certificate: Option<Blob>,
    /// The plans that it was given last, by lineage and serial.
    pub given: [Option<(String, u64)>; 2],
}

/// An answer that is about to be sent.
pub struct Sent<'a> {
    /// Of the question and its answer.
    pub fingerprint: String,
    /// Lineage and serial of the plan in it.
    pub plan: Option<(&'a str, u64)>,
    /// Whether it answers a serial that the data plane was never given.
    pub claimed: bool,
}

impl Books {
    pub fn new(bell: Bell, silence: Duration) -> Self {
        Self { state: Mutex::default(), news: watch::Sender::new(0), bell, silence }
    }

    /// Tells of changes that concern everybody.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    pub fn publish(&self, publication: Arc<Publication>) {
        let mut state = self.lock();
        let outdated = |offer: &Publication| offer.lineage == publication.lineage && offer.serial <= publication.serial;
        state.offers.retain(|_, offer| !outdated(offer));
        let old = state.published.replace(publication);
        self.tell_all(state);
        // A large plan takes its time to be freed.
        drop(old);
    }

    /// What kind of data plane a pod is, where it has a session: its plan schema, its role and who it is.
    pub fn kind(&self, pod_uid: &str) -> Option<(u32, Role, Arc<Holder>)> {
        self.lock().sessions.get(pod_uid).map(|session| (session.report.schema, session.role, Arc::clone(&session.holder)))
    }

    /// Where there is no such session, the offer waits for it. Where there is one, it is expected to have the offer from now on.
    pub fn offer(&self, pod_uid: &str, publication: Arc<Publication>, rendering: Option<&Rendering>) {
        let mut state = self.lock();
        let wake = state.sessions.get_mut(pod_uid).map(|session| {
            if let Some(rendering) = rendering {
                session.expect(&publication, rendering);
            }
            Arc::clone(&session.wake)
        });
        state.offers.insert(pod_uid.to_owned(), publication);
        drop(state);
        if let Some(wake) = wake {
            wake.notify_one();
        }
    }

    pub fn withdraw(&self) {
        self.lock().offers.clear();
    }

    pub fn set_keys(&self, keys: Arc<KeyRing>) {
        let mut state = self.lock();
        state.keys = Some(keys);
        self.tell_all(state);
    }

    pub fn set_trust(&self, trust: Blob) {
        let mut state = self.lock();
        state.trust = Some(trust);
        self.tell_all(state);
    }

    pub fn set_certificate(&self, certificate: Blob) {
        let mut state = self.lock();
        state.certificate = Some(certificate);
        self.tell_all(state);
    }

    pub fn add_predictor(&self, digest: String, onnx: Bytes) {
        self.lock().predictors.insert(digest, onnx);
    }

    /// Forgets predictors that are neither among these nor named by what is published or offered.
    pub fn keep_predictors(&self, digests: &HashSet<&str>) {
        let mut state = self.lock();
        let State { published, offers, predictors, .. } = &mut *state;
        let plans: Vec<&Publication> = published.iter().chain(offers.values()).map(|plan| &**plan).collect();
        let dropped = predictors
            .extract_if(|digest, _| !digests.contains(&**digest) && !plans.iter().any(|plan| plan.predictors().contains(&**digest)));
        let dropped: Vec<_> = dropped.collect();
        drop(state);
        // Large ones take their time to be freed.
        drop(dropped);
    }

    pub fn predictor(&self, digest: &str) -> Option<Bytes> {
        self.lock().predictors.get(digest).cloned()
    }

    /// Opens or goes on with the session of a pod; an older poll of it gives way.
    pub fn arrive(&self, holder: &Arc<Holder>, role: Role, report: Poll) -> Ticket<'_> {
        let mut state = self.lock();
        state.polls += 1;
        let poll = state.polls;
        let wake = Arc::new(Notify::new());
        let before = state.sessions.remove(&holder.pod_uid);
        let changed = before.as_ref().is_none_or(|before| before.role != role || differs(&before.report, &report));
        let climbed = before.as_ref().is_some_and(|before| before.report.serial != report.serial);
        let (expected, lacks, sent, given, mut calm, older) = match before {
            Some(before) => (before.expected, before.lacks, before.sent, before.given, before.calm, Some(before.wake)),
            None => (None, Vec::new(), None, [None, None], Instant::now(), None),
        };
        let told = if changed { Some(Instant::now()) } else { climbed.then(|| calm.max(Instant::now())) };
        calm = told.map_or(calm, |told| told + CALM);
        let holder = Arc::clone(holder);
        let ticket =
            Ticket { books: self, pod_uid: holder.pod_uid.clone(), poll, wake: Arc::clone(&wake), answered: AtomicBool::new(false) };
        let session =
            Session { holder, role, report, polled: Instant::now(), poll, parked: true, wake, expected, lacks, sent, given, calm };
        state.sessions.insert(ticket.pod_uid.clone(), session);
        drop(state);
        if let Some(older) = older {
            older.notify_one();
        }
        if let Some(told) = told {
            self.bell.ring_at(told);
        }
        ticket
    }

    /// What the data plane is to have now; `None` where a newer poll has come.
    pub fn wanted(&self, ticket: &Ticket<'_>) -> Option<Wanted> {
        let state = self.lock();
        let session = state.sessions.get(&ticket.pod_uid).filter(|session| session.poll == ticket.poll)?;
        Some(Wanted {
            publication: state.plan_for(&ticket.pod_uid),
            keys: state.keys.as_ref().map(|keys| keys.part(session.role, &session.holder.namespace).clone()),
            trust: state.trust.clone(),
            certificate: state.certificate.clone().filter(|_| session.role == Role::Gateway),
            given: session.given.clone(),
        })
    }

    /// Notes what a data plane is to have, unless that is another plan by now. One that has another plan of the same serial is told of:
    /// nothing else will change.
    pub fn expect(&self, ticket: &Ticket<'_>, publication: &Arc<Publication>, rendering: &Rendering) {
        let mut state = self.lock();
        let latest = state.plan_for(&ticket.pod_uid).is_some_and(|latest| Arc::ptr_eq(&latest, publication));
        let session = state.sessions.get_mut(&ticket.pod_uid).filter(|session| latest && session.poll == ticket.poll);
        let strays = session.is_some_and(|session| session.expect(publication, rendering) && session.strays());
        drop(state);
        if strays {
            self.bell.ring();
        }
    }

    /// Notes that an answer is sent, or says when it may be sent again.
    ///
    /// # Errors
    /// When it may be sent.
    pub fn send(&self, ticket: &Ticket<'_>, answer: Sent<'_>) -> Result<(), Instant> {
        let again = if answer.claimed { CLAIMED_AGAIN } else { AGAIN };
        let mut result = Ok(());
        self.with(ticket, |session| match &session.sent {
            Some((sent, at)) if *sent == answer.fingerprint && at.elapsed() < again => result = Err(*at + again),
            _ => {
                session.sent = Some((answer.fingerprint, Instant::now()));
                let plan = answer.plan.map(|(lineage, serial)| (lineage.to_owned(), serial));
                if plan.is_some() && session.given[0] != plan {
                    session.given.swap(0, 1);
                    session.given[0] = plan;
                }
            }
        });
        result
    }

    /// Drops sessions that have fallen silent.
    pub fn sweep(&self) {
        let mut state = self.lock();
        let before = state.sessions.len();
        state.sessions.retain(|_, session| session.polled.elapsed() < self.silence);
        let fell_silent = state.sessions.len() < before;
        drop(state);
        if fell_silent {
            self.bell.ring();
        }
    }

    /// How long a data plane may be silent.
    pub fn silence(&self) -> Duration {
        self.silence
    }

    /// Every session as JSON.
    pub fn sessions(&self) -> Vec<u8> {
        self.bell.arm();
        let state = self.lock();
        let lines: Vec<Line<'_>> = state.sessions.values().map(Session::line).collect();
        serde_json::to_vec(&lines).unwrap_or_default()
    }

    pub fn silence_bell(&self) {
        self.bell.silence();
    }

    fn with(&self, ticket: &Ticket<'_>, change: impl FnOnce(&mut Session)) {
        let mut state = self.lock();
        if let Some(session) = state.sessions.get_mut(&ticket.pod_uid).filter(|session| session.poll == ticket.poll) {
            change(session);
        }
    }

    fn tell_all(&self, state: MutexGuard<'_, State>) {
        drop(state);
        self.news.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn plan_for(&self, pod_uid: &str) -> Option<Arc<Publication>> {
        self.offers.get(pod_uid).or(self.published.as_ref()).cloned()
    }
}

impl Session {
    /// Notes what it is to have; gives whether that is news.
    fn expect(&mut self, publication: &Publication, rendering: &Rendering) -> bool {
        let (lineage, serial) = (publication.lineage.clone(), publication.serial);
        let expected = Some(Expected { lineage, serial, plan: rendering.id.clone() });
        self.lacks.clone_from(&rendering.lacks);
        let news = self.expected != expected;
        self.expected = expected;
        news
    }

    /// Whether it has another plan of the serial that it is to have.
    fn strays(&self) -> bool {
        let report = &self.report;
        self.expected.as_ref().is_some_and(|expected| {
            (&report.lineage, report.serial) == (&expected.lineage, expected.serial) && report.have.plan.as_deref() != Some(&*expected.plan)
        })
    }

    fn line(&self) -> Line<'_> {
        let report = &self.report;
        Line {
            pod: &self.holder.pod,
            pod_uid: &self.holder.pod_uid,
            namespace: &self.holder.namespace,
            node: &self.holder.node,
            service_account: &self.holder.service_account,
            role: self.role,
            version: &report.version,
            schema: report.schema,
            lineage: &report.lineage,
            serial: report.serial,
            plan: report.have.plan.as_deref(),
            keys: report.have.keys.as_deref(),
            trust: report.have.trust.as_deref(),
            reject: report.reject.as_ref(),
            expected: self.expected.as_ref(),
            lacks: &self.lacks,
            parked: self.parked,
            silent_s: self.polled.elapsed().as_secs_f64(),
        }
    }
}

/// Whether more than the serial is another.
fn differs(before: &Poll, now: &Poll) -> bool {
    before.schema != now.schema
        || before.lineage != now.lineage
        || before.have != now.have
        || before.reject != now.reject
        || before.version != now.version
}
