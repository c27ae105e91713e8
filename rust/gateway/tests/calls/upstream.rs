//! An upstream that plays a scene per request, byte for byte.

use std::{
    io::ErrorKind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
};

/// What is played to one request.
#[derive(Clone, Debug)]
pub enum Scene {
    /// A whole answer; the connection is kept.
    Answer(u16, &'static str, String),
    /// A stream of these chunks; the connection is kept.
    Stream(Vec<String>),
    /// A stream of these chunks, then the connection is reset.
    Torn(Vec<String>),
    /// A stream of these chunks, then silence.
    Silent(Vec<String>),
    /// A stream, each chunk of which is asked for by the test.
    Asked(Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>>),
    /// A whole answer, not a byte of which goes out before the test asks for it; the connection is kept.
    Held(Arc<Notify>, String),
    /// The connection is closed without a byte.
    Hang,
    /// The head of an answer and half of its body.
    Half,
    /// An answer, after which the connection is closed though it was promised to be kept.
    AnswerAndClose(String),
}

/// An upstream and what it was asked.
pub struct Upstream {
    pub url: String,
    pub connections: Arc<AtomicUsize>,
    /// Woken whenever a request has been read.
    pub asked: Arc<Notify>,
    /// Woken when a caller has hung up on a silent stream, or before an answer.
    pub left: Arc<Notify>,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Upstream {
    /// Plays `scenes` in their order, the last one again and again.
    pub async fn start(scenes: Vec<Scene>) -> Self {
        Self::at("127.0.0.1:0", scenes).await
    }

    /// The same at an address.
    pub async fn at(address: &str, scenes: Vec<Scene>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let upstream = Self { url, connections: Arc::default(), asked: Arc::default(), left: Arc::default(), requests: Arc::default() };
        let (connections, asked, left, requests) =
            (Arc::clone(&upstream.connections), Arc::clone(&upstream.asked), Arc::clone(&upstream.left), Arc::clone(&upstream.requests));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let stage =
                    Stage { scenes: scenes.clone(), asked: Arc::clone(&asked), left: Arc::clone(&left), requests: Arc::clone(&requests) };
                tokio::spawn(stage.connection(stream));
            }
        });
        upstream
    }

    /// Bodies, as they came.
    pub fn bodies(&self) -> Vec<Value> {
        self.requests.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    /// Heads, as they came.
    pub fn heads(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(head, _)| head.clone()).collect()
    }
}

struct Stage {
    scenes: Vec<Scene>,
    asked: Arc<Notify>,
    left: Arc<Notify>,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Stage {
    async fn connection(self, mut stream: TcpStream) {
        while let Some((head, body)) = request(&mut stream).await {
            let at = {
                let mut requests = self.requests.lock().unwrap();
                requests.push((head, serde_json::from_slice(&body).unwrap()));
                requests.len() - 1
            };
            self.asked.notify_one();
            let scene = self.scenes[at.min(self.scenes.len() - 1)].clone();
            if !self.play(scene, &mut stream).await {
                return;
            }
        }
    }

    /// Whether the connection goes on.
    async fn play(&self, scene: Scene, stream: &mut TcpStream) -> bool {
        match scene {
            Scene::Answer(status, headers, body) => {
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.is_ok()
            }
            Scene::AnswerAndClose(body) => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
                false
            }
            Scene::Stream(chunks) => {
                begin(stream).await;
                for chunk in chunks {
                    send(stream, &chunk).await;
                }
                stream.write_all(b"0\r\n\r\n").await.is_ok()
            }
            Scene::Torn(chunks) => {
                begin(stream).await;
                for chunk in chunks {
                    send(stream, &chunk).await;
                }
                false
            }
            Scene::Silent(chunks) => {
                begin(stream).await;
                for chunk in chunks {
                    send(stream, &chunk).await;
                }
                self.until_left(stream).await;
                false
            }
            Scene::Asked(chunks) => {
                begin(stream).await;
                let mut chunks = chunks.lock().await;
                while let Some(chunk) = chunks.recv().await {
                    send(stream, &chunk).await;
                }
                stream.write_all(b"0\r\n\r\n").await.is_ok()
            }
            Scene::Held(asked, body) => {
                asked.notified().await;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.is_ok()
            }
            Scene::Hang => {
                self.until_left(stream).await;
                false
            }
            Scene::Half => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"choices\":[")
                    .await
                    .unwrap();
                false
            }
        }
    }

    async fn until_left(&self, stream: &mut TcpStream) {
        let mut byte = [0];
        loop {
            match stream.read(&mut byte).await {
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                other => assert!(other.is_ok()),
            }
        }
        self.left.notify_one();
    }
}

async fn begin(stream: &mut TcpStream) {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
}

async fn send(stream: &mut TcpStream, chunk: &str) {
    // A caller that has hung up is noticed by whoever reads.
    let _ = stream.write_all(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes()).await;
}

async fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut buffer = Vec::new();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..end].to_vec()).unwrap().to_lowercase();
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    while buffer.len() < end + length {
        stream.read_buf(&mut buffer).await.ok()?;
    }
    Some((head, buffer[end..end + length].to_vec()))
}

/// A unary answer of `text`, with usage.
pub fn unary(text: &str, input: u32, output: u32) -> Scene {
    Scene::Answer(200, "", unary_body(text, input, output))
}

pub fn unary_body(text: &str, input: u32, output: u32) -> String {
    format!(
        r#"{{"id":"x","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{}}}}}"#,
        input + output
    )
}

pub fn status(status: u16, headers: &'static str) -> Scene {
    Scene::Answer(status, headers, r#"{"error":{"message":"no"}}"#.to_owned())
}

/// An event with a word of text.
pub fn word(text: &str) -> String {
    format!("data: {{\"id\":\"x\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}],\"usage\":null}}\n\n")
}

/// The event that carries nothing but usage.
pub fn usage(input: u32, output: u32) -> String {
    format!("data: {{\"id\":\"x\",\"choices\":[],\"usage\":{{\"prompt_tokens\":{input},\"completion_tokens\":{output}}}}}\n\n")
}

pub const DONE: &str = "data: [DONE]\n\n";
