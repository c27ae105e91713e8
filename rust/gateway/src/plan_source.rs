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

/// Time and length of a file: what changes when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(Option<(SystemTime, u64)>);

impl Stamp {
    fn of(path: &Path) -> Self {
        let metadata = fs::metadata(path).ok();
        Self(metadata.and_then(|metadata| Some((metadata.modified().ok()?, metadata.len()))))
    }
}

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

/// Loads a plan source and its credentials; gives what to tell a later edit by. What cannot be read is a refusal too.
///
/// # Errors
/// Everything that is wrong with it; the old plan is kept.
pub fn load(engine: &Engine, path: &Path) -> Result<Stamp, Vec<Problem>> {
    // Taken before the reading, so that no edit falls between the two.
    let stamp = Stamp::of(path);
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
    Ok(stamp)
}

/// Loads the file again whenever it is no longer what was loaded.
///
/// # Errors
/// Where no thread can be started.
pub fn watch(engine: &Arc<Engine>, path: &Path, mut loaded: Stamp) -> io::Result<Watch> {
    let (stop, stopped) = mpsc::channel();
    let (engine, path) = (Arc::clone(engine), path.to_owned());
    let thread = thread::Builder::new().name("plan".to_owned()).spawn(move || {
        while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            let now = Stamp::of(&path);
            if now != loaded {
                loaded = now;
                // A refusal is logged and shown by `/plan`.
                let _ = load(&engine, &path);
            }
        }
    })?;
    Ok(Watch { stop: Some(stop), thread: Some(thread) })
}
