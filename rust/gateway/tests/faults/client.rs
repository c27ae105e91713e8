//! Calls as a client makes them, and what came of each.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinHandle};

/// A call and what the client has seen of its answer.
pub struct Seen {
    /// The `user` of its body, by which the simulators' logs know it.
    pub user: String,
    pub status: u16,
    headers: HeaderMap,
    /// Data events of a stream, or the one document of a unary answer.
    pub events: Vec<Value>,
    /// `[DONE]` came, or the answer was unary.
    pub done: bool,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The id that the upstream gave its answer.
    pub fn answer(&self) -> &str {
        self.events[0]["id"].as_str().unwrap()
    }

    pub fn text(&self) -> String {
        self.events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["content"].as_str().or(event["choices"][0]["message"]["content"].as_str()))
            .collect()
    }

    /// The code of the error event at the end.
    pub fn error(&self) -> Option<&str> {
        self.events.last()?["error"]["code"].as_str()
    }
}

/// How a call asks for its answer.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Unary,
    Stream,
    StreamWithUsage,
}

/// A call that is under way.
pub struct Open {
    user: String,
    response: Response<Incoming>,
    bytes: Vec<u8>,
}

impl Open {
    pub async fn start(gateway: SocketAddr, user: &str, kind: Kind) -> Self {
        let mut body =
            json!({"model": "auto", "user": user, "messages": [{"role": "user", "content": format!("Tell me a story about {user}.")}]});
        if kind != Kind::Unary {
            body["stream"] = json!(true);
        }
        if kind == Kind::StreamWithUsage {
            body["stream_options"] = json!({"include_usage": true});
        }
        let response = send(gateway, "POST", "/v1/chat/completions", &body.to_string()).await;
        Self { user: user.to_owned(), response, bytes: Vec::new() }
    }

    /// Reads until this many data events are there.
    pub async fn read_events(&mut self, count: usize) {
        while self.bytes.windows(6).filter(|window| window == b"data: ").count() < count {
            let frame = self.response.body_mut().frame().await.expect("the stream ended").unwrap();
            self.bytes.extend_from_slice(frame.data_ref().unwrap());
        }
    }

    pub async fn finish(mut self) -> Seen {
        while let Some(frame) = self.response.body_mut().frame().await {
            self.bytes.extend_from_slice(frame.expect("the gateway broke off").data_ref().unwrap());
        }
        let (head, _) = self.response.into_parts();
        let text = String::from_utf8(self.bytes).unwrap();
        let stream = head.headers["content-type"].as_bytes().starts_with(b"text/event-stream");
        let events: Vec<&str> =
            if stream { text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect() } else { vec![&text] };
        let done = !stream || events.last() == Some(&"[DONE]");
        let events = events.into_iter().filter(|event| *event != "[DONE]").map(|event| serde_json::from_str(event).unwrap()).collect();
        Seen { user: self.user, status: head.status.as_u16(), headers: head.headers, events, done }
    }
}

pub async fn get(address: SocketAddr, path: &str) -> Value {
    let body = send(address, "GET", path, "").await.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

async fn send(address: SocketAddr, method: &str, path: &str, body: &str) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::builder().method(method).uri(path).header("host", address.to_string()).header("content-type", "application/json");
    sender.send_request(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()).await.unwrap()
}

/// The results of tasks, in their order.
pub async fn all<T>(tasks: impl Iterator<Item = JoinHandle<T>>) -> Vec<T> {
    let tasks: Vec<_> = tasks.collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}
