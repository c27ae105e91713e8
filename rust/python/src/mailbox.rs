//! How answers reach an event loop without a Rust thread ever running Python.
//!
//! Each call has an outbox. When news lies in it, the call's id goes to the loop's mailbox, which makes a descriptor readable if it
//! was empty: one wake for a whole batch. What comes while nobody has taken the last news joins it.

use std::{
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use pyo3::{
    exceptions::PyConnectionAbortedError,
    prelude::*,
    types::{PyBytes, PyList},
};
use tokio::{sync::Notify, task::AbortHandle};

/// Bytes that may wait to be taken; while there are more, nothing is read from the upstream.
const ROOM: usize = 256 << 10;

/// Where the calls of one event loop say that they have news.
#[pyclass(frozen, module = "tradewind._core")]
pub struct Mailbox {
    post: Arc<Post>,
}

struct Post {
    ready: Mutex<Vec<u64>>,
    bell: UnixStream,
    ear: UnixStream,
}

impl Post {
    fn add(&self, id: u64) {
        let first = {
            let mut ready = lock(&self.ready);
            ready.push(id);
            ready.len() == 1
        };
        if first {
            // It cannot be full: there is at most one byte for each time that `ready` was emptied.
            let _ = (&self.bell).write(&[1]);
        }
    }
}

#[pymethods]
impl Mailbox {
    #[new]
    fn new() -> io::Result<Self> {
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok(Self { post: Arc::new(Post { ready: Mutex::default(), bell, ear }) })
    }

    /// Readable while `ready` has something.
    fn fileno(&self) -> i32 {
        self.post.ear.as_raw_fd()
    }

    /// Ids of calls with news since the last time.
    fn ready(&self) -> Vec<u64> {
        // The bell first: what is added from here on rings again.
        let _ = (&self.post.ear).read(&mut [0; 64]);
        std::mem::take(&mut lock(&self.post.ready))
    }
}

impl Mailbox {
    /// A new call's outbox.
    pub fn outbox(&self, id: u64) -> Outbox {
        Outbox(Arc::new(Shared { id, post: Arc::clone(&self.post), news: Mutex::default(), room: Notify::new() }))
    }
}

/// Status and headers of an answer.
pub type Head = (u16, Vec<(Bytes, Bytes)>);

#[derive(Default)]
struct News {
    head: Option<Head>,
    body: Vec<Bytes>,
    length: usize,
    over: bool,
    broken: bool,
    /// The mailbox names this call already.
    announced: bool,
    /// The end was taken: nothing will ever be news again.
    done: bool,
}

struct Shared {
    id: u64,
    post: Arc<Post>,
    news: Mutex<News>,
    room: Notify,
}

/// The engine's end of a call. Dropping it before [`Outbox::end`] breaks the answer off.
pub struct Outbox(Arc<Shared>);

impl Outbox {
    /// The answer begins.
    pub fn start(&self, head: Head) {
        lock(&self.0.news).head = Some(head);
    }

    /// More of its body.
    pub fn add(&self, bytes: Bytes) {
        let mut news = lock(&self.0.news);
        news.length += bytes.len();
        news.body.push(bytes);
    }

    /// It is complete.
    pub fn end(&self) {
        lock(&self.0.news).over = true;
        self.announce();
    }

    /// Says that there is news, unless that was said already.
    pub fn announce(&self) {
        {
            let mut news = lock(&self.0.news);
            let fresh = news.head.is_some() || news.length > 0 || news.over || news.broken;
            if news.announced || news.done || !fresh {
                return;
            }
            news.announced = true;
        }
        self.0.post.add(self.0.id);
    }

    /// Waits until so much was taken that more may be added.
    pub async fn room(&self) {
        while lock(&self.0.news).length > ROOM {
            self.announce();
            self.0.room.notified().await;
        }
    }

    /// The event loop's end. Dropping that aborts the task.
    pub fn call(&self, task: AbortHandle) -> Call {
        Call { shared: Arc::clone(&self.0), task }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        {
            let mut news = lock(&self.0.news);
            if news.over {
                return;
            }
            news.broken = true;
        }
        self.announce();
    }
}

/// A request in the engine. Dropping or cancelling it breaks off the upstream call.
#[pyclass(frozen, module = "tradewind._core")]
pub struct Call {
    shared: Arc<Shared>,
    task: AbortHandle,
}

type Taken<'py> = (Option<u16>, Option<Bound<'py, PyList>>, Bound<'py, PyBytes>, bool);

#[pymethods]
impl Call {
    /// Status and headers (once), the body bytes since the last time, whether more will come; `None` if there is no news.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Taken<'py>>> {
        let (head, body, length, over) = {
            let mut news = lock(&self.shared.news);
            news.announced = false;
            if news.broken {
                return Err(PyConnectionAbortedError::new_err("the answer broke off"));
            }
            if news.done || (news.head.is_none() && news.length == 0 && !news.over) {
                return Ok(None);
            }
            news.done = news.over;
            (news.head.take(), std::mem::take(&mut news.body), std::mem::take(&mut news.length), news.over)
        };
        if length > ROOM {
            self.shared.room.notify_one();
        }
        let joined = PyBytes::new_with(py, length, |buffer| {
            let mut rest = buffer;
            for part in &body {
                let (here, after) = rest.split_at_mut(part.len());
                here.copy_from_slice(part);
                rest = after;
            }
            Ok(())
        })?;
        let (status, headers) = match head {
            None => (None, None),
            Some((status, headers)) => {
                let pairs = headers.iter().map(|(name, value)| (PyBytes::new(py, name), PyBytes::new(py, value)));
                (Some(status), Some(PyList::new(py, pairs.collect::<Vec<_>>())?))
            }
        };
        Ok(Some((status, headers, joined, !over)))
    }

    /// The client left.
    fn cancel(&self) {
        self.task.abort();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
