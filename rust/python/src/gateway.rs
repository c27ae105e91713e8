//! The gateway in process: one engine, the native door, and the bridge that an ASGI app awaits it by.

use std::{
    future::poll_fn,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Body;
use pyo3::{prelude::*, pybacked::PyBackedBytes, types::PyBytes};
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    time::Instant,
};
use tradewind_core::{Code, Error};
use tradewind_gateway::{AnswerBody, Engine, Health, Keys, Peer, Server, Settings, SyncClient, secrets::Credentials};

use crate::{
    error::{internal, raise, refused},
    mailbox::{Call, Head, Mailbox, Outbox},
};

/// An engine with threads of its own. Shared between Python's threads; whatever may block releases the GIL.
#[pyclass(frozen, module = "tradewind._core")]
pub struct Gateway {
    engine: Arc<Engine>,
    io: Io,
    doors: Mutex<Doors>,
    following: Mutex<Option<SyncClient>>,
}

/// Listeners that are open.
#[derive(Default)]
struct Doors {
    native: Option<Server>,
    tls: Option<Server>,
    health: Option<Health>,
}

/// The thread that runs the calls of ASGI apps. Connections to upstreams belong to it, as to any worker.
struct Io {
    handle: Handle,
    /// Drops every call that is left.
    cut: Arc<Notify>,
    stop: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Io {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("tradewind-asgi".to_owned()).spawn(move || {
            // An error means that the gateway was dropped, which is to stop too.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { handle, cut: Arc::default(), stop: Mutex::new(Some((stop, thread))) })
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if let Some((stop, _thread)) = lock(&self.stop).take() {
            let _ = stop.send(());
        }
    }
}

#[pymethods]
impl Gateway {
    #[new]
    fn new(py: Python<'_>, settings: &[u8], predictors: Vec<PyBackedBytes>) -> PyResult<Self> {
        py.detach(|| {
            let settings: Settings = serde_json::from_slice(settings)
                .map_err(|error| raise(Error::new(Code::InvalidRequest, "settings", format!("the settings cannot be read: {error}"))))?;
            let engine = Engine::new(settings, tradewind_core::plan::Predictors::new()).map_err(raise)?;
            add(&engine, &predictors)?;
            Ok(Self { engine, io: Io::start().map_err(internal)?, doors: Mutex::default(), following: Mutex::default() })
        })
    }

    #[getter]
    fn max_body_bytes(&self) -> usize {
        self.engine.settings().max_body_bytes
    }

    #[getter]
    fn body_read_timeout_s(&self) -> f64 {
        Duration::from_millis(self.engine.settings().body_read_timeout_ms).as_secs_f64()
    }

    /// Starts the native door; gives its address.
    #[pyo3(signature = (address = None))]
    fn listen(&self, py: Python<'_>, address: Option<&str>) -> PyResult<String> {
        py.detach(|| {
            let mut doors = lock(&self.doors);
            if doors.native.is_some() {
                return Err(internal("this gateway listens already"));
            }
            let address = address.unwrap_or(&self.engine.settings().listen);
            let server = tradewind_gateway::serve(&self.engine, address).map_err(|error| unheard(address, &error))?;
            let local = server.local_addr.to_string();
            doors.native = Some(server);
            Ok(local)
        })
    }

    /// Starts the TLS door, if the settings want one; gives its address.
    fn listen_tls(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let Some(port) = self.engine.settings().tls_port else { return Ok(None) };
        py.detach(|| {
            let mut doors = lock(&self.doors);
            if doors.tls.is_some() {
                return Err(internal("this gateway listens for TLS already"));
            }
            let server = tradewind_gateway::serve_tls(&self.engine, port).map_err(|error| unheard(&format!("port {port}"), &error))?;
            let local = server.local_addr.to_string();
            doors.tls = Some(server);
            Ok(Some(local))
        })
    }

    /// Starts the health listener, if the settings want one; gives its address.
    fn listen_health(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let address = &*self.engine.settings().health_listen;
        if address.is_empty() {
            return Ok(None);
        }
        py.detach(|| {
            let mut doors = lock(&self.doors);
            if doors.health.is_some() {
                return Err(internal("this gateway tells of its health already"));
            }
            let health = tradewind_gateway::serve_health(&self.engine, address).map_err(|error| unheard(address, &error))?;
            let local = health.local_addr.to_string();
            doors.health = Some(health);
            Ok(Some(local))
        })
    }

    /// Says from now on that the gateway leaves; calls are taken still.
    fn leave(&self) {
        self.engine.leave();
    }

    /// Begins to follow the controllers of the settings: serves what was kept of them, if anything was, and polls.
    fn follow(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let mut following = lock(&self.following);
            if following.is_some() {
                return Err(internal("this gateway follows its controllers already"));
            }
            let client = SyncClient::start(&self.engine)
                .map_err(|error| raise(Error::new(Code::InvalidRequest, "controllers", error.to_string())))?;
            *following = Some(client);
            Ok(())
        })
    }

    /// Takes a plan source; gives its id and warnings as JSON.
    fn swap(&self, py: Python<'_>, plan: &[u8], predictors: Vec<PyBackedBytes>, source: &str) -> PyResult<String> {
        py.detach(|| {
            add(&self.engine, &predictors)?;
            match self.engine.swap(plan, source) {
                Ok(status) => Ok(json!({"plan": status.plan, "warnings": status.warnings}).to_string()),
                Err(problems) => Err(raise(refused(&problems))),
            }
        })
    }

    /// Remembers problems (a JSON list) of an edit that never became a plan source.
    fn refuse(&self, problems: &[u8], source: &str) -> PyResult<()> {
        let problems: Vec<Value> = serde_json::from_slice(problems).map_err(internal)?;
        self.engine.refuse_plan(problems, source);
        Ok(())
    }

    fn set_keys(&self, keys: Option<&[u8]>) -> PyResult<()> {
        let keys = keys.map_or_else(|| Ok(Keys::default()), Keys::parse);
        self.engine.set_keys(keys.map_err(|message| raise(Error::new(Code::InvalidRequest, "keys", message)))?);
        Ok(())
    }

    fn set_credentials(&self, credentials: std::collections::HashMap<String, String>) -> PyResult<()> {
        let credentials = Credentials::new(credentials);
        self.engine.set_credentials(credentials.map_err(|message| raise(Error::new(Code::InvalidRequest, "credentials", message)))?);
        Ok(())
    }

    /// What `GET /plan` answers.
    fn plan_status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let asked = || -> Result<Bytes, http::Error> {
            let request = Request::get("/plan").body(Bytes::new())?;
            let peer = Peer::default();
            let body = self.io.handle.block_on(async { self.engine.handle(request, peer).await.into_body().collect().await });
            Ok(body.map_or_else(|never| match never {}, http_body_util::Collected::to_bytes))
        };
        let document = py.detach(asked).map_err(internal)?;
        Ok(PyBytes::new(py, &document))
    }

    /// Closes the listeners, refuses new calls, waits for those in flight, cuts those that take too long, closes the ledger, and last the
    /// health listener; gives whether all ended in time.
    fn drain(&self, py: Python<'_>) -> bool {
        py.detach(|| {
            let Doors { native, tls, health } = std::mem::take(&mut *lock(&self.doors));
            let patience = Duration::from_secs(self.engine.settings().drain_s);
            let begun = Instant::now();
            let servers = [native, tls];
            tradewind_gateway::shutdown(&self.engine, servers.iter().flatten());
            drop(lock(&self.following).take());
            servers.into_iter().flatten().for_each(Server::join);
            self.io.handle.block_on(async {
                if tokio::time::timeout_at(begun + patience, self.engine.idle()).await.is_err() {
                    self.engine.cut();
                    self.io.cut.notify_waiters();
                    self.engine.idle().await;
                }
            });
            self.engine.close();
            drop(health);
            !self.engine.is_cut()
        })
    }

    /// Hands the engine a whole request. Does not block.
    #[expect(clippy::too_many_arguments, reason = "the parts of a request, as ASGI has them")]
    fn call(
        &self,
        mailbox: &Mailbox,
        id: u64,
        method: &str,
        target: &[u8],
        headers: &Bound<'_, PyAny>,
        body: &[u8],
        peer: Option<&str>,
    ) -> PyResult<Call> {
        let outbox = mailbox.outbox(id);
        let peer = Peer { address: peer.and_then(|address| address.parse::<IpAddr>().ok()), ..Peer::default() };
        Ok(match request(method, target, headers, body)? {
            Ok(request) => {
                let engine = Arc::clone(&self.engine);
                self.run(outbox, async move { engine.handle(request, peer).await })
            }
            Err(error) => self.answer(outbox, &error),
        })
    }

    /// Answers what happened before there was a whole request: `body_too_large` or `request_timeout`.
    fn fail(&self, mailbox: &Mailbox, id: u64, code: &str) -> PyResult<Call> {
        let error = match code {
            "body_too_large" => self.engine.body_too_large(),
            "request_timeout" => self.engine.request_timeout(),
            _ => return Err(internal(tradewind_core::error::unknown("failure", code, &["body_too_large", "request_timeout"]))),
        };
        Ok(self.answer(mailbox.outbox(id), &error))
    }
}

impl Gateway {
    fn answer(&self, outbox: Outbox, error: &Error) -> Call {
        self.run(outbox, std::future::ready(self.engine.refuse(error)))
    }

    fn run(&self, outbox: Outbox, answer: impl Future<Output = Response<AnswerBody>> + Send + 'static) -> Call {
        let outbox = Arc::new(outbox);
        let task = self.io.handle.spawn({
            let (outbox, cut) = (Arc::clone(&outbox), Arc::clone(&self.io.cut));
            async move {
                tokio::select! {
                    // It listens before the call begins, so that no call in flight is missed.
                    biased;
                    () = cut.notified() => {}
                    () = async { relay(answer.await, &outbox).await } => {}
                }
            }
        });
        outbox.call(task.abort_handle())
    }
}

/// Moves an answer into its outbox. What is there together is announced together.
async fn relay(response: Response<AnswerBody>, outbox: &Outbox) {
    let (parts, mut body) = response.into_parts();
    outbox.start(head(&parts, body.size_hint().exact()));
    loop {
        let frame = poll_fn(|context| {
            let frame = Pin::new(&mut body).poll_frame(context);
            if frame.is_pending() {
                outbox.announce();
            }
            frame
        });
        match frame.await {
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    outbox.add(bytes);
                }
            }
            None => return outbox.end(),
        }
        outbox.room().await;
    }
}

/// Status and headers, with the length where it is known: a native listener adds it by itself.
fn head(parts: &http::response::Parts, length: Option<u64>) -> Head {
    let owned = |name: &HeaderName, value: &HeaderValue| (Bytes::copy_from_slice(name.as_ref()), Bytes::copy_from_slice(value.as_bytes()));
    let mut headers: Vec<(Bytes, Bytes)> = parts.headers.iter().map(|(name, value)| owned(name, value)).collect();
    if let Some(length) = length {
        headers.push(owned(&header::CONTENT_LENGTH, &HeaderValue::from(length)));
    }
    (parts.status.as_u16(), headers)
}

/// A request from its parts; the inner error is the client's.
fn request(method: &str, target: &[u8], headers: &Bound<'_, PyAny>, body: &[u8]) -> PyResult<Result<Request<Bytes>, Error>> {
    let mut request = Request::new(Bytes::copy_from_slice(body));
    let (Ok(method), Ok(uri)) = (Method::from_bytes(method.as_bytes()), Uri::try_from(target)) else {
        return Ok(Err(Error::new(Code::InvalidRequest, "", "the request line cannot be read")));
    };
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    for pair in headers.try_iter()? {
        let pair = pair?;
        let (name, value): (PyBackedBytes, PyBackedBytes) = (pair.get_item(0)?.extract()?, pair.get_item(1)?.extract()?);
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), HeaderValue::from_bytes(&value)) else {
            return Ok(Err(Error::new(Code::InvalidHeader, "", "a header cannot be read")));
        };
        request.headers_mut().append(name, value);
    }
    Ok(Ok(request))
}

fn add(engine: &Engine, predictors: &[PyBackedBytes]) -> PyResult<()> {
    predictors.iter().try_for_each(|onnx| engine.add_predictor(onnx).map(|_| ())).map_err(raise)
}

fn unheard(address: &str, error: &std::io::Error) -> PyErr {
    let code = if error.kind() == std::io::ErrorKind::PermissionDenied { Code::Forbidden } else { Code::Internal };
    raise(Error::new(code, "listen", format!("{address} cannot be listened on: {error}")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
