//! Upstreams and the gateway as processes of their own.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tradewind_core::{digest, plan::source::SCHEMA, predict::tiny};

/// Prices in nano-dollars per million tokens; odd, so that a wrong sum does not look right.
const PRICES: (i64, i64) = (123_456_789, 987_654_321);

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tradewind-gateway"))
}

/// A simulator that serves one model, named as its place in the tests.
pub struct Upstream {
    child: Child,
    killed: bool,
    pub name: String,
    pub address: SocketAddr,
    log: PathBuf,
}

impl Upstream {
    pub fn start(folder: &Path, name: &str, flags: &[&str]) -> Self {
        let log = folder.join(format!("{name}.jsonl"));
        let usd = |price: i64| format!("{}.{:09}", price / 1_000_000_000, price % 1_000_000_000);
        let models = format!("{name}:{}:{}", usd(PRICES.0), usd(PRICES.1));
        let mut child = binary()
            .args(["simulate", "--models", &models, "--log"])
            .arg(&log)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let url = ready.as_object().unwrap().values().find_map(|value| value.as_str()?.strip_prefix("http://")).unwrap();
        Self { child, killed: false, name: name.to_owned(), address: url.parse().unwrap(), log }
    }

    /// SIGKILL: the process writes, closes and says nothing more.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.killed = true;
    }

    pub fn is_alive(&self) -> bool {
        !self.killed
    }

    pub fn log(&self) -> Vec<Value> {
        lines(&self.log)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A gateway that serves a plan from a file.
pub struct Gateway {
    child: Child,
    pub address: SocketAddr,
    folder: PathBuf,
}

impl Gateway {
    pub fn start(folder: &Path, plan: &Value) -> Self {
        Self::start_with(folder, plan, &[])
    }

    /// With variables of the environment.
    pub fn start_with(folder: &Path, plan: &Value, variables: &[(&str, &Path)]) -> Self {
        write_plan(folder, &plan.to_string());
        let predictor = folder.join("predictor.onnx");
        fs::write(&predictor, tiny(|_, _| ())).unwrap();
        let mut child = binary()
            .args(["serve", "--listen", "127.0.0.1:0", "--plan"])
            .arg(folder.join("plan.json"))
            .arg("--predictor")
            .arg(predictor)
            .arg("--ledger-dir")
            .arg(folder.join("ledger"))
            .env("TRADEWIND_LOG_LEVEL", "info")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = log.by_ref().map(Result::unwrap).find_map(|line| {
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            said.push(line);
            (event["message"] == "listening").then(|| event["address"].as_str().unwrap().parse().unwrap())
        });
        let Some(address) = address else { panic!("the gateway did not start: {said:#?}") };
        // Read to the end: a full pipe would block the gateway.
        thread::spawn(move || log.for_each(drop));
        Self { child, address, folder: folder.to_owned() }
    }

    /// SIGTERM: calls in flight end, outcomes are written. Gives the ledger.
    pub fn stop(mut self) -> Vec<Value> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        let mut files: Vec<PathBuf> = fs::read_dir(self.folder.join("ledger")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "jsonl")).flat_map(|file| lines(file)).collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Puts a plan in place at once, as an editor does.
pub fn write_plan(folder: &Path, plan: &str) {
    let draft = folder.join("plan.json.draft");
    fs::write(&draft, plan).unwrap();
    fs::rename(draft, folder.join("plan.json")).unwrap();
}

/// A plan over upstreams, the first one preferred; `answers` only makes its id differ.
pub fn plan(upstreams: &[&Upstream], answers: u64) -> Value {
    let named: Vec<(&str, String)> =
        upstreams.iter().map(|upstream| (upstream.name.as_str(), format!("http://{}/v1", upstream.address))).collect();
    plan_of(&named, answers)
}

/// The same over names and URLs.
pub fn plan_of(upstreams: &[(&str, String)], answers: u64) -> Value {
    let digest = digest::sha256(&tiny(|_, _| ()));
    let models: Vec<Value> = upstreams
        .iter()
        .zip(["good", "poor"])
        .map(|((name, url), profile)| {
            json!({
                "id": format!("default/pool/{name}"),
                "upstream": {"url": url, "dialect": "openai", "model": name},
                "price": {"input_nanousd_per_million": PRICES.0, "output_nanousd_per_million": PRICES.1},
                "limits": {"context_tokens": 100_000, "output_tokens": 10_000},
                "profile": profile,
            })
        })
        .collect();
    let candidates: Vec<&Value> = models.iter().map(|model| &model["id"]).collect();
    let route = json!({
        "id": "default/route", "aliases": ["auto"], "predictor": digest, "candidates": candidates, "strategy": {"type": "best"},
        "timeouts": {"request_ms": 60_000, "first_token_ms": 10_000, "stream_idle_ms": 10_000},
    });
    let profiles = json!({"good": {"bias": 4.0, "answers": answers}, "poor": {"bias": 0.0, "answers": answers}});
    json!({"schema": SCHEMA, "profiles": profiles, "models": models, "routes": [route]})
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
