//! Keep-alive connections that send one body after the other and time the answers.
//!
//! Requests are written whole, prepared before the clock starts, and answers are parsed no further than needed to know where they
//! end: the generator shares the machine with what it measures, so its own work must be small.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

use super::{Samples, process};

/// Connections that fail one after the other, beyond which a run is given up.
const MAX_FAILURES: u32 = 50;

/// An answer that takes longer is an error.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The end of a complete stream.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// What to send, to whom, and for how long.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Where to.
    pub address: SocketAddr,
    /// Path, such as `/v1/chat/completions`.
    pub path: String,
    /// More headers, such as `authorization`.
    pub headers: Vec<(String, String)>,
    /// Bodies, sent in turn.
    pub bodies: Vec<Vec<u8>>,
    /// Connections that are kept open, each with one request at a time.
    pub connections: usize,
    /// The bodies ask for streams: the first event is timed, and a stream without `[DONE]` is an error.
    pub stream: bool,
    /// Time before the measured one.
    pub warm_up: Duration,
    /// When to stop.
    pub limit: Limit,
    /// Core to keep to.
    pub core: Option<usize>,
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// After this time.
    Duration(Duration),
    /// After this many requests.
    Requests(u64),
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Requests that were sent, those of the warm-up included.
    pub sent: u64,
    /// Complete answers with status 200.
    pub requests: u64,
    /// Everything else.
    pub errors: u64,
    /// The first of them.
    pub first_error: Option<String>,
    /// Measured time.
    pub seconds: f64,
    /// Complete answers per second.
    pub rps: f64,
    /// From the first byte sent to the last one received, microseconds.
    pub p50_us: f64,
    /// 90th percentile of the same.
    pub p90_us: f64,
    /// 99th percentile of the same.
    pub p99_us: f64,
    /// 99.9th percentile of the same.
    pub p999_us: f64,
    /// Streams: to the first event, median, microseconds.
    pub ttft_p50_us: Option<f64>,
    /// Streams: to the first event, 99th percentile, microseconds.
    pub ttft_p99_us: Option<f64>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to send.
    #[error("no bodies, or no connections")]
    Nothing,
    /// No runtime, no such core, or no connection.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What the connections share; they run on one thread.
struct Run {
    spec: Spec,
    requests: Vec<Bytes>,
    next: usize,
    sent: u64,
    /// Measured requests that may still be sent.
    left: u64,
    measured_from: Instant,
    until: Option<Instant>,
    last: Instant,
    totals: Samples,
    first_events: Samples,
    errors: u64,
    first_error: Option<String>,
    failures: u32,
}

/// Sends load from a thread of its own and waits for its end.
///
/// # Errors
/// If there is nothing to send or nobody to send it to. Bad answers are counted, not raised.
pub fn run(spec: Spec) -> Result<Report, Error> {
    if spec.bodies.is_empty() || spec.connections == 0 {
        return Err(Error::Nothing);
    }
    let thread = std::thread::Builder::new().name("load".to_owned()).spawn(move || {
        if let Some(core) = spec.core {
            process::pin(core)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, generate(spec))
    })?;
    thread.join().unwrap_or_else(|_| Err(Error::Io(io::Error::other("the load generator panicked"))))
}

async fn generate(spec: Spec) -> Result<Report, Error> {
    let mut connections = Vec::with_capacity(spec.connections);
    for _ in 0..spec.connections {
        connections.push(Connection::open(spec.address).await?);
    }
    let requests = spec.bodies.iter().map(|body| request(&spec, body)).collect();
    let measured_from = Instant::now() + spec.warm_up;
    let (left, until) = match spec.limit {
        Limit::Duration(duration) => (u64::MAX, Some(measured_from + duration)),
        Limit::Requests(requests) => (requests, None),
    };
    let run = Rc::new(RefCell::new(Run {
        spec,
        requests,
        next: 0,
        sent: 0,
        left,
        measured_from,
        until,
        last: measured_from,
        totals: Samples::default(),
        first_events: Samples::default(),
        errors: 0,
        first_error: None,
        failures: 0,
    }));
    let tasks: Vec<_> = connections.into_iter().map(|connection| tokio::task::spawn_local(drive(Rc::clone(&run), connection))).collect();
    for task in tasks {
        task.await.map_err(io::Error::other)?;
    }
    Ok(run.borrow_mut().report())
}

async fn drive(run: Rc<RefCell<Run>>, mut connection: Connection) {
    let (address, stream) = (run.borrow().spec.address, run.borrow().spec.stream);
    loop {
        let started = Instant::now();
        let Some((request, measured)) = run.borrow_mut().next(started) else { return };
        let answer = tokio::time::timeout(TIMEOUT, connection.exchange(&request, stream, started)).await;
        let answer = answer.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no whole answer in time")));
        let reusable = answer.as_ref().is_ok_and(|answer| answer.reusable);
        if !run.borrow_mut().book(answer, measured) {
            return;
        }
        if !reusable {
            match Connection::open(address).await {
                Ok(opened) => connection = opened,
                Err(error) => {
                    if !run.borrow_mut().book(Err(error), measured) {
                        return;
                    }
                }
            }
        }
    }
}

impl Run {
    /// The next request and whether it is measured; `None` at the end.
    fn next(&mut self, now: Instant) -> Option<(Bytes, bool)> {
        let measured = now >= self.measured_from;
        if self.until.is_some_and(|until| now >= until) || (measured && self.left == 0) {
            return None;
        }
        self.left -= u64::from(measured);
        self.sent += 1;
        let index = self.next;
        self.next = (index + 1) % self.requests.len();
        Some((self.requests[index].clone(), measured))
    }

    /// Counts an answer; false if there were too many failures in a row.
    fn book(&mut self, answer: io::Result<Answer>, measured: bool) -> bool {
        let error = match &answer {
            Ok(answer) if answer.status != 200 => Some(format!("status {}", answer.status)),
            Ok(answer) if !answer.whole => Some("a stream without [DONE]".to_owned()),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        self.failures = if answer.is_err() { self.failures + 1 } else { 0 };
        self.last = Instant::now();
        match (error, answer) {
            (None, Ok(answer)) if measured => {
                self.totals.add(answer.total);
                if let Some(first_event) = answer.first_event {
                    self.first_events.add(first_event);
                }
            }
            (Some(error), _) => {
                self.errors += 1;
                self.first_error.get_or_insert(error);
            }
            _ => {}
        }
        self.failures < MAX_FAILURES
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn report(&mut self) -> Report {
        let seconds = self.last.saturating_duration_since(self.measured_from).as_secs_f64();
        let requests = self.totals.count();
        let [p50_us, p90_us, p99_us, p999_us] = self.totals.percentiles_us([0.5, 0.9, 0.99, 0.999]);
        let first_events = (self.first_events.count() > 0).then(|| self.first_events.percentiles_us([0.5, 0.99]));
        Report {
            sent: self.sent,
            requests,
            errors: self.errors,
            first_error: self.first_error.take(),
            seconds,
            rps: if seconds > 0.0 { requests as f64 / seconds } else { 0.0 },
            p50_us,
            p90_us,
            p99_us,
            p999_us,
            ttft_p50_us: first_events.map(|[p50, _]| p50),
            ttft_p99_us: first_events.map(|[_, p99]| p99),
        }
    }
}

/// A whole request: head and body in one piece.
fn request(spec: &Spec, body: &[u8]) -> Bytes {
    let mut head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        spec.path,
        spec.address,
        body.len()
    );
    for (name, value) in &spec.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat().into()
}

struct Answer {
    status: u16,
    total: Duration,
    first_event: Option<Duration>,
    /// Not a stream, or a stream that ended with `[DONE]`.
    whole: bool,
    reusable: bool,
}

struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

/// How an answer's body ends.
enum Framing {
    Length(usize),
    Chunked,
}

impl Connection {
    async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(16 << 10) })
    }

    async fn exchange(&mut self, request: &[u8], stream: bool, started: Instant) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        let (status, framing, reusable) = self.head().await?;
        let mut body = BodyWatch { started, first_event: None, tail: Vec::new() };
        match framing {
            Framing::Length(length) => self.pass(length, &mut body).await?,
            Framing::Chunked => loop {
                let size = self.chunk_size().await?;
                self.pass(size, &mut body).await?;
                self.line_end().await?;
                if size == 0 {
                    break;
                }
            },
        }
        Ok(Answer { status, total: started.elapsed(), first_event: body.first_event, whole: !stream || body.tail == DONE, reusable })
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed within an answer")),
            _ => Ok(()),
        }
    }

    async fn head(&mut self) -> io::Result<(u16, Framing, bool)> {
        loop {
            if !self.buffer.is_empty() {
                let mut headers = [httparse::EMPTY_HEADER; 64];
                let mut response = httparse::Response::new(&mut headers);
                if let httparse::Status::Complete(length) = response.parse(&self.buffer).map_err(io::Error::other)? {
                    let header = |name: &str| {
                        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
                        std::str::from_utf8(found.value).ok()
                    };
                    let framing = match header("content-length") {
                        Some(length) => Framing::Length(length.trim().parse().map_err(io::Error::other)?),
                        None if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) => Framing::Chunked,
                        None => return Err(io::Error::other("an answer without content-length that is not chunked")),
                    };
                    let reusable = !header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                    let status = response.code.unwrap_or(0);
                    self.buffer.advance(length);
                    return Ok((status, framing, reusable));
                }
            }
            self.fill().await?;
        }
    }

    async fn chunk_size(&mut self) -> io::Result<usize> {
        loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((length, size))) => {
                    self.buffer.advance(length);
                    return usize::try_from(size).map_err(io::Error::other);
                }
                Ok(httparse::Status::Partial) => self.fill().await?,
                Err(_) => return Err(io::Error::other("a chunk without size")),
            }
        }
    }

    async fn line_end(&mut self) -> io::Result<()> {
        while self.buffer.len() < 2 {
            self.fill().await?;
        }
        self.buffer.advance(2);
        Ok(())
    }

    async fn pass(&mut self, mut length: usize, body: &mut BodyWatch) -> io::Result<()> {
        while length > 0 {
            if self.buffer.is_empty() {
                self.fill().await?;
            }
            let part = length.min(self.buffer.len());
            body.see(&self.buffer[..part]);
            self.buffer.advance(part);
            length -= part;
        }
        Ok(())
    }
}

/// What must be known of a body: when its first event came, and how it ended.
struct BodyWatch {
    started: Instant,
    first_event: Option<Duration>,
    /// The last bytes, as many as `DONE` has.
    tail: Vec<u8>,
}

impl BodyWatch {
    fn see(&mut self, bytes: &[u8]) {
        if self.first_event.is_none() && bytes.starts_with(b"data:") {
            self.first_event = Some(self.started.elapsed());
        }
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(DONE.len())..]);
        self.tail.drain(..self.tail.len().saturating_sub(DONE.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        load::bodies,
        simulator::{Flags, Settings, Simulator, Totals},
    };
    use tokio::sync::oneshot;

    fn against(fail: &[&str], change: impl FnOnce(Spec) -> Spec) -> (Report, Totals) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let flags = Flags { fail: fail.iter().map(|&fault| fault.to_owned()).collect(), ..Flags::default() };
        let simulator = runtime.block_on(Simulator::bind(Settings::try_from(flags).unwrap())).unwrap();
        let spec = Spec {
            address: simulator.address(),
            path: "/v1/chat/completions".to_owned(),
            headers: Vec::new(),
            bodies: bodies::named(&bodies::seeded(1, 20, 16), "small"),
            connections: 4,
            stream: false,
            warm_up: Duration::ZERO,
            limit: Limit::Requests(100),
            core: None,
        };
        let (stop, stopped) = oneshot::channel();
        let served = runtime.spawn(simulator.serve(async { stopped.await.unwrap_or(()) }));
        let report = run(change(spec)).unwrap();
        stop.send(()).unwrap();
        (report, runtime.block_on(served).unwrap())
    }

    #[test]
    fn every_answer_is_counted_and_timed_once() {
        let (report, totals) = against(&[], |spec| spec);
        assert_eq!((report.sent, report.requests, report.errors, totals.all.answers), (100, 100, 0, 100));
        assert!(report.rps > 0.0 && report.p50_us > 0.0 && report.p50_us <= report.p99_us && report.p99_us <= report.p999_us);
        assert_eq!(report.ttft_p50_us, None);
    }

    #[test]
    fn streams_are_read_to_their_end_and_their_first_event_is_timed() {
        let (report, totals) = against(&[], |spec| Spec { bodies: bodies::streamed(&spec.bodies), stream: true, ..spec });
        assert_eq!((report.requests, report.errors, totals.all.answers), (100, 0, 100));
        assert!(report.ttft_p50_us.unwrap() <= report.p50_us);
    }

    #[test]
    fn errors_are_counted_and_the_first_one_kept() {
        let (report, _) = against(&["status=503:0.5"], |spec| spec);
        assert_eq!(report.requests + report.errors, 100);
        assert!((20..80).contains(&report.errors), "{report:?}");
        assert_eq!(report.first_error.as_deref(), Some("status 503"));
        let (report, _) = against(&["reset:1:times=3"], |spec| spec);
        assert_eq!((report.requests, report.errors), (97, 3));
        let (report, _) = against(&["reset-after=3"], |spec| Spec { bodies: bodies::streamed(&spec.bodies), stream: true, ..spec });
        assert_eq!(report.requests, 0);
    }

    #[test]
    fn a_run_can_be_limited_by_time() {
        let (report, _) =
            against(&[], |spec| Spec { limit: Limit::Duration(Duration::from_millis(30)), warm_up: Duration::from_millis(10), ..spec });
        assert!(report.requests > 0 && report.errors == 0, "{report:?}");
    }

    #[test]
    fn nobody_to_send_to_is_an_error() {
        let spec = Spec {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            path: "/".to_owned(),
            headers: Vec::new(),
            bodies: vec![b"{}".to_vec()],
            connections: 1,
            stream: false,
            warm_up: Duration::ZERO,
            limit: Limit::Requests(1),
            core: None,
        };
        assert!(matches!(run(spec.clone()), Err(Error::Io(_))));
        assert!(matches!(run(Spec { bodies: Vec::new(), ..spec }), Err(Error::Nothing)));
    }
}
