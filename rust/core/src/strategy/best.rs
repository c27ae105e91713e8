//! Orders by forecast quality; the caps are policies, so this is the best within them.

use serde::Deserialize;

use super::{Entry, Ranking, Strategy, parameters};
use crate::{objective::Objective, policy::Admitted};

/// The row.
pub const ENTRY: Entry = Entry {
    name: "best",
    about: "the best forecast quality within the caps",
    never_dominated: true,
    build: |value, _| parameters::<Parameters>(value).map(|_| Box::new(Best) as Box<dyn Strategy>),
    narrow: |_, _| true,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {}

struct Best;

impl Strategy for Best {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn rank(&self, admitted: &Admitted<'_>, _objective: &Objective, _seed: u64) -> Ranking {
        // Among equals the cheapest: a nano-dollar weighs less than any difference of quality that f32 can hold near 1.
        Ranking::certain(
            admitted.ordered_by(|index| -f64::from(admitted.forecasts[index].quality) + admitted.forecasts[index].cost.usd() * 1e-12),
        )
    }
}
