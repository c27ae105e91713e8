//! Orders by forecast cost those whose forecast quality reaches the floor, then the rest by how far they miss it.

use serde::Deserialize;

use super::{Entry, Ranking, Strategy, parameters};
use crate::{objective::Objective, policy::Admitted};

/// The row.
pub const ENTRY: Entry = Entry {
    name: "cheapest",
    about: "the cheapest whose forecast quality reaches the floor",
    never_dominated: true,
    build: |value, _| parameters::<Parameters>(value).map(|_| Box::new(Cheapest) as Box<dyn Strategy>),
    narrow: |_, _| true,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {}

struct Cheapest;

impl Strategy for Cheapest {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    // Those that miss the floor carry a violation, by which `ordered_by` sorts first.
    fn rank(&self, admitted: &Admitted<'_>, _objective: &Objective, _seed: u64) -> Ranking {
        Ranking::certain(
            admitted.ordered_by(|index| admitted.forecasts[index].cost.usd() - f64::from(admitted.forecasts[index].quality) * 1e-15),
        )
    }
}
