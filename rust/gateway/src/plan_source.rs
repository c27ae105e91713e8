//! A plan from a file, watched: the plan source of the Rust-only binary. Its folder of credentials is read along with it.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use tradewind_core::plan::{Problem, Severity};

use crate::{engine::Engine, secrets::Credentials};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Watches a file until it is dropped.
pub struct Watch {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the plan's watcher has panicked");
        }
    }
}

/// Loads a plan source and its credentials. What cannot be read is a refusal too.
///
/// # Errors
/// Everything that is wrong with it; the old plan is kept.
pub fn load(engine: &Engine, path: &Path) -> Result<(), Vec<Problem>> {
    let source = path.display().to_string();
    let json = fs::read(path).map_err(|error| {
        let problem = Problem {
            code: "unreadable",
            severity: Severity::Error,
            path: String::new(),
            message: format!("{source} cannot be read: {error}"),
            accepted: Vec::new(),
        };
        engine.refuse_plan(vec![problem.clone()], &source);
        vec![problem]
    })?;
    engine.swap(&json, &source)?;
    if let Some(folder) = &engine.settings().secrets_dir {
        let names = engine.credential_names();
        match Credentials::read(folder, names.iter().map(String::as_str)) {
            Ok(credentials) => engine.set_credentials(credentials),
            Err(message) => tracing::error!(message, "the credentials are refused; the old ones are kept"),
        }
    }
    Ok(())
}

/// Loads the file again whenever it changes.
///
/// # Errors
/// Where no thread can be started.
pub fn watch(engine: &Arc<Engine>, path: &Path) -> io::Result<Watch> {
    let (stop, stopped) = mpsc::channel();
    let (engine, path) = (Arc::clone(engine), path.to_owned());
    let mut seen = stamp(&path);
    let thread = thread::Builder::new().name("plan".to_owned()).spawn(move || {
        while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            let now = stamp(&path);
            if now != seen {
                seen = now;
                // A refusal is logged and shown by `/plan`.
                let _ = load(&engine, &path);
            }
        }
    })?;
    Ok(Watch { stop: Some(stop), thread: Some(thread) })
}

/// Time and length: what changes when a file does.
fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
