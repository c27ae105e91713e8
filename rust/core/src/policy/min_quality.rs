//! The forecast quality reaches the route's floor.

use super::{Case, Entry, Policy};

/// The row.
pub const ENTRY: Entry = Entry {
    name: "min_quality",
    about: "the forecast quality reaches the floor",
    soft: true,
    build: |constraints, _| Box::new(MinQuality { floor: constraints.min_quality }),
};

struct MinQuality {
    floor: Option<f32>,
}

impl Policy for MinQuality {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn violation(&self, case: &Case<'_>) -> Option<f64> {
        let floor = self.floor?;
        (case.forecast.quality < floor).then(|| f64::from((floor - case.forecast.quality) / floor))
    }
}
