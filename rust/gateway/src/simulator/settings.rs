//! From flags to settings: what a simulator serves and how it behaves, checked once, all of it before the first connection.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use tradewind_core::money::Price;

use super::{fault::Fault, table::Table};

/// Models of a simulator that was given none: a cheap and a dear one.
const DEFAULT_MODELS: &str = "small:0.10:0.40,large:2.50:10.00";

/// What can go wrong before or while a simulator runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag with a value that is not accepted.
    #[error("`--{flag}`: {message}")]
    Flag {
        /// Name of the flag, without dashes.
        flag: &'static str,
        /// What was found and what is accepted.
        message: String,
    },
    /// A file or an address that cannot be used.
    #[error("{what}: {source}")]
    Io {
        /// Which file or address.
        what: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    pub(super) fn flag(flag: &'static str, message: impl Into<String>) -> Self {
        Self::Flag { flag, message: message.into() }
    }

    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}

/// The flags of `simulate`, as they are typed.
#[derive(Clone, Debug, clap::Args)]
pub struct Flags {
    /// Address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// Port to listen on; 0 for any free one.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Models as `name:input:output` or `name:input:output:cached_input`, in USD per million tokens, separated by commas.
    #[arg(long, default_value = DEFAULT_MODELS)]
    pub models: String,
    /// Milliseconds from a request to the first token of its answer.
    #[arg(long, default_value_t = 0)]
    pub first_token_ms: u64,
    /// Tokens per second of an answer; 0 for as fast as possible.
    #[arg(long, default_value_t = 0.0)]
    pub token_rate: f64,
    /// What goes wrong: `status=503:0.1`, `status=429:1:retry-after=2`, `delay=800:0.2`, `stall:0.05`, `stall-after=5:0.1`,
    /// `reset:0.1`, `reset-after=5:1`, `connect-delay=200:1`. The number after the first colon is the probability (1 where
    /// absent); `times=N` stops after N, `model=NAME`, as the last one, keeps to a model. Repeatable.
    #[arg(long, value_name = "FAULT")]
    pub fail: Vec<String>,
    /// Seed of the faults' draws.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// JSON Lines of answers: `{"contains": "…", "answer": "…"}` or `{"prompt": "…", "answer": "…"}`, optionally with `model`,
    /// or with `tool_calls` in place of `answer`.
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// File that gets one JSON line per answer, each written before the answer's usage is sent.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Refuse calls without this bearer key.
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<String>,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            models: DEFAULT_MODELS.to_owned(),
            first_token_ms: 0,
            token_rate: 0.0,
            fail: Vec::new(),
            seed: 0,
            answers: None,
            log: None,
            api_key: None,
        }
    }
}

/// A simulated model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// What callers call it.
    pub name: String,
    /// What it charges. With a price for cached input, the conversation before the last message counts as cached.
    pub price: Price,
}

/// What a simulator does.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 for any free one.
    pub address: SocketAddr,
    /// What it serves; at least one.
    pub models: Vec<Model>,
    /// From a request to its first token.
    pub first_token: Duration,
    /// Between two tokens of one answer.
    pub per_token: Duration,
    /// What goes wrong, in the order of drawing.
    pub faults: Vec<Fault>,
    /// Seed of the faults' draws.
    pub seed: u64,
    /// Answers to known prompts.
    pub table: Table,
    /// Where answers are logged.
    pub log: Option<PathBuf>,
    /// The only bearer key that is accepted; without it, all are.
    pub api_key: Option<String>,
}

impl TryFrom<Flags> for Settings {
    type Error = Error;

    fn try_from(flags: Flags) -> Result<Self, Error> {
        let models = models(&flags.models)?;
        let faults = flags.fail.iter().flat_map(|list| list.split(',')).map(Fault::parse).collect::<Result<Vec<_>, _>>()?;
        for named in faults.iter().filter_map(|fault| fault.model.as_deref()) {
            if models.iter().all(|model| model.name != named) {
                let known: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
                return Err(Error::flag("fail", tradewind_core::error::unknown("model", named, &known)));
            }
        }
        let table = match &flags.answers {
            None => Table::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(Error::io(path.display().to_string()))?;
                Table::parse(&text)?
            }
        };
        Ok(Self {
            address: SocketAddr::new(flags.host, flags.port),
            models,
            first_token: Duration::from_millis(flags.first_token_ms),
            per_token: per_token(flags.token_rate)?,
            faults,
            seed: flags.seed,
            table,
            log: flags.log,
            api_key: flags.api_key,
        })
    }
}

fn per_token(rate: f64) -> Result<Duration, Error> {
    if rate == 0.0 {
        return Ok(Duration::ZERO);
    }
    if !(0.01..=1e9).contains(&rate) {
        return Err(Error::flag("token-rate", format!("`{rate}` is not a number of tokens per second from 0.01 to 1000000000, nor 0")));
    }
    Ok(Duration::from_secs_f64(1.0 / rate))
}

fn models(list: &str) -> Result<Vec<Model>, Error> {
    let mut models: Vec<Model> = Vec::new();
    for text in list.split(',') {
        let model = model(text.trim())?;
        if models.iter().any(|other| other.name == model.name) {
            return Err(Error::flag("models", format!("two models are called `{}`", model.name)));
        }
        models.push(model);
    }
    Ok(models)
}

/// Names may hold colons themselves (`qwen3:8b`): prices are what stands at the end and is a number.
fn model(text: &str) -> Result<Model, Error> {
    let refused = || {
        Error::flag("models", format!("`{text}` is not `name:input:output` or `name:input:output:cached_input`, in USD per million tokens"))
    };
    let mut name = text;
    let mut prices = Vec::new();
    while prices.len() < 3
        && let Some((rest, last)) = name.rsplit_once(':')
        && let Some(price) = nanousd(last)
    {
        prices.insert(0, price);
        name = rest;
    }
    let (input, output, cached) = match prices[..] {
        [input, output] => (input, output, None),
        [input, output, cached] => (input, output, Some(cached)),
        _ => return Err(refused()),
    };
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(refused());
    }
    let price = Price { input_nanousd_per_million: input, output_nanousd_per_million: output, cached_input_nanousd_per_million: cached };
    Ok(Model { name: name.to_owned(), price })
}

/// A decimal number of USD as nano-dollars, exactly; `None` where it is none, or has more than nine places.
fn nanousd(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 9 || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    format!("{whole}{fraction:0<9}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flags: Flags) -> Result<Settings, String> {
        Settings::try_from(flags).map_err(|error| error.to_string())
    }

    #[test]
    fn prices_are_exact_and_names_may_hold_colons_and_slashes() {
        for (text, expected) in [
            ("small:0.1:0.4", Some(("small", 100_000_000, 400_000_000, None))),
            ("qwen3:8b:0.05:0.2:0.01", Some(("qwen3:8b", 50_000_000, 200_000_000, Some(10_000_000)))),
            ("Qwen/Qwen3-8B:1:2", Some(("Qwen/Qwen3-8B", 1_000_000_000, 2_000_000_000, None))),
            ("free:0:0.000000001", Some(("free", 0, 1, None))),
            ("small", None),
            ("small:1", None),
            (":1:2", None),
            ("small:1:-2", None),
            ("small:1:1e3", None),
            ("small:1:0.0000000001", None),
        ] {
            let found = model(text).ok().map(|model| {
                let price = model.price;
                (model.name, price.input_nanousd_per_million, price.output_nanousd_per_million, price.cached_input_nanousd_per_million)
            });
            assert_eq!(found, expected.map(|(name, input, output, cached)| (name.to_owned(), input, output, cached)), "{text}");
        }
    }

    #[test]
    fn a_flag_that_is_not_accepted_is_named_with_what_is() {
        for (flags, expected) in [
            (Flags { models: "a:1:2,a:1:2".into(), ..Flags::default() }, "`--models`: two models are called `a`"),
            (Flags { models: String::new(), ..Flags::default() }, "`--models`: `` is not `name:input:output`"),
            (Flags { token_rate: -1.0, ..Flags::default() }, "`--token-rate`: `-1` is not"),
            (Flags { fail: vec!["explode".into()], ..Flags::default() }, "`--fail`: unknown fault `explode`; expected one of"),
            (
                Flags { fail: vec!["stall:1:model=dear".into()], ..Flags::default() },
                "`--fail`: unknown model `dear`; expected one of `small`, `large`",
            ),
            (Flags { answers: Some("/nowhere/answers".into()), ..Flags::default() }, "/nowhere/answers: "),
        ] {
            let message = check(flags).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn flags_become_settings() {
        let settings =
            check(Flags { token_rate: 200.0, fail: vec!["stall:0.5,reset".into(), "status=429".into()], ..Flags::default() }).unwrap();
        assert_eq!(settings.per_token, Duration::from_millis(5));
        assert_eq!(settings.faults.len(), 3);
        assert_eq!(settings.models.len(), 2);
        assert!(settings.address.ip().is_loopback());
    }
}
