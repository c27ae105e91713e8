//! The data plane without Python: serves a plan from a file or from controllers, or plays an upstream.

use std::{
    fmt, fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tradewind_core::{Code, plan::Predictors, record::CaptureKind};
use tradewind_gateway::{
    Engine, Executor, Health, Keys, Server, Settings, SyncClient, plan_source, serve, serve_health, serve_tls,
    settings::{Network, SyncFault, variables},
    shutdown,
    simulator::{self, Flags},
};

/// Exit statuses: something was found (a refused plan), wrong usage or unreadable input, failed.
const FOUND: u8 = 1;
const USAGE: u8 = 2;
const FAILED: u8 = 3;

/// Why the program ends: its exit status, and a sentence.
struct Failure(u8, String);

type Result<T> = std::result::Result<T, Failure>;

/// Wrong usage, or an input that cannot be read.
fn usage(why: impl fmt::Display) -> Failure {
    Failure(USAGE, why.to_string())
}

fn failed(why: impl fmt::Display) -> Failure {
    Failure(FAILED, why.to_string())
}

/// Tradewind's data plane.
#[derive(Parser)]
#[command(name = "tradewind-gateway", version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves a plan. Every setting has a variable too, `TRADEWIND_` and its name in capitals; a flag wins over it.
    Serve(Box<Serve>),
    /// Plays an OpenAI-compatible upstream.
    Simulate(Flags),
}

#[derive(Args)]
struct Serve {
    /// Plan source (JSON); watched, and swapped when it changes.
    #[arg(long)]
    plan: Option<PathBuf>,
    /// Predictor file (ONNX); once for each that a plan names. Controllers give those that are missing.
    #[arg(long)]
    predictor: Vec<PathBuf>,
    /// Address to listen on; other hosts than loopback need keys.
    #[arg(long)]
    listen: Option<String>,
    /// Worker threads; 0 is one for each core.
    #[arg(long)]
    workers: Option<usize>,
    /// Callers' keys (JSON).
    #[arg(long)]
    keys: Option<PathBuf>,
    /// Folder of upstream credentials, `<secret>/<key>`.
    #[arg(long)]
    secrets_dir: Option<PathBuf>,
    #[command(flatten)]
    follow: Follow,
    /// Folder of the outcome log.
    #[arg(long)]
    ledger_dir: Option<PathBuf>,
    /// What an outcome keeps of a call: `none`, `features` or `text`.
    #[arg(long, value_parser = capture)]
    capture: Option<CaptureKind>,
    /// What runs the predictors.
    #[arg(long, value_enum)]
    executor: Option<Executor>,
    /// Shared library of ONNX Runtime, for `--executor onnxruntime` and for graphs of a user's own.
    #[arg(long)]
    onnxruntime_library: Option<PathBuf>,
    /// One JSON line on stdout when the doors are open.
    #[arg(long)]
    json: bool,
}

/// Where plans, keys and trust come from, in place of files.
#[derive(Args)]
struct Follow {
    /// URL of a controller, `https://host:port`; more with commas between them. Each replica that a host resolves to is polled.
    #[arg(long, value_delimiter = ',')]
    controllers: Vec<String>,
    /// File of the token that controllers know this pod by.
    #[arg(long)]
    controller_token: Option<PathBuf>,
    /// PEM bundle of certificates to trust controllers by, until they give another.
    #[arg(long)]
    controller_trust: Option<PathBuf>,
    /// Folder for the last plan that has served well.
    #[arg(long)]
    plan_cache: Option<PathBuf>,
    /// Plan to begin with: `plan.json`, `plan.json.gz`, or the folder of one.
    #[arg(long)]
    bootstrap_plan: Option<PathBuf>,
    /// Folder in memory (tmpfs) for keys and credentials.
    #[arg(long)]
    keys_cache: Option<PathBuf>,
    /// Network of upstreams that may be called though they are at an address of this machine, of a controller or of the API server,
    /// `127.0.0.0/8`; more with commas between them.
    #[arg(long, value_delimiter = ',')]
    allow_upstreams: Vec<Network>,
    /// A fault to play, for conformance tests of controllers.
    #[arg(long, value_enum)]
    sync_fault: Option<SyncFault>,
}

fn capture(text: &str) -> std::result::Result<CaptureKind, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

/// The flag where it was given, else what the variable says.
fn given<T>(flag: Vec<T>, variable: Vec<T>) -> Vec<T> {
    if flag.is_empty() { variable } else { flag }
}

impl Serve {
    /// The settings of flags over those of variables.
    fn over(self, variables: Settings) -> Settings {
        let follow = self.follow;
        let api_server = match variables.api_server {
            // In a pod, Kubernetes says so.
            unsaid if unsaid.is_empty() => std::env::var("KUBERNETES_SERVICE_HOST").unwrap_or_default(),
            said => said,
        };
        Settings {
            listen: self.listen.unwrap_or(variables.listen),
            workers: self.workers.unwrap_or(variables.workers),
            plan: self.plan.or(variables.plan),
            predictors: given(self.predictor, variables.predictors),
            keys: self.keys.or(variables.keys),
            secrets_dir: self.secrets_dir.or(variables.secrets_dir),
            controllers: given(follow.controllers, variables.controllers),
            controller_token: follow.controller_token.or(variables.controller_token),
            controller_trust: follow.controller_trust.or(variables.controller_trust),
            plan_cache: follow.plan_cache.or(variables.plan_cache),
            bootstrap_plan: follow.bootstrap_plan.or(variables.bootstrap_plan),
            keys_cache: follow.keys_cache.or(variables.keys_cache),
            allow_upstreams: given(follow.allow_upstreams, variables.allow_upstreams),
            api_server,
            sync_fault: follow.sync_fault.unwrap_or(variables.sync_fault),
            ledger_dir: self.ledger_dir.or(variables.ledger_dir),
            capture: self.capture.unwrap_or(variables.capture),
            executor: self.executor.unwrap_or(variables.executor),
            onnxruntime_library: self.onnxruntime_library.or(variables.onnxruntime_library),
            ..variables
        }
        .with_workers()
    }
}

/// What is there of settings that need, or exclude, each other: a flag and its variable count alike.
fn check(settings: &Settings) -> Result<()> {
    let given = |name: &'static str, set: bool| set.then_some(name);
    if settings.controllers.is_empty() {
        if settings.plan.is_none() {
            return Err(usage(
                "nothing gives a plan; expected `--plan` with `--predictor` (TRADEWIND_PLAN, TRADEWIND_PREDICTORS), or `--controllers` \
                 (TRADEWIND_CONTROLLERS)",
            ));
        }
        if settings.predictors.is_empty() {
            return Err(usage("a plan needs its predictors; expected `--predictor` (TRADEWIND_PREDICTORS)"));
        }
        let follows = [
            given("controller_token", settings.controller_token.is_some()),
            given("controller_trust", settings.controller_trust.is_some()),
            given("plan_cache", settings.plan_cache.is_some()),
            given("bootstrap_plan", settings.bootstrap_plan.is_some()),
            given("keys_cache", settings.keys_cache.is_some()),
            given("allow_upstreams", !settings.allow_upstreams.is_empty()),
            given("sync_fault", settings.sync_fault != SyncFault::None),
        ];
        return match follows.into_iter().flatten().next() {
            Some(name) => Err(usage(format!("`{name}` is for gateways with `controllers`, which are not given"))),
            None => Ok(()),
        };
    }
    let files = [
        given("plan", settings.plan.is_some()),
        given("keys", settings.keys.is_some()),
        given("secrets_dir", settings.secrets_dir.is_some()),
    ];
    match files.into_iter().flatten().next() {
        Some(name) => Err(usage(format!("`{name}` and `controllers` exclude each other: controllers give plans, keys and credentials"))),
        None => Ok(()),
    }
}

fn main() -> ExitCode {
    let program = Program::parse();
    let variables = match &program.command {
        Command::Serve(_) => variables::read(text_of(std::env::vars_os())),
        Command::Simulate(_) => variables::read([]),
    };
    let filter = variables.as_ref().map_or("info", |given| given.log_level);
    let filter = tracing_subscriber::EnvFilter::new(filter);
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = match (program.command, variables) {
        (_, Err(message)) => Err(usage(message)),
        (Command::Serve(serve), Ok(given)) => {
            let as_json = serve.json;
            run(serve.over(given.settings), as_json)
        }
        (Command::Simulate(flags), Ok(_)) => simulate(flags),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(status, error)) => {
            tracing::error!(error, "failed");
            ExitCode::from(status)
        }
    }
}

/// Variables as text; of one that is none, what cannot be read is replaced, and the setting says what it makes of that.
fn text_of(variables: std::env::VarsOs) -> impl Iterator<Item = (String, String)> {
    variables.map(|(name, text)| (name.to_string_lossy().into_owned(), text.to_string_lossy().into_owned()))
}

fn run(settings: Settings, as_json: bool) -> Result<()> {
    check(&settings)?;
    let refused = |error: tradewind_core::Error| match error.code {
        Code::Internal => failed(error),
        _ => usage(error),
    };
    let engine = Engine::new(settings, Predictors::new()).map_err(refused)?;
    let settings = engine.settings();
    let read = |path: &PathBuf| fs::read(path).map_err(|error| usage(format!("{}: {error}", path.display())));
    for path in &settings.predictors {
        engine.add_predictor(&read(path)?).map_err(refused)?;
    }
    if let Some(path) = &settings.keys {
        engine.set_keys(Keys::parse(&read(path)?).map_err(|error| usage(format!("{}: {error}", path.display())))?);
    }
    let source = source(&engine)?;
    let doors = Doors::open(&engine)?;
    let stop = signals()?;
    if as_json {
        announce(&doors.line());
    }
    stop.recv().map_err(failed)?;
    tracing::info!(linger_s = settings.linger_s, calls = engine.calls_in_flight(), "stopping");
    engine.leave();
    thread::sleep(Duration::from_secs(settings.linger_s));
    let health = doors.close(&engine);
    drop(source);
    Engine::close(&engine);
    drop(health);
    Ok(())
}

/// The listeners of the settings.
struct Doors {
    native: Server,
    tls: Option<Server>,
    health: Option<Health>,
    plan: Option<String>,
}

impl Doors {
    fn open(engine: &Arc<Engine>) -> Result<Self> {
        let settings = engine.settings();
        let unheard = |what: &str, address: &str| {
            let what = format!("the {what} cannot listen: {address}");
            move |error: io::Error| usage(format!("{what}: {error}"))
        };
        // First: whoever waits for the doors may ask there.
        let health = Some(&settings.health_listen).filter(|address| !address.is_empty());
        let health = health.map(|address| serve_health(engine, address).map_err(unheard("health listener", address)));
        let native = serve(engine, &settings.listen).map_err(unheard("native door", &settings.listen))?;
        let tls = settings.tls_port.map(|port| serve_tls(engine, port).map_err(unheard("TLS door", &format!("port {port}"))));
        Ok(Self { native, tls: tls.transpose()?, health: health.transpose()?, plan: engine.plan_id() })
    }

    /// What `--json` prints.
    fn line(&self) -> Value {
        let mut line = json!({"native": format!("http://{}", self.native.local_addr), "plan": self.plan});
        if let Some(tls) = &self.tls {
            line["tls"] = json!(format!("https://{}", tls.local_addr));
        }
        if let Some(health) = &self.health {
            line["health"] = json!(format!("http://{}", health.local_addr));
        }
        line
    }

    /// Closes the doors once calls in flight have ended; health is told of until the end.
    fn close(self, engine: &Engine) -> Option<Health> {
        let doors = [Some(self.native), self.tls];
        shutdown(engine, doors.iter().flatten());
        doors.into_iter().flatten().for_each(Server::join);
        self.health
    }
}

/// One JSON line on stdout. A caller that asked for port 0 reads it there; one that does not read is no reason to stop.
fn announce(line: &Value) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Where plans come from, until it is dropped.
enum Source {
    File { _watch: plan_source::Watch },
    Controllers { _client: SyncClient },
}

fn source(engine: &Arc<Engine>) -> Result<Source> {
    let Some(plan) = engine.settings().plan.clone() else {
        let client = SyncClient::start(engine).map_err(|error| usage(format!("the controllers cannot be followed: {error}")))?;
        return Ok(Source::Controllers { _client: client });
    };
    // Refused at the start, there is nothing to keep: better no gateway than one that answers nobody.
    let loaded =
        plan_source::load(engine, &plan).map_err(|problems| Failure(FOUND, serde_json::to_string(&problems).unwrap_or_default()))?;
    Ok(Source::File { _watch: plan_source::watch(engine, &plan, loaded).map_err(failed)? })
}

/// Listens for SIGINT and SIGTERM from now on; gives what is told of the first one. A second one ends the program at once.
fn signals() -> Result<mpsc::Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    drop(entered);
    let (first, told) = mpsc::channel();
    let listen = async move {
        for seen in 0.. {
            let number = tokio::select! {
                _ = interrupt.recv() => 2,
                _ = terminate.recv() => 15,
            };
            if seen > 0 {
                std::process::exit(128 + number);
            }
            // Nobody may wait any more.
            let _ = first.send(());
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen)).map_err(failed)?;
    Ok(told)
}

fn simulate(flags: Flags) -> Result<()> {
    let settings = simulator::Settings::try_from(flags).map_err(usage)?;
    let totals = simulator::run_until_signal(settings, |address| announce(&json!({"listening": format!("http://{address}")})));
    let totals = totals.map_err(failed)?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&totals).map_err(failed)?).map_err(failed)
}
