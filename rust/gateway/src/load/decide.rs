//! Body bytes → decision, parse included, one by one: what a request costs before its upstream is called.

use std::{collections::BTreeMap, time::Instant};

use serde::Serialize;
use tradewind_core::{Call, Dials, Error, Hints, Identity, LiveView, Now, Plan, decide};

use super::Samples;
use crate::templates::Templates;

/// The most bodies of each size that warm caches and are not counted; a tenth where there are few.
const WARM_UP: usize = 500;

/// How long decisions took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// Median, microseconds.
    pub p50_us: f64,
    /// 90th percentile, microseconds.
    pub p90_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
    /// Bodies that were timed, each once.
    pub n: u64,
    /// Decisions per second of one core.
    pub per_s_core: f64,
}

impl Timing {
    /// The figures of samples.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn of(mut samples: Samples) -> Self {
        let [p50_us, p90_us, p99_us] = samples.percentiles_us([0.5, 0.9, 0.99]);
        let total_s = samples.total_s();
        let n = samples.count();
        Self { p50_us, p90_us, p99_us, n, per_s_core: if total_s > 0.0 { n as f64 / total_s } else { 0.0 } }
    }
}

/// Times the decision on each body, by size. Runs on this thread; [`super::process::pin`] it before.
///
/// # Errors
/// The first body that cannot be decided on.
pub fn time(plan: &Plan, tenant: &str, bodies: &BTreeMap<u32, Vec<Vec<u8>>>) -> Result<BTreeMap<u32, Timing>, Error> {
    let identity = Identity::of(tenant);
    let mut timings = BTreeMap::new();
    for (&size, bodies) in bodies {
        let warm_up = WARM_UP.min(bodies.len() / 10);
        let (mut samples, templates) = (Samples::default(), Templates::default());
        for (index, body) in bodies.iter().enumerate() {
            let call = Call::new(body, &identity, Dials::default());
            let now = Now { unix_ns: 0, seed: index as u64 };
            let started = Instant::now();
            let live = LiveView { templates: &templates, ..LiveView::UNKNOWN };
            let decision = std::hint::black_box(decide(plan, &call, &Hints::default(), &live, now)?);
            let elapsed = started.elapsed();
            // The decision is freed outside: who holds it frees it after the answer.
            drop(decision);
            if index >= warm_up {
                samples.add(elapsed);
            }
        }
        timings.insert(size, Timing::of(samples));
    }
    Ok(timings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::bodies;
    use serde_json::json;
    use tradewind_core::{
        Code, digest,
        plan::{self, Predictors},
        predict::{Predictor, tiny},
    };

    fn check(bodies: Vec<Vec<u8>>) -> Result<BTreeMap<u32, Timing>, Error> {
        let bytes = tiny(|_, _| ());
        let digest = digest::sha256(&bytes);
        let source = json!({
            "schema": plan::source::SCHEMA,
            "profiles": {"one": {"bias": 0.0}},
            "models": [{
                "id": "default/pool/small", "upstream": {"url": "http://127.0.0.1:1/v1", "dialect": "openai", "model": "small"},
                "price": {"input_nanousd_per_million": 1, "output_nanousd_per_million": 2},
                "limits": {"context_tokens": 100_000, "output_tokens": 10_000}, "profile": "one",
            }],
            "routes": [{"id": "default/route", "aliases": ["auto"], "predictor": digest, "candidates": ["default/pool/small"], "strategy": {"type": "best"}}],
        });
        let predictors: Predictors = [(digest, Predictor::native(&bytes).unwrap().into())].into();
        let compiled = plan::compile(source.to_string().as_bytes(), &predictors).unwrap_or_else(|problems| panic!("{problems:?}"));
        time(&compiled.plan, "default", &bodies::by_size(bodies))
    }

    #[test]
    fn each_body_is_timed_once_but_for_the_first_tenth() {
        let timings = check(bodies::seeded(1, 20, 100)).unwrap();
        let timing = timings[&20];
        assert_eq!((timings.len(), timing.n), (1, 90));
        assert!(timing.p50_us > 0.0 && timing.p50_us <= timing.p90_us && timing.p90_us <= timing.p99_us && timing.per_s_core > 0.0);
    }

    #[test]
    fn a_body_that_cannot_be_decided_on_is_an_error() {
        assert_eq!(check(bodies::named(&bodies::seeded(1, 20, 1), "nobody")).unwrap_err().code, Code::ModelNotFound);
    }
}
