//! The simulator over real connections.

use std::{net::SocketAddr, path::Path};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::oneshot, task::JoinHandle};

use super::{Flags, Settings, Simulator, Totals};

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Totals>,
}

impl Running {
    async fn start(flags: Flags) -> Self {
        let simulator = Simulator::bind(Settings::try_from(flags).unwrap()).await.unwrap();
        let address = simulator.address();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(simulator.serve(async { stopped.await.unwrap_or(()) }));
        Self { address, stop, served }
    }

    async fn stop(self) -> Totals {
        self.stop.send(()).unwrap();
        self.served.await.unwrap()
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> hyper::Result<Response<Incoming>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request =
            Request::builder().method(method).uri(path).header("host", "simulator").body(Full::new(Bytes::from(body.to_string()))).unwrap();
        sender.send_request(request).await
    }

    async fn chat(&self, body: Value) -> hyper::Result<Response<Incoming>> {
        self.send("POST", "/v1/chat/completions", &body).await
    }

    async fn get(&self, path: &str) -> Value {
        read(self.send("GET", path, &Value::Null).await.unwrap()).await
    }
}

async fn read(response: Response<Incoming>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

/// The data events of a stream, `[DONE]` included, and whether it ended as a stream should.
async fn events(response: Response<Incoming>) -> (Vec<String>, bool) {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    let whole = loop {
        match body.frame().await {
            Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().unwrap()),
            Some(Err(_)) => break false,
            None => break true,
        }
    };
    let text = String::from_utf8(bytes).unwrap();
    (text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).map(str::to_owned).collect(), whole)
}

fn lines(log: &Path) -> Vec<Value> {
    std::fs::read_to_string(log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ask(prompt: &str) -> Value {
    json!({"model": "small", "messages": [{"role": "user", "content": prompt}]})
}

fn ask_stream(prompt: &str, usage: bool) -> Value {
    let mut body = ask(prompt);
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": usage});
    body
}

fn failing(fault: &str, log: &Path) -> Flags {
    Flags { fail: vec![fault.to_owned()], log: Some(log.to_owned()), ..Flags::default() }
}

#[tokio::test]
async fn an_answer_its_log_line_and_the_totals_agree_to_the_nano_dollar() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    let simulator = Running::start(Flags { log: Some(log.clone()), models: "small:0.1:0.4:0.01".into(), ..Flags::default() }).await;
    let body = json!({"model": "small", "user": "me", "messages": [{"role": "system", "content": "four"}, {"role": "user", "content": "Tell me of the tide."}]});
    let answer = read(simulator.chat(body).await.unwrap()).await;
    let usage = &answer["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["prompt_tokens_details"]["cached_tokens"]), (&json!(6), &json!(1)));
    let completion = usage["completion_tokens"].as_i64().unwrap();
    let cost = (5 * 100_000_000 + 10_000_000 + completion * 400_000_000) / 1_000_000;
    let line = &lines(&log)[0];
    assert_eq!(
        (&line["id"], &line["user"], &line["cost_nanousd"], &line["complete"]),
        (&answer["id"], &json!("me"), &json!(cost), &json!(true))
    );
    assert_eq!(simulator.get("/_stats").await["models"]["small"]["cost_nanousd"], json!(cost));
    let totals = simulator.stop().await;
    assert_eq!((totals.all.requests, totals.all.in_flight, totals.all.answers, totals.all.cost_nanousd), (1, 0, 1, cost));
}

#[tokio::test]
async fn a_stream_joins_to_the_unary_answer_and_has_usage_only_where_asked() {
    let simulator = Running::start(Flags::default()).await;
    let unary = read(simulator.chat(ask("hello")).await.unwrap()).await;
    for usage in [false, true] {
        let response = simulator.chat(ask_stream("hello", usage)).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let (events, whole) = events(response).await;
        assert!(whole);
        let (last, chunks) = events.split_last().unwrap();
        assert_eq!(last, "[DONE]");
        let mut chunks: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
        if usage {
            let chunk = chunks.pop().unwrap();
            assert_eq!((&chunk["usage"], &chunk["choices"]), (&unary["usage"], &json!([])));
        }
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
        let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(json!(text), unary["choices"][0]["message"]["content"]);
        assert!(chunks.iter().all(|chunk| chunk.get("usage").is_some() == usage));
    }
    simulator.stop().await;
}

#[tokio::test]
async fn a_streamed_tool_call_joins_to_json_and_two_choices_go_side_by_side() {
    let simulator = Running::start(Flags::default()).await;
    let mut body = ask_stream("Call the tool, please.", false);
    body["tools"] = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}}}]);
    body["n"] = json!(2);
    let (events, _) = events(simulator.chat(body).await.unwrap()).await;
    for choice in 0..2 {
        let deltas: Vec<Value> = events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(event).ok())
            .filter(|chunk| chunk["choices"][0]["index"] == choice)
            .map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["function"].clone())
            .collect();
        assert_eq!(deltas.iter().find_map(|call| call["name"].as_str()), Some("look"));
        let arguments: String = deltas.iter().filter_map(|call| call["arguments"].as_str()).collect();
        assert_eq!(arguments, r#"{"place":"simulated"}"#);
    }
    simulator.stop().await;
}

#[tokio::test]
async fn what_is_not_served_is_refused_in_openais_shape() {
    let simulator = Running::start(Flags { api_key: Some("open".into()), ..Flags::default() }).await;
    let response = simulator.chat(ask("hi")).await.unwrap();
    assert_eq!((response.status().as_u16(), &read(response).await["error"]["code"]), (401, &json!("invalid_api_key")));
    simulator.stop().await;
    let simulator = Running::start(Flags::default()).await;
    for (path, body, status, code) in [
        ("/v1/chat/completions", json!({"model": "nobody", "messages": [{"role": "user", "content": "x"}]}), 404, "model_not_found"),
        ("/v1/chat/completions", json!({"model": "small"}), 400, "invalid_request"),
        ("/v1/embeddings", json!({}), 404, "not_found"),
    ] {
        let response = simulator.send("POST", path, &body).await.unwrap();
        assert_eq!((response.status().as_u16(), &read(response).await["error"]["code"]), (status, &json!(code)));
    }
    assert_eq!(simulator.get("/v1/models").await["data"][1]["id"], "large");
    assert_eq!(simulator.stop().await.all.requests, 0);
}

#[tokio::test]
async fn a_status_fault_strikes_as_often_as_asked_and_says_when_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    let simulator = Running::start(failing("status=429:1:retry-after=2:times=1:model=small", &log)).await;
    let refused = simulator.chat(ask("hi")).await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &http::HeaderValue::from_static("2")));
    assert_eq!(simulator.chat(ask("hi")).await.unwrap().status(), 200);
    simulator.stop().await;
    assert_eq!(lines(&log).iter().map(|line| line["status"].clone()).collect::<Vec<_>>(), [429, 200]);
}

#[tokio::test]
async fn a_reset_stream_is_a_prefix_and_is_not_billed() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    let simulator = Running::start(failing("reset-after=5", &log)).await;
    let (events, whole) = events(simulator.chat(ask_stream("hi", true)).await.unwrap()).await;
    assert_eq!((events.len(), whole), (5, false));
    assert!(simulator.chat(ask("hi")).await.is_err());
    let totals = simulator.stop().await;
    assert_eq!((totals.all.requests, totals.all.answers, totals.all.cost_nanousd), (2, 0, 0));
    let lines = lines(&log);
    assert_eq!((&lines[0]["complete"], &lines[0]["chunks"], &lines[0]["cost_nanousd"]), (&json!(false), &json!(5), &json!(0)));
}

#[tokio::test]
async fn a_caller_that_leaves_a_stalled_call_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    let simulator = Running::start(failing("stall-after=2", &log)).await;
    let mut response = simulator.chat(ask_stream("hi", true)).await.unwrap();
    let mut seen = 0;
    while seen < 2 {
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        seen += frame.data_ref().unwrap().windows(6).filter(|window| window == b"data: ").count();
    }
    assert_eq!(simulator.get("/_stats").await["in_flight"], 1);
    drop(response);
    while simulator.get("/_stats").await["in_flight"] != 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(lines(&log)[0]["complete"], false);
    simulator.stop().await;
}

#[tokio::test]
async fn no_token_comes_before_its_time() {
    let simulator = Running::start(Flags { first_token_ms: 30, token_rate: 500.0, ..Flags::default() }).await;
    for body in [ask("hi"), ask_stream("hi", false)] {
        let started = std::time::Instant::now();
        let response = simulator.chat(body).await.unwrap();
        response.into_body().collect().await.unwrap();
        let tokens = simulator.get("/_stats").await["completion_tokens"].as_u64().unwrap()
            / simulator.get("/_stats").await["answers"].as_u64().unwrap();
        let least = std::time::Duration::from_millis(30 + 2 * (tokens - 1));
        assert!(started.elapsed() >= least, "{:?} for {tokens} tokens", started.elapsed());
    }
    simulator.stop().await;
}

#[tokio::test]
async fn a_simulator_that_stops_lets_its_answers_end() {
    let simulator = Running::start(Flags { first_token_ms: 100, ..Flags::default() }).await;
    let mut response = simulator.chat(ask_stream("hi", true)).await.unwrap();
    let totals = simulator.stop();
    let ended = async {
        while let Some(frame) = response.body_mut().frame().await {
            frame.unwrap();
        }
    };
    let (totals, ()) = tokio::join!(totals, ended);
    assert_eq!(totals.all.answers, 1);
}
