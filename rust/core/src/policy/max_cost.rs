//! The forecast cost stays within the route's cap and the call's, whichever is tighter.

use super::{Case, Entry, Policy, excess};

/// The row.
pub const ENTRY: Entry = Entry {
    name: "max_cost",
    about: "the forecast cost stays within the cap",
    soft: true,
    build: |constraints, _| Box::new(MaxCost { nanousd: constraints.max_request_nanousd }),
};

struct MaxCost {
    nanousd: Option<i64>,
}

impl Policy for MaxCost {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    #[expect(clippy::cast_precision_loss, reason = "caps are far below 2^53 nano-dollars")]
    fn violation(&self, case: &Case<'_>) -> Option<f64> {
        let route = self.nanousd.map(|cap| cap as f64);
        let dial = case.dials.max_cost_usd.map(|usd| usd * 1e9);
        let cap = route.into_iter().chain(dial).reduce(f64::min)?;
        excess(case.forecast.cost.0 as f64, cap)
    }
}
