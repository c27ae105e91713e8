//! The outcome log: append-only JSON Lines, written by a thread of its own.
//!
//! A call reserves its line before it is decided and fills it when it ends, so a full log holds calls back instead of losing
//! outcomes. The thread writes whatever has come since the last batch at once, with a short rest between batches: a call never
//! wakes it. Written lines survive a kill of the process; files are synced on rotation and at the end, and a line that a power
//! cut tore is closed when the file is opened again.

use std::{
    convert::Infallible,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc as sync_mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::{
    mpsc::{self, OwnedPermit},
    oneshot,
};

/// Lines that may wait for the thread.
const CAPACITY: usize = 16_384;
/// Rest between batches: what a kill of the process may lose.
const BATCH_EVERY: Duration = Duration::from_millis(2);
/// Pause before a failed write is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Something that can become a line.
pub trait Line: Send {
    /// Appends the JSON, without a line end.
    fn write(&self, out: &mut Vec<u8>);
}

enum Message {
    Line(Box<dyn Line>),
    Flush(oneshot::Sender<()>),
    /// Wakes the thread, which finds that it is to end.
    Close,
}

/// A place in the log, to be filled once. Dropped unfilled, it is free again.
pub struct Reserved(OwnedPermit<Message>);

impl Reserved {
    /// Fills the place. Never waits.
    pub fn fill(self, line: Box<dyn Line>) {
        self.0.send(Message::Line(line));
    }
}

/// The outcome log.
pub struct Ledger {
    sender: mpsc::Sender<Message>,
    thread: Mutex<Option<Running>>,
}

/// The thread, which ends once `stop` is dropped.
struct Running {
    thread: JoinHandle<()>,
    stop: sync_mpsc::Sender<Infallible>,
}

impl Ledger {
    /// Opens the log in a folder, going on in its last file if nobody else writes to it.
    ///
    /// # Errors
    /// Where the folder or a file cannot be written.
    pub fn open(folder: &Path, rotate_bytes: u64, lines: Counter, dropped: Counter) -> io::Result<Self> {
        let file = LedgerFile::open(folder)?;
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let (stop, stopped) = sync_mpsc::channel();
        let writer = Writer { file, rotate_bytes, lines, dropped, stopped };
        let thread = thread::Builder::new().name("ledger".to_owned()).spawn(move || writer.run(receiver))?;
        Ok(Self { sender, thread: Mutex::new(Some(Running { thread, stop })) })
    }

    /// Reserves a place, waiting while the log is full. `None` once the log is closed.
    pub async fn reserve(&self) -> Option<Reserved> {
        self.sender.clone().reserve_owned().await.ok().map(Reserved)
    }

    /// Waits until everything filled so far is written.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.sender.send(Message::Flush(done)).await.is_ok() {
            // An error means that the log was closed, which writes everything too.
            let _ = written.await;
        }
    }

    /// Writes what is there, syncs and closes. Blocks; called once calls have ended.
    pub fn close(&self) {
        let Some(Running { thread, stop }) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        drop(stop);
        // If the log is full, the thread is awake.
        let _ = self.sender.try_send(Message::Close);
        if thread.join().is_err() {
            tracing::error!("the ledger's thread has panicked");
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
    }
}

struct Writer {
    file: LedgerFile,
    rotate_bytes: u64,
    lines: Counter,
    dropped: Counter,
    stopped: sync_mpsc::Receiver<Infallible>,
}

impl Writer {
    fn run(mut self, mut receiver: mpsc::Receiver<Message>) {
        let (mut batch, mut text) = (Vec::new(), Vec::new());
        while receiver.blocking_recv_many(&mut batch, CAPACITY) > 0 {
            self.write(&mut batch, &mut text);
            if self.stopped_within(BATCH_EVERY) {
                break;
            }
        }
        // Whoever still holds a place has been told to stop; what is filled already is written.
        receiver.close();
        while let Ok(message) = receiver.try_recv() {
            batch.push(message);
        }
        self.write(&mut batch, &mut text);
        if let Err(error) = self.file.file.sync_all() {
            tracing::error!(%error, "the ledger could not be synced");
        }
    }

    /// Rests; gives at once whether the log is being closed.
    fn stopped_within(&self, rest: Duration) -> bool {
        self.stopped.recv_timeout(rest) == Err(sync_mpsc::RecvTimeoutError::Disconnected)
    }

    fn write(&mut self, batch: &mut Vec<Message>, text: &mut Vec<u8>) {
        text.clear();
        let (mut waiting, mut lines) = (Vec::new(), 0);
        for message in batch.drain(..) {
            match message {
                Message::Line(line) => {
                    line.write(text);
                    text.push(b'\n');
                    lines += 1;
                }
                Message::Flush(done) => waiting.push(done),
                Message::Close => {}
            }
        }
        if self.append(text) {
            self.lines.inc_by(lines);
        } else {
            self.dropped.inc_by(lines);
        }
        for done in waiting {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
        if self.file.length >= self.rotate_bytes {
            self.rotate();
        }
    }

    /// Appends, trying again until it works: meanwhile the log fills up and calls wait. Gives up only at the end.
    fn append(&mut self, mut text: &[u8]) -> bool {
        while !text.is_empty() {
            match self.file.file.write(text) {
                Ok(written) => {
                    self.file.length += written as u64;
                    text = &text[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!(%error, file = %self.file.path.display(), "the ledger cannot be written; calls wait for it");
                    if self.stopped_within(TRY_AGAIN) {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn rotate(&mut self) {
        let next = self.file.file.sync_all().and_then(|()| self.file.next());
        match next {
            Ok(next) => self.file = next,
            Err(error) => tracing::error!(%error, "the ledger goes on in the same file"),
        }
    }
}

/// One file of the log, locked by its writer.
struct LedgerFile {
    file: File,
    path: PathBuf,
    number: u64,
    length: u64,
}

impl LedgerFile {
    fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let last = fs::read_dir(folder)?.filter_map(|entry| number(&entry.ok()?.path())).max();
        match last {
            Some(last) => Self::at(folder, last),
            None => Self::at(folder, 1),
        }
    }

    fn next(&self) -> io::Result<Self> {
        Self::at(self.path.parent().unwrap_or(Path::new(".")), self.number + 1)
    }

    /// Opens the file of this number, or the first after it that no other process writes.
    fn at(folder: &Path, first: u64) -> io::Result<Self> {
        let mut number = first;
        loop {
            let path = folder.join(format!("outcomes-{number:08}.jsonl"));
            let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => {
                    number += 1;
                    continue;
                }
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
            let mut length = file.seek(SeekFrom::End(0))?;
            if length > 0 {
                let mut last = [0];
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    tracing::warn!(file = %path.display(), "the last line of the ledger is torn; the next one starts on a line of its own");
                    file.write_all(b"\n")?;
                    length += 1;
                }
            }
            return Ok(Self { file, path, number, length });
        }
    }
}

fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("outcomes-")?.strip_suffix(".jsonl")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Line for &'static str {
        fn write(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(self.as_bytes());
        }
    }

    fn open(folder: &Path, rotate_bytes: u64) -> Ledger {
        Ledger::open(folder, rotate_bytes, Counter::default(), Counter::default()).unwrap()
    }

    fn files(folder: &Path) -> Vec<String> {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    #[tokio::test]
    async fn lines_are_appended_and_a_torn_one_is_closed_first() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("outcomes-00000007.jsonl"), "{\"a\":1}\n{\"to").unwrap();
        let ledger = open(folder.path(), 1 << 20);
        ledger.reserve().await.unwrap().fill(Box::new("{}"));
        drop(ledger.reserve().await);
        ledger.flush().await;
        assert_eq!(files(folder.path()), ["{\"a\":1}\n{\"to\n{}\n"]);
        let other = open(folder.path(), 1 << 20);
        other.reserve().await.unwrap().fill(Box::new("other"));
        ledger.close();
        other.close();
        assert_eq!(files(folder.path())[1], "other\n");
        assert!(ledger.reserve().await.is_none());
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_log_that_cannot_be_written_is_given_up_when_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join("outcomes-00000001.jsonl")).unwrap();
        let dropped = Counter::default();
        let ledger = Ledger::open(folder.path(), 1 << 20, Counter::default(), dropped.clone()).unwrap();
        ledger.reserve().await.unwrap().fill(Box::new("{}"));
        while ledger.sender.capacity() < CAPACITY {
            thread::yield_now();
        }
        ledger.close();
        assert_eq!(dropped.get(), 1);
    }

    #[tokio::test]
    async fn a_full_file_is_followed_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = open(folder.path(), 4);
        for line in ["one", "two", "three"] {
            ledger.reserve().await.unwrap().fill(Box::new(line));
            ledger.flush().await;
        }
        ledger.close();
        assert_eq!(files(folder.path()), ["one\n", "two\n", "three\n", ""]);
    }
}
