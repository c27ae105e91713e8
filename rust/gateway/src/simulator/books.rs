//! What a simulator served: totals per model, and a log of one line per answer that survives a kill.
//!
//! A complete answer is booked just before the bytes that carry its usage are handed to the connection: whatever usage a caller
//! has ever read is in the log. An answer that is broken off is booked when it ends, as incomplete and free of charge.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tradewind_core::money::NanoUsd;

use super::{
    answer::Usage,
    settings::{Error, Model},
};

/// What was served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Served {
    /// Chat calls that came in.
    pub requests: u64,
    /// Of these, still in flight.
    pub in_flight: u64,
    /// Complete answers.
    pub answers: u64,
    /// Billed prompt tokens.
    pub prompt_tokens: u64,
    /// Of these, cached.
    pub cached_tokens: u64,
    /// Billed answer tokens.
    pub completion_tokens: u64,
    /// Billed nano-dollars.
    pub cost_nanousd: i64,
    /// The same in USD, for people.
    pub cost_usd: f64,
}

/// What was served in all and by model.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// In all.
    #[serde(flatten)]
    pub all: Served,
    /// By model.
    pub models: BTreeMap<String, Served>,
}

impl Served {
    fn add(&mut self, other: &Served) {
        self.requests += other.requests;
        self.in_flight += other.in_flight;
        self.answers += other.answers;
        self.prompt_tokens += other.prompt_tokens;
        self.cached_tokens += other.cached_tokens;
        self.completion_tokens += other.completion_tokens;
        self.bill(NanoUsd(other.cost_nanousd));
    }

    fn bill(&mut self, cost: NanoUsd) {
        self.cost_nanousd += cost.0;
        self.cost_usd = NanoUsd(self.cost_nanousd).usd();
    }
}

/// The account of each model, and the log.
pub struct Books {
    accounts: Vec<Account>,
    log: Option<Mutex<File>>,
}

struct Account {
    model: Model,
    served: Mutex<Served>,
}

impl Account {
    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line of the log.
#[derive(Serialize)]
struct Line<'a> {
    time_unix_ns: u64,
    id: &'a str,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    stream: bool,
    /// 0 if no status was sent.
    status: u16,
    prompt_tokens: u64,
    cached_tokens: u64,
    completion_tokens: u64,
    cost_nanousd: i64,
    /// Data events of a stream, without `[DONE]`.
    chunks: usize,
    /// Whether these tokens are on their way to the caller as the answer's usage.
    usage_reported: bool,
    complete: bool,
}

impl Books {
    pub fn open(models: Vec<Model>, log: Option<&Path>) -> Result<Self, Error> {
        let open = |path: &Path| File::options().create(true).append(true).open(path).map_err(Error::io(path.display().to_string()));
        let accounts = models.into_iter().map(|model| Account { model, served: Mutex::default() }).collect();
        Ok(Self { accounts, log: log.map(open).transpose()?.map(Mutex::new) })
    }

    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.accounts.iter().map(|account| &account.model)
    }

    /// Where a model stands among the accounts.
    pub fn find(&self, model: &str) -> Option<usize> {
        self.accounts.iter().position(|account| account.model.name == model)
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for account in &self.accounts {
            let served = *account.served();
            totals.all.add(&served);
            totals.models.insert(account.model.name.clone(), served);
        }
        totals
    }

    fn write(&self, line: &Line<'_>) -> std::io::Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        // One write to an unbuffered file: the kernel has the whole line before the answer goes out.
        log.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes)
    }
}

/// A call being answered. Booked once: by [`Entry::complete`], by [`Entry::refuse`], or, where it was broken off, by dropping it.
pub struct Entry {
    books: Arc<Books>,
    account: usize,
    pub id: String,
    user: Option<String>,
    stream: bool,
    /// The status that was sent; 0 until then.
    pub status: u16,
    /// Data events sent so far.
    pub chunks: usize,
    booked: bool,
}

impl Entry {
    pub fn open(books: &Arc<Books>, account: usize, id: String, user: Option<String>, stream: bool) -> Self {
        let entry = Self { books: Arc::clone(books), account, id, user, stream, status: 0, chunks: 0, booked: false };
        let mut served = entry.account().served();
        served.requests += 1;
        served.in_flight += 1;
        drop(served);
        entry
    }

    pub fn model(&self) -> &Model {
        &self.account().model
    }

    /// Books a complete answer.
    pub fn complete(&mut self, usage: Usage, usage_reported: bool) -> std::io::Result<()> {
        let cost = self.model().price.cost(usage.prompt, usage.cached, usage.completion);
        self.book(usage, cost, usage_reported, true)?;
        let mut served = self.account().served();
        served.answers += 1;
        served.prompt_tokens += usage.prompt;
        served.cached_tokens += usage.cached;
        served.completion_tokens += usage.completion;
        served.bill(cost);
        Ok(())
    }

    /// Books an error answer.
    pub fn refuse(&mut self, status: u16) -> std::io::Result<()> {
        self.status = status;
        self.book(Usage::default(), NanoUsd(0), false, true)
    }

    fn book(&mut self, usage: Usage, cost: NanoUsd, usage_reported: bool, complete: bool) -> std::io::Result<()> {
        self.booked = true;
        self.books.write(&Line {
            time_unix_ns: unix_ns(),
            id: &self.id,
            model: &self.model().name,
            user: self.user.as_deref(),
            stream: self.stream,
            status: self.status,
            prompt_tokens: usage.prompt,
            cached_tokens: usage.cached,
            completion_tokens: usage.completion,
            cost_nanousd: cost.0,
            chunks: self.chunks,
            usage_reported,
            complete,
        })
    }

    fn account(&self) -> &Account {
        &self.books.accounts[self.account]
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.booked
            && let Err(error) = self.book(Usage::default(), NanoUsd(0), false, false)
        {
            tracing::error!(%error, "the simulator's log cannot be written");
        }
        self.account().served().in_flight -= 1;
    }
}

/// Unix time; the simulator is outside the core and has a clock.
pub fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
}
