//! What goes wrong and how often. Draws are seeded and independent, so the same calls in the same order fail the same way.

use std::time::Duration;

use super::settings::Error;

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// How often, 0 to 1.
    pub probability: f64,
    /// At most how often in all.
    pub times: u64,
    /// For this model only.
    pub model: Option<String>,
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An error answer.
    Status {
        /// HTTP status, 400 to 599.
        status: u16,
        /// Seconds in `retry-after`.
        retry_after_s: Option<u64>,
    },
    /// The first token comes this much later.
    Delay(Duration),
    /// No answer, ever; the connection stays open.
    Stall,
    /// The stream falls silent after this many chunks; a unary answer never comes.
    StallAfter(usize),
    /// The connection is reset before an answer.
    Reset,
    /// The connection is reset after this many chunks of a stream; a unary answer never begins.
    ResetAfter(usize),
    /// Nothing is read from a new connection for this long.
    ConnectDelay(Duration),
}

/// The spellings, for the error message.
const KINDS: &[&str] = &["status=CODE", "delay=MS", "stall", "stall-after=CHUNKS", "reset", "reset-after=CHUNKS", "connect-delay=MS"];

impl Fault {
    /// Reads `kind[=value][:probability][:option=value]…`.
    ///
    /// # Errors
    /// With what was found and what is accepted.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        // Names of models may hold colons: `model=` takes the rest.
        let (text, model) = match text.split_once(":model=") {
            Some((text, model)) => (text, Some(model.to_owned())),
            None => (text, None),
        };
        let mut parts = text.split(':').peekable();
        let mut kind = kind(parts.next().unwrap_or_default())?;
        let mut probability = 1.0;
        if let Some(part) = parts.next_if(|part| !part.contains('=')) {
            probability =
                part.parse().ok().filter(|value| (0.0..=1.0).contains(value)).ok_or_else(|| refused(text, "a probability from 0 to 1"))?;
        }
        let mut times = u64::MAX;
        for part in parts {
            match (part.split_once('='), &mut kind) {
                (Some(("retry-after", value)), FaultKind::Status { retry_after_s, .. }) => {
                    *retry_after_s = Some(value.parse().map_err(|_| refused(text, "`retry-after` in whole seconds"))?);
                }
                (Some(("times", value)), _) => times = value.parse().map_err(|_| refused(text, "`times` as a whole number"))?,
                _ => return Err(refused(text, "the options `times=N`, `model=NAME` (last) and, with `status`, `retry-after=SECONDS`")),
            }
        }
        if matches!(kind, FaultKind::ConnectDelay(_)) && model.is_some() {
            return Err(refused(text, "no `model` with `connect-delay`: a connection has none"));
        }
        Ok(Self { kind, probability, times, model })
    }

    /// Whether the fault strikes in this draw.
    pub(super) fn strikes(&self, seed: u64, place: usize, index: u64) -> bool {
        draw(seed, place, index) < self.probability
    }
}

fn kind(text: &str) -> Result<FaultKind, Error> {
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    let number = || value.and_then(|value| value.parse::<u64>().ok());
    let found = match name {
        "status" => number()
            .and_then(|status| u16::try_from(status).ok())
            .filter(|status| (400..600).contains(status))
            .map(|status| FaultKind::Status { status, retry_after_s: None }),
        "delay" => number().map(|delay| FaultKind::Delay(Duration::from_millis(delay))),
        "connect-delay" => number().map(|delay| FaultKind::ConnectDelay(Duration::from_millis(delay))),
        "stall-after" => number().and_then(|chunks| usize::try_from(chunks).ok()).map(FaultKind::StallAfter),
        "reset-after" => number().and_then(|chunks| usize::try_from(chunks).ok()).map(FaultKind::ResetAfter),
        "stall" if value.is_none() => Some(FaultKind::Stall),
        "reset" if value.is_none() => Some(FaultKind::Reset),
        _ => None,
    };
    found.ok_or_else(|| Error::flag("fail", tradewind_core::error::unknown("fault", text, KINDS)))
}

fn refused(text: &str, expected: &str) -> Error {
    Error::flag("fail", format!("`{text}`; expected {expected}"))
}

/// A number in [0, 1) from a seed, the fault's place in the list and the index of the request or connection.
#[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
fn draw(seed: u64, place: usize, index: u64) -> f64 {
    let mixed = mix(mix(mix(seed) ^ place as u64) ^ index);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// SplitMix64's step: every bit of the result depends on every bit of the value.
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Option<(FaultKind, f64, u64, Option<String>)> {
        Fault::parse(text).ok().map(|fault| (fault.kind, fault.probability, fault.times, fault.model))
    }

    #[test]
    fn faults_are_read_or_refused() {
        let status = |status, retry_after_s| FaultKind::Status { status, retry_after_s };
        for (text, expected) in [
            ("status=503:0.1", Some((status(503, None), 0.1, u64::MAX, None))),
            ("status=429:1:retry-after=2:times=3", Some((status(429, Some(2)), 1.0, 3, None))),
            ("status=500:times=1:model=a:b", Some((status(500, None), 1.0, 1, Some("a:b".to_owned())))),
            ("stall:0.05", Some((FaultKind::Stall, 0.05, u64::MAX, None))),
            ("stall-after=2", Some((FaultKind::StallAfter(2), 1.0, u64::MAX, None))),
            ("reset", Some((FaultKind::Reset, 1.0, u64::MAX, None))),
            ("reset-after=5:1", Some((FaultKind::ResetAfter(5), 1.0, u64::MAX, None))),
            ("delay=800:0.2", Some((FaultKind::Delay(Duration::from_millis(800)), 0.2, u64::MAX, None))),
            ("connect-delay=200:1", Some((FaultKind::ConnectDelay(Duration::from_millis(200)), 1.0, u64::MAX, None))),
            ("status=200", None),
            ("status", None),
            ("stall=5", None),
            ("stall:2", None),
            ("stall:NaN", None),
            ("stall:0.5:retry-after=1", None),
            ("connect-delay=1:model=small", None),
            ("", None),
        ] {
            assert_eq!(check(text), expected, "{text}");
        }
    }

    #[test]
    fn draws_are_seeded_and_strike_as_often_as_they_should() {
        let fault = Fault::parse("stall:0.25").unwrap();
        let struck = (0..10_000).filter(|&index| fault.strikes(7, 0, index)).count();
        assert!((2_300..2_700).contains(&struck), "{struck}");
        assert!((0..100).any(|index| fault.strikes(1, 0, index) != fault.strikes(2, 0, index)));
        assert!((0..1_000).all(|index| !Fault { probability: 0.0, ..fault.clone() }.strikes(7, 0, index)));
        assert!((0..1_000).all(|index| Fault { probability: 1.0, ..fault.clone() }.strikes(7, 0, index)));
    }
}
