//! The simulator for Python: on a thread of its own for tests and the demo, or on this thread for `tradewind simulate`.

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use pyo3::prelude::*;
use tokio::sync::oneshot;
use tradewind_core::{Code, Error};
use tradewind_gateway::simulator::{self, Flags, Settings, Totals};

use crate::error::{internal, raise};

/// A simulator that serves until it is stopped or dropped.
#[pyclass(frozen, module = "tradewind._core")]
pub struct Simulator {
    url: String,
    totals: Box<dyn Fn() -> Totals + Send + Sync>,
    running: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

#[pymethods]
impl Simulator {
    #[new]
    #[pyo3(signature = (*, host = "127.0.0.1", port = 0, models = None, first_token_ms = 0, token_rate = 0.0, fail = Vec::new(), seed = 0, answers = None, log = None, api_key = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python call")]
    fn new(
        py: Python<'_>,
        host: &str,
        port: u16,
        models: Option<String>,
        first_token_ms: u64,
        token_rate: f64,
        fail: Vec<String>,
        seed: u64,
        answers: Option<PathBuf>,
        log: Option<PathBuf>,
        api_key: Option<String>,
    ) -> PyResult<Self> {
        let settings = settings(host, port, models, first_token_ms, token_rate, fail, seed, answers, log, api_key)?;
        py.detach(|| start(settings)).map_err(internal)?.map_err(|error| refused(&error))
    }

    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    /// What it served, as JSON.
    fn totals(&self) -> PyResult<String> {
        serde_json::to_string(&(self.totals)()).map_err(internal)
    }

    /// Lets answers in flight end for two seconds, then stops; gives the totals as JSON.
    fn stop(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some((stop, thread)) = running else { return Ok(()) };
            let _ = stop.send(());
            thread.join().map_err(|_| internal("the simulator has panicked"))
        })?;
        self.totals()
    }
}

type Started = Result<(String, Box<dyn Fn() -> Totals + Send + Sync>), simulator::Error>;

fn start(settings: Settings) -> std::io::Result<Result<Simulator, simulator::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, started) = mpsc::channel::<Started>();
    let thread = thread::Builder::new().name("tradewind-simulator".to_owned()).spawn(move || {
        runtime.block_on(async {
            match simulator::Simulator::bind(settings).await {
                Err(error) => drop(ready.send(Err(error))),
                Ok(simulator) => {
                    drop(ready.send(Ok((simulator.url(), Box::new(simulator.totals())))));
                    simulator.serve(async { drop(stopped.await) }).await;
                }
            }
        });
    })?;
    let started = started.recv().map_err(|_| std::io::Error::other("the simulator has panicked"))?;
    Ok(started.map(|(url, totals)| Simulator { url, totals, running: Mutex::new(Some((stop, thread))) }))
}

/// Runs on this thread until SIGINT or SIGTERM; gives the totals as JSON.
#[pyfunction]
#[pyo3(signature = (on_ready, *, host = "127.0.0.1", port = 0, models = None, first_token_ms = 0, token_rate = 0.0, fail = Vec::new(), seed = 0, answers = None, log = None, api_key = None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python call")]
pub fn run_simulator(
    py: Python<'_>,
    on_ready: Py<PyAny>,
    host: &str,
    port: u16,
    models: Option<String>,
    first_token_ms: u64,
    token_rate: f64,
    fail: Vec<String>,
    seed: u64,
    answers: Option<PathBuf>,
    log: Option<PathBuf>,
    api_key: Option<String>,
) -> PyResult<String> {
    let settings = settings(host, port, models, first_token_ms, token_rate, fail, seed, answers, log, api_key)?;
    let mut said = Ok(());
    // The callback runs on the caller's own thread.
    let ready = |address| said = Python::attach(|py| on_ready.call1(py, (format!("http://{address}"),)).map(drop));
    let totals = py.detach(|| simulator::run_until_signal(settings, ready)).map_err(|error| refused(&error))?;
    said?;
    serde_json::to_string(&totals).map_err(internal)
}

#[expect(clippy::too_many_arguments, reason = "the flags, one by one")]
fn settings(
    host: &str,
    port: u16,
    models: Option<String>,
    first_token_ms: u64,
    token_rate: f64,
    fail: Vec<String>,
    seed: u64,
    answers: Option<PathBuf>,
    log: Option<PathBuf>,
    api_key: Option<String>,
) -> PyResult<Settings> {
    let host: IpAddr =
        host.parse().map_err(|_| raise(Error::new(Code::InvalidRequest, "host", format!("`{host}` is not an IP address"))))?;
    let default = Flags::default();
    let flags =
        Flags { host, port, models: models.unwrap_or(default.models), first_token_ms, token_rate, fail, seed, answers, log, api_key };
    Settings::try_from(flags).map_err(|error| refused(&error))
}

fn refused(error: &simulator::Error) -> PyErr {
    let code = if matches!(error, simulator::Error::Flag { .. }) { Code::InvalidRequest } else { Code::Internal };
    raise(Error::new(code, "", error.to_string()))
}
