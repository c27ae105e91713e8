//! The second tier's threads: a graph of milliseconds never runs where calls do.
//!
//! Questions wait in one bounded queue. Where that is full, or an answer takes too long, the first tier's decision stands; labels,
//! for which nobody waits, leave half of the queue to calls that do.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use prometheus_client::metrics::{counter::Counter, family::Family};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tradewind_core::{
    Call, Code, Decision, Error,
    decide::{Question, reconsider},
    features::Features,
    parse::Request,
    plan::source::SecondTierUse,
    predict::{Opinion, Prediction, SecondTier},
};

use crate::{
    account::{Account, Labeller},
    engine::Engine,
    metrics::SecondTierLabels,
    routing::Routing,
};

/// Questions that wait or are being answered at once.
const PLACES: u32 = 64;
/// Cores per thread.
const CORES_EACH: usize = 4;

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered, and the choice is another one.
    Changed,
    /// It was answered, and the choice is the same.
    Kept,
    /// The answer is in the outcome of the call.
    Labelled,
    /// There was no place in the queue.
    QueueFull,
    /// There was no answer in time.
    Timeout,
    /// The graph failed, or the gateway ends.
    Failed,
    /// The turn has no words of its own.
    NoText,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Kept => "kept",
            Self::Labelled => "labelled",
            Self::QueueFull => "queue_full",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::NoText => "no_text",
        }
    }
}

/// Decides again on a doubted decision where its second tier answers inline; gives the first decision otherwise. `call` has the dials.
///
/// # Errors
/// As [`reconsider`].
pub(crate) async fn decide_again(
    engine: &Engine,
    routing: &Routing,
    call: &Call<'_>,
    request: &Request<'_>,
    first: Decision,
) -> Result<Decision, Error> {
    if first.doubt.as_ref().is_none_or(|tier| tier.purpose != SecondTierUse::Inline) {
        return Ok(first);
    }
    let threads = engine.second_tier();
    let Some(question) = Question::of(&first, request) else {
        threads.count(&first.route, Outcome::NoText);
        return Ok(first);
    };
    match threads.ask(&question).await {
        Ok(said) => {
            let plan = &routing.plan;
            let second = reconsider(plan, &plan.route(call, request)?, call, &first, &said);
            let same = second.as_ref().is_ok_and(|second| second.ranking[0] == first.ranking[0]);
            threads.count(&first.route, if same { Outcome::Kept } else { Outcome::Changed });
            second
        }
        Err(outcome) => {
            threads.count(&first.route, outcome);
            Ok(first)
        }
    }
}

/// Asks the second tier of a doubted decision for a label, which goes into the outcome of the call; the call does not wait.
pub(crate) fn label(engine: &Engine, request: &Request<'_>, decision: &Decision, account: &mut Account) {
    if decision.doubt.as_ref().is_none_or(|tier| tier.purpose != SecondTierUse::Labels) {
        return;
    }
    let threads = engine.second_tier();
    match Question::of(decision, request) {
        None => threads.count(&decision.route, Outcome::NoText),
        Some(question) => threads.label(&question, &decision.route, account),
    }
}

/// The threads and their queue. None runs before the first question.
pub(crate) struct Threads {
    places: Arc<Semaphore>,
    queue: Mutex<Option<Queue>>,
    ending: Arc<AtomicBool>,
    /// How long a call waits for an answer.
    limit: Duration,
    questions: Questions,
}

type Questions = Family<SecondTierLabels, Counter>;

struct Queue {
    jobs: Sender<Job>,
    threads: Vec<JoinHandle<()>>,
}

/// A question on its way. Dropped, it has no answer.
struct Job {
    tier: Arc<SecondTier>,
    /// Of a bounded size, as a text is not.
    features: Features,
    answer: Answer,
    _place: OwnedSemaphorePermit,
}

/// Whom the answer is for.
enum Answer {
    /// A call that waits.
    Call(oneshot::Sender<Result<Prediction, Error>>),
    /// An outcome, and the count of its route.
    Outcome(Labeller, Box<dyn Fn(Outcome) + Send>),
}

impl Threads {
    pub fn new(limit: Duration, questions: Questions) -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES as usize)), queue: Mutex::default(), ending: Arc::default(), limit, questions }
    }

    async fn ask(&self, question: &Question<'_>) -> Result<Prediction, Outcome> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Outcome::QueueFull)?;
        let (sender, receiver) = oneshot::channel();
        self.put(Job::new(question, Answer::Call(sender), place));
        match tokio::time::timeout(self.limit, receiver).await {
            Err(_) => Err(Outcome::Timeout),
            Ok(Ok(Ok(said))) => Ok(said),
            // The gateway ends, or the graph has failed, which its thread has told.
            Ok(Err(_) | Ok(Err(_))) => Err(Outcome::Failed),
        }
    }

    fn label(&self, question: &Question<'_>, route: &Arc<str>, account: &mut Account) {
        let busy = self.places.available_permits() <= PLACES as usize / 2;
        let place = if busy { None } else { Arc::clone(&self.places).try_acquire_owned().ok() };
        let Some(place) = place else { return self.count(route, Outcome::QueueFull) };
        // Without a ledger there is no outcome to put it in.
        let Some(labeller) = account.labeller() else { return };
        let (questions, route) = (self.questions.clone(), Arc::clone(route));
        let count = Box::new(move |outcome| count(&questions, &route, outcome));
        self.put(Job::new(question, Answer::Outcome(labeller, count), place));
    }

    fn put(&self, job: Job) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ending.load(Ordering::Relaxed) {
            return;
        }
        let queue = queue.get_or_insert_with(|| Queue::start(&self.ending));
        // A job that no thread takes is dropped, which its answer tells.
        let _ = queue.jobs.send(job);
    }

    /// Waits until no question is open.
    pub async fn idle(&self) {
        // The places are never closed.
        let _ = self.places.acquire_many(PLACES).await;
    }

    /// Leaves the questions that wait without an answer, and ends the threads. Blocks for the runs that have begun.
    pub fn close(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        self.ending.store(true, Ordering::Relaxed);
        let Some(Queue { jobs, threads }) = queue.take() else { return };
        drop(queue);
        drop(jobs);
        if threads.into_iter().any(|thread| thread.join().is_err()) {
            tracing::error!("a thread of the second tier has panicked");
        }
    }

    fn count(&self, route: &str, outcome: Outcome) {
        count(&self.questions, route, outcome);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.close();
    }
}

fn count(questions: &Questions, route: &str, outcome: Outcome) {
    questions.get_or_create(&SecondTierLabels { route: route.to_owned(), outcome: outcome.name() }).inc();
}

impl Queue {
    fn start(ending: &Arc<AtomicBool>) -> Self {
        let (jobs, receiver) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let start = |number: usize| {
            let (receiver, ending) = (Arc::clone(&receiver), Arc::clone(ending));
            thread::Builder::new().name(format!("second-tier-{number}")).spawn(move || work(&receiver, &ending))
        };
        let threads = (0..(cores / CORES_EACH).max(1)).filter_map(|number| match start(number) {
            Ok(thread) => Some(thread),
            Err(error) => {
                tracing::error!(%error, "a thread of the second tier cannot be started");
                None
            }
        });
        Self { jobs, threads: threads.collect() }
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, ending: &AtomicBool) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Err(_) => return,
            Ok(job) if ending.load(Ordering::Relaxed) => drop(job),
            Ok(job) => job.run(),
        }
    }
}

impl Job {
    fn new(question: &Question<'_>, answer: Answer, place: OwnedSemaphorePermit) -> Self {
        Self { tier: Arc::clone(question.tier), features: Features::of(question.text), answer, _place: place }
    }

    fn run(self) {
        if let Answer::Call(sender) = &self.answer
            && sender.is_closed()
        {
            return;
        }
        let said = self.predict();
        if let Err(error) = &said {
            tracing::warn!(%error, predictor = %self.tier.predictor.digest(), "a second tier has failed");
        }
        match self.answer {
            // A call that has not waited is gone.
            Answer::Call(sender) => drop(sender.send(said)),
            Answer::Outcome(labeller, count) => {
                count(if said.is_ok() { Outcome::Labelled } else { Outcome::Failed });
                if let Ok(prediction) = said {
                    labeller.said(Opinion { tier: self.tier, prediction });
                }
            }
        }
    }

    /// A panic is a failure of this question alone: its thread is there for the next.
    fn predict(&self) -> Result<Prediction, Error> {
        panic::catch_unwind(AssertUnwindSafe(|| self.tier.predictor.predict(&self.features)))
            .unwrap_or_else(|_| Err(Error::new(Code::PredictorFailed, "predictor", "its run has panicked")))
    }
}
