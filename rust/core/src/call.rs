//! What came in: a body, who sent it, and the dials it turned.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Code, Error};

/// Who calls. The tenant is the namespace of the authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its namespace.
    pub tenant: String,
    /// Its labels, for conditions and outcomes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Identity {
    /// A caller of a namespace, without labels.
    #[must_use]
    pub fn of(tenant: impl Into<String>) -> Self {
        Self { tenant: tenant.into(), labels: BTreeMap::new() }
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::of("default")
    }
}

/// Per-request dials, from the request headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dials {
    /// USD per request for quality from 0 to 1; `x-tradewind-willingness-to-pay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub willingness_to_pay_usd: Option<f64>,
    /// Cap on the forecast cost in USD; `x-tradewind-max-cost-usd`. Only tightens the route's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
}

/// Name of the willingness-to-pay header.
pub const WILLINGNESS_TO_PAY: &str = "x-tradewind-willingness-to-pay";
/// Name of the cost cap header.
pub const MAX_COST: &str = "x-tradewind-max-cost-usd";

impl Dials {
    /// Dials from the texts of the two headers.
    ///
    /// # Errors
    /// `invalid_header` for anything but a number of USD from 0 to 1,000,000.
    pub fn parse(willingness_to_pay: Option<&str>, max_cost: Option<&str>) -> Result<Self, Error> {
        Ok(Self {
            willingness_to_pay_usd: willingness_to_pay.map(|text| usd(WILLINGNESS_TO_PAY, text)).transpose()?,
            max_cost_usd: max_cost.map(|text| usd(MAX_COST, text)).transpose()?,
        })
    }

    /// Checks dials that did not come from headers.
    ///
    /// # Errors
    /// As [`Dials::parse`].
    pub fn checked(self) -> Result<Self, Error> {
        for (name, value) in [(WILLINGNESS_TO_PAY, self.willingness_to_pay_usd), (MAX_COST, self.max_cost_usd)] {
            if value.is_some_and(|value| !(0.0..=1e6).contains(&value)) {
                return Err(refused(name, value.unwrap_or(f64::NAN).to_string().as_str()));
            }
        }
        Ok(self)
    }
}

fn usd(header: &'static str, text: &str) -> Result<f64, Error> {
    match text.trim().parse::<f64>() {
        Ok(value) if (0.0..=1e6).contains(&value) => Ok(value),
        _ => Err(refused(header, text)),
    }
}

fn refused(header: &'static str, text: &str) -> Error {
    Error::new(
        Code::InvalidHeader,
        header,
        format!("`{header}` is `{}`; expected a number of USD from 0 to 1000000", crate::error::excerpt(text)),
    )
}

/// A call as it came in. Borrowed: the core copies nothing of it but what a decision keeps.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Body bytes, OpenAI chat completions.
    pub body: &'a [u8],
    /// Who calls.
    pub identity: &'a Identity,
    /// Namespace whose routes it addresses: the caller's own, or another that admits it.
    pub namespace: &'a str,
    /// Dials of this request.
    pub dials: Dials,
}

impl<'a> Call<'a> {
    /// A call to the routes of the caller's own namespace.
    #[must_use]
    pub fn new(body: &'a [u8], identity: &'a Identity, dials: Dials) -> Self {
        Self { body, identity, namespace: &identity.tenant, dials }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_is_a_finite_amount_or_an_error_that_names_the_header() {
        assert_eq!(Dials::parse(Some("0.02"), None).unwrap().willingness_to_pay_usd, Some(0.02));
        for bad in ["", "x", "NaN", "inf", "-1", "1e9"] {
            assert_eq!(Dials::parse(None, Some(bad)).unwrap_err().path, MAX_COST);
        }
    }
}
