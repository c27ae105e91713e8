//! Replicas of the controller: each address that a host name resolves to is polled by a task of its own, for as long as it is one.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use tokio::{
    net::lookup_host,
    sync::{Notify, Semaphore, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    super::protocol::{self, Account, IDENTIFY, Refused, SYNC, UNKNOWN_TOKEN},
    backoff::Backoff,
    callers::{Answer, Question},
    connection::{Connection, MAX_ANSWER, Origin},
    follower::{Follower, Line},
};
use crate::{
    metrics::PollLabels,
    server::until,
    upstream::{guard, hosts::look_up},
};

/// How often a host name is looked up.
const LOOK_UP: Duration = Duration::from_secs(5);
/// A poll that is not answered by then is parked: the replica knows us.
const PARKED: Duration = Duration::from_millis(250);
/// An empty answer sooner than this is not one that was parked.
const SOON: Duration = Duration::from_secs(1);
/// Bytes of an answer about a caller.
const MAX_ACCOUNT: usize = 64 << 10;
/// Questions about callers at once.
const QUESTIONS: usize = 16;
/// Connections kept for them.
const KEPT: usize = 4;

type Taken = Arc<Mutex<BTreeSet<SocketAddr>>>;

/// Polls every replica of every origin, and asks them about callers, until stopped.
pub async fn follow(
    origins: Vec<Origin>,
    follower: Arc<Follower>,
    questions: mpsc::Receiver<Question>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    let taken = Taken::default();
    for origin in origins {
        tasks.spawn(replicas(Arc::new(origin), Arc::clone(&follower), Arc::clone(&taken)));
    }
    tasks.spawn(spare_api_server(Arc::clone(&follower)));
    tasks.spawn(answer(follower, questions));
    until(&mut stopped).await;
    tasks.shutdown().await;
}

/// Looks the API server up, again and again, where it has a name: no upstream may be there.
async fn spare_api_server(follower: Arc<Follower>) {
    let engine = follower.engine();
    let host = &*engine.settings().api_server;
    if host.is_empty() || host.parse::<IpAddr>().is_ok() {
        return;
    }
    loop {
        // One that cannot be looked up may still be where it was.
        if let Ok(found) = look_up(&engine.settings().hosts, host, 0).await {
            engine.spare(guard::API_SERVER, host, found.iter().map(SocketAddr::ip));
        }
        sleep(LOOK_UP).await;
    }
}

/// Keeps a task for each address of an origin. Two names for one address share it.
async fn replicas(origin: Arc<Origin>, follower: Arc<Follower>, taken: Taken) {
    let mut tasks = JoinSet::new();
    let mut wanted: BTreeMap<SocketAddr, Arc<AtomicBool>> = BTreeMap::new();
    let (lost, mut backoff) = (Arc::new(Notify::new()), Backoff::default());
    loop {
        while let Some(ended) = tasks.try_join_next() {
            if let Ok(address) = ended {
                wanted.remove(&address);
                lock(&taken).remove(&address);
            }
        }
        match lookup_host((&*origin.host, origin.port)).await {
            Ok(found) => {
                let found: BTreeSet<SocketAddr> = found.collect();
                follower.engine().spare(guard::CONTROLLER, &origin.host, found.iter().map(SocketAddr::ip));
                wanted.iter().for_each(|(address, wanted)| wanted.store(found.contains(address), Ordering::Relaxed));
                for address in found {
                    if !wanted.contains_key(&address) && lock(&taken).insert(address) {
                        let still = Arc::new(AtomicBool::new(true));
                        wanted.insert(address, Arc::clone(&still));
                        let (origin, follower, lost) = (Arc::clone(&origin), Arc::clone(&follower), Arc::clone(&lost));
                        tasks.spawn(Replica { origin, address, wanted: still, follower, lost }.run());
                    }
                }
                follower.status().gone(&origin, None);
                backoff.reset();
                tokio::select! {
                    () = sleep(LOOK_UP) => {}
                    () = lost.notified() => {}
                }
            }
            // Those that are known may still be there.
            Err(error) => {
                follower.status().replica(&origin, None, Some(error.to_string()));
                sleep(backoff.next()).await;
            }
        }
    }
}

struct Replica {
    origin: Arc<Origin>,
    address: SocketAddr,
    /// Whether the host name still resolves to it.
    wanted: Arc<AtomicBool>,
    follower: Arc<Follower>,
    /// Told when a connection is lost: the replica may have another address by now.
    lost: Arc<Notify>,
}

impl Replica {
    async fn run(self) -> SocketAddr {
        let mut backoff = Backoff::default();
        loop {
            let Err(error) = self.session(&mut backoff).await;
            self.follower.forget(self.address);
            if self.follower.status().is_connected(&self.origin, self.address) {
                self.lost.notify_one();
            }
            if !self.wanted.load(Ordering::Relaxed) {
                self.connected(self.follower.status().gone(&self.origin, Some(self.address)));
                return self.address;
            }
            tracing::debug!(replica = %self.address, %error, "a controller does not answer");
            self.tell(Some(error.to_string()));
            sleep(backoff.next()).await;
        }
    }

    /// Polls over one connection until it breaks, or the replica refuses us.
    async fn session(&self, backoff: &mut Backoff) -> io::Result<std::convert::Infallible> {
        let mut connection = Connection::open(&self.origin, self.address, self.follower.roots()).await?;
        loop {
            let token = self.follower.token()?;
            let poll = self.follower.report(self.address);
            let begun = Instant::now();
            let asked = serde_json::to_vec(&poll).map_err(io::Error::other)?;
            let (status, answer) = self.poll(&mut connection, &token, asked).await?;
            match status {
                StatusCode::OK => {
                    self.count("update");
                    let line = Line { replica: self.address, source: &self.origin.url, connection: &mut connection, token: &token };
                    self.follower.take(line, &answer).await.map_err(io::Error::other)?;
                }
                StatusCode::NO_CONTENT => self.count("unchanged"),
                _ => {
                    self.count("refused");
                    return Err(io::Error::other(refusal(status, &answer)));
                }
            }
            self.tell(None);
            let moved = serde_json::to_vec(&self.follower.report(self.address)).ok() != serde_json::to_vec(&poll).ok();
            if moved || begun.elapsed() > SOON {
                backoff.reset();
            } else {
                // The answer changed nothing, and so would the next one.
                sleep(backoff.next()).await;
            }
        }
    }

    async fn poll(&self, connection: &mut Connection, token: &str, asked: Vec<u8>) -> io::Result<(StatusCode, bytes::Bytes)> {
        let mut answering = std::pin::pin!(connection.ask(Method::POST, SYNC, token, asked, MAX_ANSWER));
        let answered = match timeout(PARKED, &mut answering).await {
            Ok(answered) => answered,
            Err(_) => {
                self.tell(None);
                answering.await
            }
        };
        answered.inspect_err(|_| self.count("failed"))
    }

    fn tell(&self, error: Option<String>) {
        self.connected(self.follower.status().replica(&self.origin, Some(self.address), error));
    }

    fn connected(&self, count: usize) {
        self.follower.engine().metrics().controllers_connected.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn count(&self, result: &'static str) {
        self.follower.engine().metrics().sync_polls.get_or_create(&PollLabels { result }).inc();
    }
}

fn refusal(status: StatusCode, answer: &[u8]) -> String {
    let said = serde_json::from_slice::<Refused>(answer).map(|refused| format!("{}: {}", refused.error.code, refused.error.message));
    format!("refused with status {}: {}", status.as_u16(), said.unwrap_or_default())
}

/// Asks about callers, several at once.
async fn answer(follower: Arc<Follower>, mut questions: mpsc::Receiver<Question>) {
    let places = Arc::new(Semaphore::new(QUESTIONS));
    let kept = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    while let Some(question) = questions.recv().await {
        while tasks.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (follower, kept) = (Arc::clone(&follower), Arc::clone(&kept));
        tasks.spawn(async move {
            let _place = place;
            let answer = ask_any(&follower, &kept, &question.token).await;
            // Whoever asked may have left.
            let _ = question.answer.send(answer);
        });
    }
}

type KeptConnections = Mutex<Vec<(SocketAddr, Connection)>>;

/// Asks one replica after the other, until one knows.
async fn ask_any(follower: &Follower, kept: &KeptConnections, token: &str) -> Answer {
    let mut last = Err(StatusCode::SERVICE_UNAVAILABLE);
    let Ok(own) = follower.token() else { return last };
    for (origin, address) in follower.status().connected() {
        let idle = {
            let mut kept = lock(kept);
            kept.iter().position(|(of, _)| *of == address).map(|index| kept.swap_remove(index).1)
        };
        let mut found = match idle {
            Some(connection) => ask(connection, &own, token).await,
            None => None,
        };
        if found.is_none()
            && let Ok(connection) = Connection::open(&origin, address, follower.roots()).await
        {
            found = ask(connection, &own, token).await;
        }
        let Some((answer, connection)) = found else { continue };
        let mut kept = lock(kept);
        if kept.len() < KEPT {
            kept.push((address, connection));
        }
        last = answer;
        if last.is_ok() {
            break;
        }
    }
    last
}

async fn ask(mut connection: Connection, own: &str, token: &str) -> Option<(Answer, Connection)> {
    let body = serde_json::to_vec(&protocol::Question { token: token.to_owned() }).ok()?;
    let (status, answer) = connection.ask(Method::POST, IDENTIFY, own, body, MAX_ACCOUNT).await.ok()?;
    let nobody = || serde_json::from_slice::<Refused>(&answer).is_ok_and(|refused| refused.error.code == UNKNOWN_TOKEN);
    let answer = match status {
        StatusCode::OK => serde_json::from_slice::<Account>(&answer).map(Some).map_err(|_| status),
        StatusCode::UNAUTHORIZED if nobody() => Ok(None),
        _ => Err(status),
    };
    Some((answer, connection))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
