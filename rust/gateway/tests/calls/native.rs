//! The native door: connections, limits, draining, plans that change under load.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tradewind_gateway::{Server, Settings, serve, serve_health};

use crate::{
    gateway::{Gateway, QUESTION, STREAM, plan, plan_of, read},
    upstream::{DONE, Scene, Upstream, unary, word},
};

fn open(gateway: &Gateway) -> Server {
    serve(&gateway.engine, "127.0.0.1:0").unwrap()
}

async fn stop(server: Server) {
    server.shutdown();
    tokio::task::spawn_blocking(|| server.join()).await.unwrap();
}

fn request(body: &str) -> String {
    format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that refuses may stop reading; what it answered is still there.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn ask(address: SocketAddr) -> String {
    talk(address, request(QUESTION).replace("host: x", "host: x\r\nconnection: close").as_bytes()).await
}

#[tokio::test]
async fn a_connection_serves_calls_one_after_the_other_and_many_at_once() {
    let upstream = Upstream::start(vec![unary("blue", 1, 1)]).await;
    let gateway = Gateway::with(&plan(&[&upstream]), |settings| settings.workers = 2);
    let server = open(&gateway);
    let address = server.local_addr;
    let twice = request(QUESTION) + &request(QUESTION).replace("host: x", "host: x\r\nconnection: close");
    assert_eq!(talk(address, twice.as_bytes()).await.matches("HTTP/1.1 200 OK").count(), 2);
    let calls: Vec<_> = (0..50).map(|_| tokio::spawn(ask(address))).collect();
    for call in calls {
        assert!(call.await.unwrap().starts_with("HTTP/1.1 200 OK"));
    }
    stop(server).await;
    assert_eq!(gateway.outcomes().await.len(), 52);
}

#[tokio::test]
async fn limits_hold() {
    let gateway = Gateway::with(&plan_of(&["http://127.0.0.1:1/v1"]), |settings| {
        settings.max_body_bytes = 1000;
        settings.header_read_timeout_ms = 100;
        settings.body_read_timeout_ms = 100;
    });
    let server = open(&gateway);
    let address = server.local_addr;
    let close = |length: usize, more: &str| {
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}content-length: {length}\r\n\r\n")
    };
    let large = talk(address, (close(100_000, "") + &" ".repeat(100_000)).as_bytes()).await;
    assert!(large.starts_with("HTTP/1.1 413") && large.contains(r#""code":"body_too_large""#), "{large}");
    let announced = talk(address, close(100_000, "expect: 100-continue\r\n").as_bytes()).await;
    assert!(announced.starts_with("HTTP/1.1 413"), "{announced}");
    let slow = talk(address, (close(100, "") + "{").as_bytes()).await;
    assert!(slow.starts_with("HTTP/1.1 408") && slow.contains("request_timeout"), "{slow}");
    // A head that never ends, or never begins, costs the connection.
    let begun = talk(address, b"GET /healthz HTTP/1.1\r\nhost: ").await;
    assert!(!begun.contains("200"), "{begun}");
    assert_eq!(talk(address, b"").await, "");
    stop(server).await;
}

#[tokio::test]
async fn a_head_has_as_many_bytes_as_the_setting_says() {
    let gateway = Gateway::with(&plan_of(&["http://127.0.0.1:1/v1"]), |settings| settings.max_header_bytes = 1000);
    let server = open(&gateway);
    let (head, end) = ("GET /healthz?x=y HTTP/1.1\r\nconnection: close\r\nx: ", "\r\n\r\n");
    let sized = |bytes: usize| format!("{head}{}{end}", "y".repeat(bytes - head.len() - end.len()));
    for (bytes, status, part) in [(1000, "HTTP/1.1 200", "ok"), (1001, "HTTP/1.1 431", "head_too_large"), (1900, "HTTP/1.1 431", "1000")] {
        let answer = talk(server.local_addr, sized(bytes).as_bytes()).await;
        assert!(answer.starts_with(status) && answer.contains(part), "{bytes}: {answer}");
    }
    // Far more than that is not even read to its end.
    let endless = talk(server.local_addr, sized(100_000).strip_suffix(end).unwrap().as_bytes()).await;
    assert!(endless.is_empty() || endless.starts_with("HTTP/1.1 431"), "{endless}");
    stop(server).await;
}

#[tokio::test]
async fn other_hosts_are_served_with_keys_only() {
    let gateway = Gateway::with(&plan_of(&["http://127.0.0.1:1/v1"]), |_: &mut Settings| {});
    let error = serve(&gateway.engine, "0.0.0.0:0").err().unwrap();
    assert!(error.to_string().contains("without keys"), "{error}");
    gateway.engine.set_keys(tradewind_gateway::Keys::parse(br#"{"keys":[]}"#).unwrap());
    stop(serve(&gateway.engine, "0.0.0.0:0").unwrap()).await;
}

#[tokio::test]
async fn a_taken_port_is_an_error_however_many_workers_share_one() {
    let gateway = Gateway::with(&plan_of(&["http://127.0.0.1:1/v1"]), |settings| settings.workers = 2);
    let server = open(&gateway);
    assert_eq!(serve(&gateway.engine, &server.local_addr.to_string()).err().unwrap().kind(), std::io::ErrorKind::AddrInUse);
    stop(server).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_the_upstream_call() {
    let upstream = Upstream::start(vec![Scene::Hang, Scene::Silent(vec![word("a")])]).await;
    let gateway = Gateway::new(&[&upstream]);
    let server = open(&gateway);
    let mut waiting = TcpStream::connect(server.local_addr).await.unwrap();
    waiting.write_all(request(QUESTION).as_bytes()).await.unwrap();
    upstream.asked.notified().await;
    drop(waiting);
    upstream.left.notified().await;
    let mut reading = TcpStream::connect(server.local_addr).await.unwrap();
    reading.write_all(request(STREAM).as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(7).any(|window| window == b"content") {
        reading.read_buf(&mut seen).await.unwrap();
    }
    drop(reading);
    upstream.left.notified().await;
    stop(server).await;
    let outcomes = gateway.outcomes().await;
    assert!(outcomes.len() == 2 && outcomes.iter().all(|outcome| outcome["error"] == "client_gone"), "{outcomes:?}");
}

#[tokio::test]
async fn calls_that_are_cut_at_the_end_of_a_drain_are_not_their_clients_doing() {
    let upstream = Upstream::start(vec![Scene::Hang, Scene::Silent(vec![word("a")])]).await;
    let gateway = Gateway::with(&plan(&[&upstream]), |settings| settings.drain_s = 0);
    let server = open(&gateway);
    let address = server.local_addr;
    let waiting = tokio::spawn(async move { talk(address, request(QUESTION).as_bytes()).await });
    upstream.asked.notified().await;
    let reading = tokio::spawn(async move { talk(address, request(STREAM).as_bytes()).await });
    upstream.asked.notified().await;
    stop(server).await;
    let (waiting, reading) = (waiting.await.unwrap(), reading.await.unwrap());
    assert!(waiting.is_empty() && !reading.contains("[DONE]"), "{waiting} {reading}");
    let outcomes = gateway.outcomes().await;
    assert_eq!(outcomes.len(), 2);
    for outcome in outcomes {
        assert_eq!((&outcome["error"], &outcome["attempts"][0]["error"]), (&json!("drain_timeout"), &json!("drain_timeout")), "{outcome}");
    }
}

#[tokio::test]
async fn calls_in_flight_finish_while_nobody_new_is_served() {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::start(vec![Scene::Asked(Arc::new(tokio::sync::Mutex::new(receiver)))]).await;
    let gateway = Gateway::new(&[&upstream]);
    let server = open(&gateway);
    let address = server.local_addr;
    sender.send(word("a")).unwrap();
    let call = tokio::spawn(async move { talk(address, request(STREAM).as_bytes()).await });
    upstream.asked.notified().await;
    server.shutdown();
    let stopped = tokio::task::spawn_blocking(|| server.join());
    while TcpStream::connect(address).await.is_ok() {}
    sender.send(word("b") + DONE).unwrap();
    drop(sender);
    let answer = call.await.unwrap();
    assert!(answer.contains("[DONE]") && !answer.contains("error\":{"), "{answer}");
    stopped.await.unwrap();
}

#[tokio::test]
async fn plans_that_change_under_load_fail_no_call() {
    let (one, two) = (Upstream::start(vec![unary("1", 1, 1)]).await, Upstream::start(vec![unary("2", 1, 1)]).await);
    let gateway = Gateway::with(&plan(&[&one]), |settings| settings.workers = 2);
    let server = open(&gateway);
    let address = server.local_addr;
    let plans = [plan(&[&one]).to_string(), plan(&[&two]).to_string(), json!({}).to_string()];
    let calls: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(async move {
                for _ in 0..50 {
                    assert!(ask(address).await.starts_with("HTTP/1.1 200"));
                }
            })
        })
        .collect();
    let engine = Arc::clone(&gateway.engine);
    let ids: Vec<String> = tokio::task::spawn_blocking(move || {
        (0..60).filter_map(|turn| engine.swap(plans[turn % 3].as_bytes(), "edit").ok()).map(|status| status.plan).collect()
    })
    .await
    .unwrap();
    for call in calls {
        call.await.unwrap();
    }
    stop(server).await;
    let outcomes = gateway.outcomes().await;
    assert!(outcomes.len() == 200 && outcomes.iter().all(|outcome| ids.iter().any(|id| outcome["plan"] == id.as_str())));
}

#[tokio::test]
async fn a_plan_file_is_watched() {
    use tradewind_gateway::plan_source;
    let gateway = Gateway::with(&plan_of(&["http://127.0.0.1:1/v1"]), |_| {});
    let path = gateway.folder.path().join("plan.json");
    std::fs::write(&path, plan_of(&["http://127.0.0.1:2/v1"]).to_string()).unwrap();
    let loaded = plan_source::load(&gateway.engine, &path).unwrap();
    // An edit between the reading and the start of the watch is seen too.
    let before = gateway.get("/plan").await.json();
    std::fs::write(&path, "{").unwrap();
    let watch = plan_source::watch(&gateway.engine, &path, loaded).unwrap();
    let refused = async {
        while gateway.get("/plan").await.json()["refusal"].is_null() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused).await.unwrap();
    assert_eq!(gateway.get("/plan").await.json()["plan"], before["plan"]);
    drop(watch);
}

fn head(name: &str, value: &str) -> String {
    format!("\r\n{name}: {value}\r\n")
}

/// Whether an answer has the length that its head says.
fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() == length.parse::<usize>().unwrap())
}

/// One call after the other over one connection for as long as it is kept, then over another; gives the answers' statuses.
async fn pool_of_one(address: SocketAddr, until: tokio::time::Instant) -> Vec<(String, bool)> {
    let mut answers = Vec::new();
    while tokio::time::Instant::now() < until {
        let mut stream = TcpStream::connect(address).await.unwrap();
        loop {
            stream.write_all(request(QUESTION).as_bytes()).await.unwrap();
            let mut answer = String::new();
            while !is_whole(&answer) {
                let mut more = Vec::new();
                assert_ne!(stream.read_buf(&mut more).await.unwrap(), 0, "cut off after {answer}");
                answer += std::str::from_utf8(&more).unwrap();
            }
            let closes = answer.contains(&head("connection", "close"));
            answers.push((answer[..12].to_owned(), closes));
            if closes || tokio::time::Instant::now() >= until {
                break;
            }
        }
    }
    answers
}

#[tokio::test]
async fn a_gateway_that_leaves_answers_every_call_and_asks_to_close_connections() {
    let upstream = Upstream::start(vec![unary("blue", 1, 1)]).await;
    let gateway = Gateway::with(&plan(&[&upstream]), |settings| settings.workers = 2);
    let server = open(&gateway);
    let address = server.local_addr;
    let end = tokio::time::Instant::now() + Duration::from_millis(600);
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(pool_of_one(address, end))).collect();
    while gateway.engine.calls_in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep_until(end - Duration::from_millis(300)).await;
    gateway.engine.leave();
    assert_eq!((gateway.get("/readyz").await.code(), gateway.get("/healthz").await.status), ("draining".to_owned(), 200));
    let mut answers = Vec::new();
    for client in clients {
        answers.extend(client.await.unwrap());
    }
    assert!(answers.iter().all(|(status, _)| status == "HTTP/1.1 200"), "{answers:?}");
    assert!(answers.iter().any(|(_, closes)| *closes) && answers.iter().any(|(_, closes)| !closes));
    stop(server).await;
}

/// A stream that began before the gateway left, and ends when it drains: nobody has told its client that the connection closes.
#[tokio::test]
async fn whoever_was_promised_that_its_connection_stays_may_ask_once_more() {
    for (linger_s, answered) in [(0, false), (600, true)] {
        let (chunks, asked) = mpsc::unbounded_channel();
        let stream = Scene::Asked(Arc::new(tokio::sync::Mutex::new(asked)));
        let upstream = Upstream::start(vec![stream, unary("blue", 1, 1)]).await;
        let gateway = Gateway::with(&plan(&[&upstream]), |settings| settings.linger_s = linger_s);
        let server = open(&gateway);
        let mut client = TcpStream::connect(server.local_addr).await.unwrap();
        client.write_all(request(STREAM).as_bytes()).await.unwrap();
        chunks.send(word("a")).unwrap();
        let mut first = vec![0; 12];
        client.read_exact(&mut first).await.unwrap();
        assert_eq!(first, b"HTTP/1.1 200");

        gateway.engine.leave();
        server.shutdown();
        let ended = tokio::task::spawn_blocking(|| server.join());
        chunks.send(DONE.to_owned()).unwrap();
        drop(chunks);
        let mut rest = Vec::new();
        while !rest.ends_with(b"0\r\n\r\n") {
            assert_ne!(client.read_buf(&mut rest).await.unwrap(), 0, "{}", String::from_utf8_lossy(&rest));
        }
        let mut answer = Vec::new();
        let _ = client.write_all(request(QUESTION).as_bytes()).await;
        let _ = client.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(answer.starts_with("HTTP/1.1 200") && answer.contains(&head("connection", "close")), answered, "{answer}");
        ended.await.unwrap();
    }
}

#[tokio::test]
async fn whoever_has_connected_before_the_listener_closes_is_answered() {
    let upstream = Upstream::start(vec![unary("blue", 1, 1)]).await;
    let gateway = Gateway::new(&[&upstream]);
    let server = open(&gateway);
    let address = server.local_addr;
    let mut new = Vec::new();
    for _ in 0..20 {
        new.push(TcpStream::connect(address).await.unwrap());
    }
    let stopped = tokio::task::spawn_blocking(move || {
        server.shutdown();
        server.join();
    });
    while TcpStream::connect(address).await.is_ok() {}
    for mut stream in new {
        stream.write_all(request(QUESTION).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    stopped.await.unwrap();
}

#[tokio::test]
async fn health_is_told_on_a_port_of_its_own_until_the_end() {
    let gateway = Gateway::with(&plan_of(&["http://127.0.0.1:1/v1"]), |settings| settings.startup_wait_s = 0);
    let server = open(&gateway);
    let health = serve_health(&gateway.engine, "127.0.0.1:0").unwrap();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    for (path, part) in
        [("/healthz", "ok"), ("/readyz", "ready"), ("/startupz", "started"), ("/metrics", "tradewind_"), ("/plan", "sha256")]
    {
        let answer = talk(health.local_addr, get(path).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(part), "{answer}");
    }
    let other = talk(health.local_addr, get("/v1/models").as_bytes()).await;
    assert!(other.starts_with("HTTP/1.1 404") && other.contains("GET /startupz") && !other.contains("/v1/chat"), "{other}");
    let call = talk(health.local_addr, request(QUESTION).replace("host: x", "host: x\r\nconnection: close").as_bytes()).await;
    assert!(call.starts_with("HTTP/1.1 404"), "{call}");
    stop(server).await;
    let answer = talk(health.local_addr, get("/readyz").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("draining"), "{answer}");
}

#[tokio::test]
async fn a_start_is_over_with_a_plan_or_when_it_was_waited_for() {
    let empty = |startup_wait_s| {
        let settings = Settings { startup_wait_s, ..Settings::default() };
        tradewind_gateway::Engine::new(settings, tradewind_core::plan::Predictors::new()).unwrap()
    };
    let startupz = async |engine: &Arc<tradewind_gateway::Engine>| {
        let request = http::Request::get("/startupz").body(bytes::Bytes::new()).unwrap();
        read(engine.handle(request, tradewind_gateway::Peer::default()).await).await
    };
    assert_eq!(startupz(&empty(1000)).await.code(), "no_plan");
    assert_eq!(startupz(&empty(0)).await.json(), json!({"status": "started", "plan": null}));
    let gateway = Gateway::with(&plan_of(&["http://127.0.0.1:1/v1"]), |settings| settings.startup_wait_s = 1000);
    assert_eq!(startupz(&gateway.engine).await.status, 200);
}
