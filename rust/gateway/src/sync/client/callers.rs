//! Callers that show the token of a ServiceAccount: a controller says who they are, and it is remembered for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, StatusCode};
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
use crate::keys::{Caller, presented};

/// How long a caller is remembered.
const GOOD_FOR: Duration = Duration::from_secs(300);
/// How long a bad token is.
const BAD_FOR: Duration = Duration::from_secs(10);
/// Tokens remembered at once.
const MOST: usize = 20_000;
/// Bytes of a token.
const LONGEST: usize = 16 << 10;
/// Questions that may wait.
const QUEUE: usize = 256;
/// For an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a controller answers: who it is, `None` where the token is nobody's, or the status of a refusal.
pub type Answer = Result<Option<Account>, StatusCode>;

/// A token, and where the answer goes.
pub struct Question {
    pub token: String,
    pub answer: oneshot::Sender<Answer>,
}

type Known = (Instant, Option<Arc<Caller>>);

/// Callers that controllers know.
pub struct Callers {
    status: Arc<Status>,
    questions: mpsc::Sender<Question>,
    known: Mutex<HashMap<[u8; 32], Known>>,
}

impl Callers {
    pub(super) fn new(status: Arc<Status>) -> (Self, mpsc::Receiver<Question>) {
        let (questions, asked) = mpsc::channel(QUEUE);
        (Self { status, questions, known: Mutex::default() }, asked)
    }

    /// The caller of a request whose key is not known; `unknown` where what it shows is no such token.
    ///
    /// # Errors
    /// `unknown`, `unauthorized`, or `identity_unavailable`.
    pub async fn caller(&self, headers: &HeaderMap, unknown: Error) -> Result<Arc<Caller>, Error> {
        let token = presented(headers).and_then(|key| std::str::from_utf8(key).ok()).filter(|token| is_token(token));
        let gateway = self.status.identity().is_some_and(|identity| identity.role == Role::Gateway);
        let Some(token) = token.filter(|_| gateway) else { return Err(unknown) };
        let hash: [u8; 32] = Sha256::digest(token).into();
        let found = match self.remembered(&hash) {
            Some(found) => found,
            None => self.ask(token, hash).await?,
        };
        found.ok_or_else(|| Error::new(Code::Unauthorized, "", "this token is not accepted"))
    }

    fn remembered(&self, hash: &[u8; 32]) -> Option<Option<Arc<Caller>>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|(until, _)| *until > Instant::now()).map(|(_, caller)| caller.clone())
    }

    async fn ask(&self, token: &str, hash: [u8; 32]) -> Result<Option<Arc<Caller>>, Error> {
        let unavailable = || Error::new(Code::IdentityUnavailable, "", "no controller can say now who holds this token").after(1000);
        let (answer, answered) = oneshot::channel();
        self.questions.try_send(Question { token: token.to_owned(), answer }).map_err(|_| unavailable())?;
        let answer = timeout(PATIENCE, answered).await.map_err(|_| unavailable())?.map_err(|_| unavailable())?;
        let caller = answer.map_err(|_| unavailable())?.map(|account| Arc::new(caller(&account)));
        let until = Instant::now() + if caller.is_some() { GOOD_FOR } else { BAD_FOR };
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

fn caller(account: &Account) -> Caller {
    let name = format!("system:serviceaccount:{}:{}", account.namespace, account.service_account);
    Caller { identity: Identity { tenant: account.namespace.clone(), ..Identity::default() }, name }
}

/// Three parts with dots between them, as a JWT has.
fn is_token(text: &str) -> bool {
    text.len() <= LONGEST && text.bytes().filter(|&byte| byte == b'.').count() == 2 && !text.contains(char::is_whitespace)
}
