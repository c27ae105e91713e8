//! The data plane without Python: serves a plan from a file or from controllers, or plays an upstream.

use std::{fs, io::Write, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tradewind_core::{plan::Predictors, record::CaptureKind};
use tradewind_gateway::{
    Engine, Executor, Keys, Settings, SyncClient, plan_source,
    settings::{Network, SyncFault},
    simulator::{self, Flags},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Tradewind's data plane.
#[derive(Parser)]
#[command(name = "tradewind-gateway", version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves a plan.
    Serve(Serve),
    /// Plays an OpenAI-compatible upstream.
    Simulate(Flags),
}

#[derive(Args)]
struct Serve {
    /// Plan source (JSON); watched, and swapped when it changes.
    #[arg(long, required_unless_present = "controllers", conflicts_with = "controllers")]
    plan: Option<PathBuf>,
    /// Predictor file (ONNX); once for each that a plan names. Controllers give those that are missing.
    #[arg(long, required_unless_present = "controllers")]
    predictor: Vec<PathBuf>,
    /// Address to listen on; other hosts than loopback need `--keys`.
    #[arg(long)]
    listen: Option<String>,
    /// Worker threads [default: one for each core].
    #[arg(long)]
    workers: Option<usize>,
    /// Callers' keys (JSON).
    #[arg(long, conflicts_with = "controllers")]
    keys: Option<PathBuf>,
    /// Folder of upstream credentials, `<secret>/<key>`.
    #[arg(long, conflicts_with = "controllers")]
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
    #[arg(long, value_enum, default_value_t = Executor::Native)]
    executor: Executor,
    /// Shared library of ONNX Runtime, for `--executor onnxruntime`.
    #[arg(long)]
    onnxruntime_library: Option<PathBuf>,
}

/// Where plans, keys and trust come from, in place of files.
#[derive(Args)]
struct Follow {
    /// URL of a controller, `https://host:port`; more with commas between them. Each replica that a host resolves to is polled.
    #[arg(long, value_delimiter = ',')]
    controllers: Vec<String>,
    /// File of the token that controllers know this pod by.
    #[arg(long, requires = "controllers")]
    controller_token: Option<PathBuf>,
    /// PEM bundle of certificates to trust controllers by, until they give another.
    #[arg(long, requires = "controllers")]
    controller_trust: Option<PathBuf>,
    /// Folder for the last plan that has served well.
    #[arg(long, requires = "controllers")]
    plan_cache: Option<PathBuf>,
    /// Plan to begin with: `plan.json`, `plan.json.gz`, or the folder of one.
    #[arg(long, requires = "controllers")]
    bootstrap_plan: Option<PathBuf>,
    /// Folder in memory (tmpfs) for keys and credentials.
    #[arg(long, requires = "controllers")]
    keys_cache: Option<PathBuf>,
    /// Network of upstreams that may be called though they are at an address of this machine, of a controller or of the API server,
    /// `127.0.0.0/8`; more with commas between them.
    #[arg(long, requires = "controllers", value_delimiter = ',')]
    allow_upstreams: Vec<Network>,
    /// A fault to play, for conformance tests of controllers.
    #[arg(long, value_enum, default_value_t, requires = "controllers")]
    sync_fault: SyncFault,
}

fn capture(text: &str) -> std::result::Result<CaptureKind, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

impl Serve {
    fn settings(self) -> Settings {
        let defaults = Settings::default();
        Settings {
            listen: self.listen.unwrap_or(defaults.listen),
            workers: self.workers.unwrap_or(defaults.workers),
            plan: self.plan,
            predictors: self.predictor,
            keys: self.keys,
            secrets_dir: self.secrets_dir,
            controllers: self.follow.controllers,
            controller_token: self.follow.controller_token,
            controller_trust: self.follow.controller_trust,
            plan_cache: self.follow.plan_cache,
            bootstrap_plan: self.follow.bootstrap_plan,
            keys_cache: self.follow.keys_cache,
            allow_upstreams: self.follow.allow_upstreams,
            // In a pod, Kubernetes says so.
            api_server: std::env::var("KUBERNETES_SERVICE_HOST").unwrap_or_default(),
            sync_fault: self.follow.sync_fault,
            ledger_dir: self.ledger_dir,
            capture: self.capture.unwrap_or(defaults.capture),
            executor: self.executor,
            onnxruntime_library: self.onnxruntime_library,
            ..defaults
        }
    }
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TRADEWIND_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = match Program::parse().command {
        Command::Serve(serve) => run(serve.settings()),
        Command::Simulate(flags) => simulate(flags),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "failed");
            ExitCode::from(3)
        }
    }
}

fn run(settings: Settings) -> Result<()> {
    let engine = Engine::new(settings, Predictors::new())?;
    let settings = engine.settings();
    for path in &settings.predictors {
        engine.add_predictor(&fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?)?;
    }
    if let Some(path) = &settings.keys {
        engine.set_keys(Keys::parse(&fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?)?);
    }
    let source = source(&engine)?;
    let server = tradewind_gateway::serve(&engine, &settings.listen)?;
    wait_for_signal()?;
    tracing::info!(calls = engine.calls_in_flight(), "draining");
    server.shutdown();
    server.join();
    drop(source);
    Engine::close(&engine);
    Ok(())
}

/// Where plans come from, until it is dropped.
enum Source {
    File { _watch: plan_source::Watch },
    Controllers { _client: SyncClient },
}

fn source(engine: &Arc<Engine>) -> Result<Source> {
    let Some(plan) = engine.settings().plan.clone() else {
        return Ok(Source::Controllers { _client: SyncClient::start(engine)? });
    };
    // Refused at the start, there is nothing to keep: better no gateway than one that answers nobody.
    let loaded = plan_source::load(engine, &plan).map_err(|problems| serde_json::to_string(&problems).unwrap_or_default())?;
    Ok(Source::File { _watch: plan_source::watch(engine, &plan, loaded)? })
}

fn wait_for_signal() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

fn simulate(flags: Flags) -> Result<()> {
    let settings = simulator::Settings::try_from(flags)?;
    let totals = simulator::run_until_signal(settings, |address| {
        // A caller that asked for port 0 reads it here; one that does not read is no reason to stop.
        let _ = writeln!(std::io::stdout(), "{{\"listening\":\"http://{address}\"}}");
    })?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&totals)?)?;
    Ok(())
}
