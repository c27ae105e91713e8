//! The second tier: a graph too slow to be asked about every call, and how what it says joins what the first has said.

use std::{fmt, sync::Arc};

use super::{Forecast, Prediction, Predictor};
use crate::{error::Error, plan::source::SecondTierUse};

/// The second tier of a route.
pub struct SecondTier {
    /// Its graph, which has a column for each model that it knows.
    pub predictor: Arc<Predictor>,
    /// It is asked where the margin of a decision is below this; in units of quality, 0 to 1.
    pub ambiguity: f32,
    /// Its share in the logit of quality, 0 to 1.
    pub weight: f32,
    /// What it is asked for.
    pub purpose: SecondTierUse,
    /// By candidate of the route: the column that is its own.
    pub columns: Vec<Option<usize>>,
}

impl SecondTier {
    /// Joins what both tiers expect: `quality = σ((1 − w)·logit q₁ + w·logit q₂)`, a logarithmic opinion pool of two (Genest and
    /// Zidek, 1986, section 3). A candidate without a column keeps what the first tier says, and each keeps its deviation.
    ///
    /// # Errors
    /// `predictor_failed` where this is no prediction of the second tier's graph.
    pub(crate) fn opinion(self: &Arc<Self>, said: &Prediction, forecasts: &mut [Forecast]) -> Result<Opinion, Error> {
        let prediction = self.predictor.accept(said.clone())?;
        for (forecast, second) in forecasts.iter_mut().zip(self.qualities(&prediction)) {
            if let Some(second) = second {
                forecast.quality = pool(forecast.quality, second, self.weight);
            }
        }
        Ok(Opinion { tier: Arc::clone(self), prediction })
    }

    /// Qualities by candidate of the route; `None` where it has no column.
    fn qualities<'a>(&'a self, said: &'a Prediction) -> impl Iterator<Item = Option<f32>> + 'a {
        self.columns.iter().map(|column| said.quality().get((*column)?).copied())
    }
}

impl fmt::Debug for SecondTier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.predictor.digest())
    }
}

/// What a second tier said of a call.
#[derive(Clone, Debug)]
pub struct Opinion {
    /// Who said it.
    pub tier: Arc<SecondTier>,
    /// What it said.
    pub prediction: Prediction,
}

impl Opinion {
    /// Qualities by candidate of the route; `None` where it has no column.
    pub fn qualities(&self) -> impl Iterator<Item = Option<f32>> + '_ {
        self.tier.qualities(&self.prediction)
    }
}

/// Nearest to 0 and 1 that a quality counts: whoever is certain does not overrule the other tier alone.
const CERTAIN: f32 = 1e-4;

fn pool(first: f32, second: f32, weight: f32) -> f32 {
    let logit = |quality: f32| {
        let quality = quality.clamp(CERTAIN, 1.0 - CERTAIN);
        (quality / (1.0 - quality)).ln()
    };
    // Weights of 0 and 1 give one tier's word unchanged.
    if weight <= 0.0 {
        return first;
    }
    if weight >= 1.0 {
        return second;
    }
    1.0 / (1.0 + (-((1.0 - weight) * logit(first) + weight * logit(second))).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooling_is_linear_in_logits_and_either_tier_alone_at_the_ends() {
        assert_eq!(pool(0.3, 0.9, 0.0), 0.3);
        assert_eq!(pool(0.3, 0.9, 1.0), 0.9);
        assert!((pool(0.2, 0.8, 0.5) - 0.5).abs() < 1e-6);
        assert!((pool(0.7, 0.7, 0.25) - 0.7).abs() < 1e-6);
        // By hand: logits 0 and ln 9, a quarter of which is ln √3.
        assert!((pool(0.5, 0.9, 0.25) - 1.0 / (1.0 + 3f32.powf(-0.5))).abs() < 1e-6);
        assert!((pool(0.0, 1.0, 0.5) - 0.5).abs() < 1e-3);
    }
}
