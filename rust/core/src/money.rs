//! Integer money: prices in nano-dollars per million tokens, costs in nano-dollars, rounded once (half to even).

use serde::{Deserialize, Serialize};

/// Nano-dollars: 1e-9 USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    /// The amount in USD.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for display and utilities; 2^53 nano-dollars are nine million dollars")]
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// What a model charges, in nano-dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Prompt tokens.
    pub input_nanousd_per_million: i64,
    /// Answer tokens.
    pub output_nanousd_per_million: i64,
    /// Prompt tokens that the upstream had cached; as input where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_nanousd_per_million: Option<i64>,
}

impl Price {
    /// The cost of an answer. `cached` is the part of `input` that was cached; all three in tokens.
    #[must_use]
    pub fn cost(&self, input: u64, cached: u64, output: u64) -> NanoUsd {
        let cached = cached.min(input);
        let cached_price = self.cached_input_nanousd_per_million.unwrap_or(self.input_nanousd_per_million);
        let total = i128::from(input - cached) * i128::from(self.input_nanousd_per_million)
            + i128::from(cached) * i128::from(cached_price)
            + i128::from(output) * i128::from(self.output_nanousd_per_million);
        NanoUsd(i64::try_from(divide_half_even(total, 1_000_000)).unwrap_or(i64::MAX))
    }
}

fn divide_half_even(value: i128, by: i128) -> i128 {
    let (quotient, rest) = (value.div_euclid(by), value.rem_euclid(by));
    match (2 * rest).cmp(&by) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + (quotient & 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_round_once_and_half_to_even() {
        for (value, expected) in [(2_500_000, 2), (3_500_000, 4), (2_500_001, 3), (499_999, 0), (500_000, 0)] {
            assert_eq!(divide_half_even(value, 1_000_000), expected, "{value}");
        }
    }

    #[test]
    fn cached_tokens_have_their_own_price_and_never_exceed_the_input() {
        let price = Price {
            input_nanousd_per_million: 1_000_000_000,
            output_nanousd_per_million: 2_000_000_000,
            cached_input_nanousd_per_million: Some(100_000_000),
        };
        assert_eq!(price.cost(1000, 0, 10), NanoUsd(1_020_000));
        assert_eq!(price.cost(1000, 1000, 0), NanoUsd(100_000));
        assert_eq!(price.cost(10, 99, 0), NanoUsd(1_000));
    }
}
