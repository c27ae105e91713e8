//! Draws the order by weight without replacement, as traffic splits and exploration want it.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::{Entry, Ranking, Refusal, Strategy, find, parameters};
use crate::{objective::Objective, policy::Admitted};

/// The row.
pub const ENTRY: Entry = Entry {
    name: "weighted",
    about: "a draw by weight",
    never_dominated: false,
    build: |value, candidates| {
        let Parameters { weights } = parameters(value)?;
        let mut by_index = vec![0_u32; candidates.len()];
        for (name, weight) in &weights {
            by_index[find(name, candidates, format!(".weights.{name}"))?] = *weight;
        }
        if by_index.iter().all(|&weight| weight == 0) {
            return Err(Refusal::new(".weights", "at least one weight must be positive"));
        }
        let weights = candidates.iter().map(|model| Arc::clone(&model.id)).zip(by_index).collect();
        Ok(Box::new(Weighted { weights }))
    },
    narrow: |value, left| {
        let Some(weights) = value["weights"].as_object_mut() else { return false };
        weights.retain(|name, _| left(name));
        weights.values().any(|weight| *weight != 0)
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    weights: BTreeMap<String, u32>,
}

struct Weighted {
    weights: BTreeMap<Arc<str>, u32>,
}

impl Strategy for Weighted {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn rank(&self, admitted: &Admitted<'_>, _objective: &Objective, seed: u64) -> Ranking {
        let order = admitted.ordered_by(|index| -f64::from(admitted.forecasts[index].quality));
        let Some(&first) = order.first() else { return Ranking::certain(order) };
        // Weights split what the policies leave; a larger violation never comes before a smaller one.
        let least = admitted.admissions[first].violation;
        let (mut pool, rest): (Vec<usize>, Vec<usize>) =
            order.into_iter().partition(|&index| admitted.admissions[index].violation <= least);
        let weight = |index: usize| u64::from(self.weights.get(&admitted.candidates[index].id).copied().unwrap_or(0));
        let mut state = seed;
        let mut order = Vec::with_capacity(pool.len() + rest.len());
        let mut propensity = 1.0;
        while !pool.is_empty() {
            let total: u64 = pool.iter().map(|&index| weight(index)).sum();
            let at = if total == 0 { 0 } else { draw(&pool, weight, split_mix(&mut state) % total) };
            if order.is_empty() && total > 0 {
                #[expect(clippy::cast_precision_loss, reason = "a sum of at most 64 weights")]
                let share = weight(pool[at]) as f64 / total as f64;
                propensity = share;
            }
            order.push(pool.remove(at));
        }
        order.extend(rest);
        Ranking { order, propensity }
    }
}

fn draw(pool: &[usize], weight: impl Fn(usize) -> u64, mut ticket: u64) -> usize {
    for (at, &index) in pool.iter().enumerate() {
        match ticket.checked_sub(weight(index)) {
            Some(left) => ticket = left,
            None => return at,
        }
    }
    0
}

/// `SplitMix64` (Steele, Lea, Flood 2014): one 64-bit state, good enough for a draw and the same everywhere.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
