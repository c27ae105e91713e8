//! What quality, money and time are worth for this call here and now.

use crate::{
    call::Dials,
    error::{Code, Error},
    plan::source::{Constraints, WhenUnsatisfied},
    strategy::Strategy,
};

/// The objective a route declares.
#[derive(Clone, Debug)]
pub struct ObjectiveSpec {
    willingness_to_pay_usd: Option<f64>,
    constraints: Constraints,
    strategy: &'static str,
}

/// The objective of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// USD per request for quality from 0 to 1; `None` where the strategy does not trade.
    pub willingness_to_pay_usd: Option<f64>,
    /// Quality floor.
    pub min_quality: Option<f32>,
    /// Cost cap in USD: the route's or the call's, whichever is tighter.
    pub max_request_usd: Option<f64>,
    /// First-token deadline in milliseconds.
    pub first_token_ms: Option<f32>,
    /// What happens when the three above leave no candidate.
    pub when_unsatisfied: WhenUnsatisfied,
}

impl ObjectiveSpec {
    /// From a route's constraints and strategy.
    #[must_use]
    pub fn new(constraints: &Constraints, strategy: &dyn Strategy) -> Self {
        Self {
            willingness_to_pay_usd: strategy.willingness_to_pay_usd(),
            constraints: constraints.clone(),
            strategy: strategy.entry().name,
        }
    }

    /// What happens when floor, cap and deadline leave no candidate.
    #[must_use]
    pub fn when_unsatisfied(&self) -> WhenUnsatisfied {
        self.constraints.when_unsatisfied
    }

    /// Joins the route's objective and the call's dials. `named`: the caller named the model, so nothing is traded.
    ///
    /// # Errors
    /// `dial_ignored` for a willingness to pay that the strategy would not look at.
    pub fn resolve(&self, dials: &Dials, named: bool) -> Result<Objective, Error> {
        if dials.willingness_to_pay_usd.is_some() && (self.willingness_to_pay_usd.is_none() || named) {
            let why = if named {
                "the model is named in the request".to_owned()
            } else {
                format!("strategy `{}` does not trade quality for money", self.strategy)
            };
            return Err(Error::new(
                Code::DialIgnored,
                crate::call::WILLINGNESS_TO_PAY,
                format!("`{}` would be ignored: {why}; accepted with strategy `utility`", crate::call::WILLINGNESS_TO_PAY),
            ));
        }
        #[expect(clippy::cast_precision_loss, reason = "caps are far below 2^53 nano-dollars")]
        let route_cap = self.constraints.max_request_nanousd.map(|cap| cap as f64 / 1e9);
        Ok(Objective {
            willingness_to_pay_usd: dials.willingness_to_pay_usd.or(self.willingness_to_pay_usd),
            min_quality: self.constraints.min_quality,
            max_request_usd: route_cap.into_iter().chain(dials.max_cost_usd).reduce(f64::min),
            first_token_ms: self.constraints.first_token_ms,
            when_unsatisfied: self.constraints.when_unsatisfied,
        })
    }
}
