//! Orders by `willingness to pay × quality − cost`, in USD (RouterBench, arXiv:2403.12031, section 3).

use serde::Deserialize;

use super::{Entry, Ranking, Refusal, Strategy, parameters};
use crate::{objective::Objective, policy::Admitted};

/// The row.
pub const ENTRY: Entry = Entry {
    name: "utility",
    about: "the largest willingness to pay × quality − cost",
    never_dominated: true,
    build: |value, _| {
        let Parameters { willingness_to_pay_usd } = parameters(value)?;
        if !(0.0..=1e6).contains(&willingness_to_pay_usd) {
            return Err(Refusal::new(
                ".willingness_to_pay_usd",
                format!("{willingness_to_pay_usd} is not an amount of USD from 0 to 1000000"),
            ));
        }
        Ok(Box::new(Utility { willingness_to_pay_usd }))
    },
    narrow: |_, _| true,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    willingness_to_pay_usd: f64,
}

struct Utility {
    willingness_to_pay_usd: f64,
}

/// The utility of one forecast, in USD.
#[must_use]
pub fn utility(willingness_to_pay_usd: f64, quality: f32, cost_usd: f64) -> f64 {
    willingness_to_pay_usd * f64::from(quality) - cost_usd
}

impl Strategy for Utility {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn willingness_to_pay_usd(&self) -> Option<f64> {
        Some(self.willingness_to_pay_usd)
    }

    fn rank(&self, admitted: &Admitted<'_>, objective: &Objective, _seed: u64) -> Ranking {
        let willingness = objective.willingness_to_pay_usd.unwrap_or(self.willingness_to_pay_usd);
        Ranking::certain(admitted.ordered_by(|index| {
            let forecast = &admitted.forecasts[index];
            -utility(willingness, forecast.quality, forecast.cost.usd())
        }))
    }
}
