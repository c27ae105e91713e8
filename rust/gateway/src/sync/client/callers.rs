//! Callers that show the token of a ServiceAccount: a controller says who they are, and it is remembered for a while.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tradewind_core::{Code, Error, Identity};

use super::{
    super::protocol::{Account, Role},
    status::Status,
};
use crate::keys::{Caller, Peer, presented};

/// How long a caller is remembered.
const GOOD_FOR: Duration = Duration::from_secs(300);
/// How long a bad token is.
const BAD_FOR: Duration = Duration::from_secs(10);
/// Tokens that nobody is known to hold yet, from one address in one window: those beyond are not asked about.
const PATIENCE_WITH_ONE: u32 = 32;
/// The window in which they are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Tokens, and addresses, remembered at once.
const MOST: usize = 20_000;
/// Bytes of a token.
const LONGEST: usize = 16 << 10;
/// Questions that may wait.
const QUEUE: usize = 256;
/// Seconds that clocks may differ.
const LEEWAY_S: u64 = 60;
/// For an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a controller answers: who it is, `None` where the token is nobody's, or the status of a refusal.
pub type Answer = Result<Option<Account>, StatusCode>;

/// A token, and where the answer goes.
pub struct Question {
    pub token: String,
    pub answer: oneshot::Sender<Answer>,
}

/// A caller and when to ask again, by the hash of its token.
type Known = (Instant, Option<Arc<Caller>>);

/// Questions about tokens that were not known to be good, by the address they came from, since when.
type Doubts = HashMap<Option<IpAddr>, (Instant, u32)>;

/// Callers that controllers know.
pub struct Callers {
    status: Arc<Status>,
    questions: mpsc::Sender<Question>,
    known: Mutex<HashMap<[u8; 32], Known>>,
    doubts: Mutex<Doubts>,
}

impl Callers {
    pub(super) fn new(status: Arc<Status>) -> (Self, mpsc::Receiver<Question>) {
        let (questions, asked) = mpsc::channel(QUEUE);
        (Self { status, questions, known: Mutex::default(), doubts: Mutex::default() }, asked)
    }

    /// The caller of a request whose key is not known; `unknown` where what it shows is no such token.
    ///
    /// # Errors
    /// `unknown`, `unauthorized`, or `identity_unavailable`.
    pub async fn caller(&self, headers: &HeaderMap, peer: Peer, unknown: Error) -> Result<Arc<Caller>, Error> {
        let token = presented(headers).and_then(|key| std::str::from_utf8(key).ok()).filter(|token| is_token(token, now_s()));
        let gateway = self.status.identity().is_some_and(|identity| identity.role == Role::Gateway);
        let Some(token) = token.filter(|_| gateway) else { return Err(unknown) };
        let hash: [u8; 32] = Sha256::digest(token).into();
        let found = match self.remembered(&hash) {
            Some(found) => found,
            None => {
                self.doubt(peer)?;
                let found = self.ask(token, hash).await?;
                if found.is_some() {
                    self.trust(peer);
                }
                found
            }
        };
        found.ok_or_else(|| Error::new(Code::Unauthorized, "", "this token is not accepted"))
    }

    fn remembered(&self, hash: &[u8; 32]) -> Option<Option<Arc<Caller>>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|(until, _)| *until > Instant::now()).map(|(_, caller)| caller.clone())
    }

    /// Counts a question before it is asked, so that a burst from one address does not take every place either.
    fn doubt(&self, peer: Peer) -> Result<(), Error> {
        let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        if doubts.len() >= MOST {
            doubts.retain(|_, (since, _)| since.elapsed() < WINDOW);
        }
        if doubts.len() >= MOST {
            doubts.clear();
        }
        let (since, count) = doubts.entry(peer.address.map(|address| address.to_canonical())).or_insert_with(|| (Instant::now(), 0));
        if since.elapsed() >= WINDOW {
            (*since, *count) = (Instant::now(), 0);
        }
        if *count >= PATIENCE_WITH_ONE {
            let message = "too many tokens that nobody holds came from this address; others are not asked about for a while";
            return Err(Error::new(Code::IdentityUnavailable, "", message).after(10_000));
        }
        *count += 1;
        Ok(())
    }

    /// The question was about a good token.
    fn trust(&self, peer: Peer) {
        let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = doubts.get_mut(&peer.address.map(|address| address.to_canonical())) {
            *count = count.saturating_sub(1);
        }
    }

    async fn ask(&self, token: &str, hash: [u8; 32]) -> Result<Option<Arc<Caller>>, Error> {
        let unavailable = || Error::new(Code::IdentityUnavailable, "", "no controller can say now who holds this token").after(1000);
        let (answer, answered) = oneshot::channel();
        self.questions.try_send(Question { token: token.to_owned(), answer }).map_err(|_| unavailable())?;
        let answer = timeout(PATIENCE, answered).await.map_err(|_| unavailable())?.map_err(|_| unavailable())?;
        let account = answer.map_err(|_| unavailable())?;
        let until = Instant::now() + account.as_ref().map_or(BAD_FOR, good_for);
        let caller = account.map(|account| Arc::new(caller(&account)));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            let now = Instant::now();
            known.retain(|_, (until, caller)| *until > now && caller.is_some());
        }
        if known.len() < MOST {
            known.insert(hash, (until, caller.clone()));
        }
        Ok(caller)
    }
}

/// No longer than the controller that has remembered it already.
fn good_for(account: &Account) -> Duration {
    let said = account.expires_s.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    said.unwrap_or(GOOD_FOR).min(GOOD_FOR)
}

fn caller(account: &Account) -> Caller {
    let name = format!("system:serviceaccount:{}:{}", account.namespace, account.service_account);
    Caller { identity: Identity { tenant: account.namespace.clone(), ..Identity::default() }, name }
}

/// Whether a text may be a token of a ServiceAccount that has not expired: a JWT, whose signature is for the API server to check. What
/// is none is not asked about.
fn is_token(text: &str, now_s: u64) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let [header, claims, signature] = parts[..] else { return false };
    let signed = !signature.is_empty() && signature.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    text.len() <= LONGEST
        && signed
        && part::<Header>(header).is_some()
        && part::<Claims>(claims).is_some_and(|claims| claims.exp.is_none_or(|exp| exp.saturating_add(LEEWAY_S) > now_s))
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn part<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&BASE64.decode(part).ok()?).ok()
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "alg")]
    _alg: String,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "iss")]
    _iss: String,
    /// Seconds since 1970; tokens of old clusters have none.
    exp: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_a_token_is_asked_about() {
        let token = |header: &str, claims: &str| format!("{}.{}.c2ln", BASE64.encode(header), BASE64.encode(claims));
        let good = r#"{"alg":"RS256"}"#;
        for claims in [r#"{"iss":"k","exp":1000}"#, r#"{"iss":"k"}"#, r#"{"iss":"k","exp":981,"aud":["tradewind"]}"#] {
            assert!(is_token(&token(good, claims), 1000), "{claims}");
        }
        for text in [
            "a.b.c".to_owned(),
            "..".to_owned(),
            token(good, r#"{"iss":"k","exp":900}"#),
            token(good, r#"{"exp":2000}"#),
            token("{}", r#"{"iss":"k","exp":2000}"#),
            token(good, "7"),
            token(good, r#"{"iss":"k","exp":2000}"#) + ".x",
            token(good, r#"{"iss":"k","exp":2000}"#) + " ",
            token(good, &format!(r#"{{"iss":"{}"}}"#, "k".repeat(LONGEST))),
        ] {
            assert!(!is_token(&text, 1000), "{text}");
        }
    }

    #[test]
    fn a_caller_is_remembered_no_longer_than_the_controller_says() {
        let account = |expires_s| Account { namespace: "a".to_owned(), service_account: "b".to_owned(), expires_s };
        for (said, expected) in [(Some(7.5), 7.5), (Some(1e9), 300.0), (None, 300.0), (Some(-1.0), 300.0), (Some(0.0), 0.0)] {
            assert_eq!(good_for(&account(said)), Duration::from_secs_f64(expected), "{said:?}");
        }
    }
}
