//! One model first, always; the others follow as its stand-ins, by forecast quality.

use std::sync::Arc;

use serde::Deserialize;

use super::{Entry, Ranking, Strategy, find, parameters};
use crate::{objective::Objective, policy::Admitted};

/// The row.
pub const ENTRY: Entry = Entry {
    name: "pinned",
    about: "one model, the others as its stand-ins",
    never_dominated: false,
    build: |value, candidates| {
        let Parameters { model } = parameters(value)?;
        let index = find(&model, candidates, ".model".to_owned())?;
        Ok(Box::new(Pinned { model: Arc::clone(&candidates[index].id) }))
    },
    narrow: |value, left| value["model"].as_str().is_some_and(left),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    model: String,
}

struct Pinned {
    model: Arc<str>,
}

impl Strategy for Pinned {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn rank(&self, admitted: &Admitted<'_>, _objective: &Objective, _seed: u64) -> Ranking {
        let mut order = admitted.ordered_by(|index| -f64::from(admitted.forecasts[index].quality));
        if let Some(at) = order.iter().position(|&index| admitted.candidates[index].id == self.model) {
            order[..=at].rotate_right(1);
        }
        Ranking::certain(order)
    }
}
