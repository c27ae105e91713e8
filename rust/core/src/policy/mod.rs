//! Policies only remove candidates, and say why. One file and one row each.
//!
//! A hard policy (capability, limits, labels, health, concurrency) always removes. A soft one (floor, cap, deadlines) removes
//! under `Reject`; under `BestEffort` it orders: feasible first, then the smallest violation.

mod capability;
mod concurrency;
mod context_length;
mod duration;
mod first_token;
mod health;
mod labels;
mod max_cost;
mod min_quality;
mod output_length;

use std::sync::Arc;

use crate::{
    call::Dials,
    error::{Code, Error},
    live::Now,
    parse::Facts,
    plan::{
        Model, Timeouts,
        source::{Constraints, WhenUnsatisfied},
    },
    predict::Forecast,
};

/// One row of the table of policies.
pub struct Entry {
    /// snake_case name: the reason of a refusal, the label of a metric.
    pub name: &'static str,
    /// For the documentation.
    pub about: &'static str,
    /// Whether `BestEffort` turns it into an order.
    pub soft: bool,
    /// Builds it from a route's constraints and timeouts.
    pub build: fn(&Constraints, &Timeouts) -> Box<dyn Policy>,
}

/// Every policy, in the order in which they are asked; the first that refuses gives the reason.
pub const TABLE: &[&Entry] = &[
    &labels::ENTRY,
    &capability::ENTRY,
    &context_length::ENTRY,
    &output_length::ENTRY,
    &health::ENTRY,
    &concurrency::ENTRY,
    &max_cost::ENTRY,
    &min_quality::ENTRY,
    &first_token::ENTRY,
    &duration::ENTRY,
];

/// What a policy looks at.
pub struct Case<'a> {
    /// The candidate.
    pub model: &'a Model,
    /// Its forecast.
    pub forecast: &'a Forecast,
    /// What the call asks of a model.
    pub facts: &'a Facts,
    /// The call's dials: they only tighten.
    pub dials: &'a Dials,
    /// Time.
    pub now: Now,
}

/// Whether a candidate may serve a call.
pub trait Policy: Send + Sync {
    /// The row of this policy.
    fn entry(&self) -> &'static Entry;

    /// `None` to admit; else by how much the candidate misses, relative to the limit (1 for a yes-or-no rule).
    fn violation(&self, case: &Case<'_>) -> Option<f64>;
}

/// All policies of a route.
#[must_use]
pub fn build(constraints: &Constraints, timeouts: &Timeouts) -> Vec<Box<dyn Policy>> {
    TABLE.iter().map(|entry| (entry.build)(constraints, timeouts)).collect()
}

/// What the policies say of one candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Admission {
    /// The policy that removed it.
    pub refused_by: Option<&'static str>,
    /// Sum of the violations that `BestEffort` let pass.
    pub violation: f64,
}

/// The candidates after the policies.
pub struct Admitted<'a> {
    /// The candidates.
    pub candidates: &'a [Arc<Model>],
    /// Their forecasts.
    pub forecasts: &'a [Forecast],
    /// What the policies say of each.
    pub admissions: Vec<Admission>,
    /// Soft policies that every admitted candidate violates: those had to be relaxed.
    pub relaxed: Vec<&'static str>,
}

impl Admitted<'_> {
    /// Indexes of the admitted, in the order of the candidates.
    pub fn indexes(&self) -> impl Iterator<Item = usize> + '_ {
        self.admissions.iter().enumerate().filter(|(_, admission)| admission.refused_by.is_none()).map(|(index, _)| index)
    }

    /// The admitted by violation, then by `key`, then by id: the one way in which strategies order.
    pub fn ordered_by(&self, key: impl Fn(usize) -> f64) -> Vec<usize> {
        let mut order: Vec<usize> = self.indexes().collect();
        order.sort_by(|&a, &b| {
            self.admissions[a]
                .violation
                .total_cmp(&self.admissions[b].violation)
                .then_with(|| key(a).total_cmp(&key(b)))
                .then_with(|| self.candidates[a].id.cmp(&self.candidates[b].id))
        });
        order
    }
}

/// Asks every policy about every candidate.
///
/// # Errors
/// `no_candidate` (or `all_resting`, where only health and concurrency stand in the way) naming each policy that removed some.
pub fn admit<'a>(
    policies: &[Box<dyn Policy>],
    when_unsatisfied: WhenUnsatisfied,
    candidates: &'a [Arc<Model>],
    forecasts: &'a [Forecast],
    facts: &Facts,
    dials: &Dials,
    now: Now,
) -> Result<Admitted<'a>, Error> {
    let best_effort = when_unsatisfied == WhenUnsatisfied::BestEffort;
    let mut violated: Vec<(&'static str, usize)> = Vec::new();
    let admissions: Vec<Admission> = candidates
        .iter()
        .zip(forecasts)
        .map(|(model, forecast)| {
            let case = Case { model, forecast, facts, dials, now };
            let mut admission = Admission { refused_by: None, violation: 0.0 };
            let mut passed = Vec::new();
            for policy in policies {
                let Some(violation) = policy.violation(&case) else { continue };
                let entry = policy.entry();
                if entry.soft && best_effort {
                    admission.violation += violation;
                    passed.push(entry.name);
                } else {
                    admission.refused_by = Some(entry.name);
                    break;
                }
            }
            if admission.refused_by.is_none() {
                for name in passed {
                    match violated.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, count)) => *count += 1,
                        None => violated.push((name, 1)),
                    }
                }
            }
            admission
        })
        .collect();
    let admitted = admissions.iter().filter(|admission| admission.refused_by.is_none()).count();
    if admitted == 0 {
        return Err(none_left(&admissions, forecasts, now));
    }
    let relaxed = violated.into_iter().filter(|&(_, count)| count == admitted).map(|(name, _)| name).collect();
    Ok(Admitted { candidates, forecasts, admissions, relaxed })
}

fn none_left(admissions: &[Admission], forecasts: &[Forecast], now: Now) -> Error {
    let mut reasons: Vec<&str> = admissions.iter().filter_map(|admission| admission.refused_by).collect();
    // Another try may help wherever only passing conditions stand in the way of some candidate.
    let passing = reasons.iter().any(|reason| ["health", "concurrency"].contains(reason));
    reasons.sort_unstable();
    reasons.dedup();
    let message = format!("no candidate is left; removed by {}", reasons.join(", "));
    if !passing {
        return Error::new(Code::NoCandidate, "", message);
    }
    let wakes = forecasts.iter().map(|forecast| forecast.reading.resting_until_ns).filter(|&until| until > now.unix_ns).min();
    let wait_ms = wakes.map_or(1000, |until| (until - now.unix_ns).div_ceil(1_000_000));
    Error::new(Code::AllResting, "", message).after(wait_ms.max(1))
}

/// Relative excess of `value` over `limit`, for a cap.
fn excess(value: f64, limit: f64) -> Option<f64> {
    (value > limit).then(|| if limit > 0.0 { value / limit - 1.0 } else { f64::MAX.sqrt() })
}

#[cfg(test)]
pub(crate) mod tests;
