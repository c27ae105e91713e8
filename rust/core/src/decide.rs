//! What to do first with a call. The page a newcomer reads first.

use crate::{
    call::Call,
    decision::Decision,
    error::{Code, Error},
    features::Features,
    live::{LiveView, Now},
    parse::{self, Facts, Request},
    plan::{Plan, RouteView},
    policy,
    predict::Prediction,
    strategy::Ranking,
};

/// Optional asynchronous inputs, for deciding again. Empty in this version: tier 2, judges and caches come with their issues.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints {}

/// Decides on a call: which models may serve it, in which order, and why.
///
/// # Errors
/// Of the client (`invalid_json`, `model_not_found`, `no_candidate`, …) or of the models' state (`all_resting`).
pub fn decide(plan: &Plan, call: &Call<'_>, hints: &Hints, live: &LiveView<'_>, now: Now) -> Result<Decision, Error> {
    let request = parse::request(call)?;
    decide_request(plan, call, &request, hints, live, now)
}

/// [`decide`] for a request that is parsed already, as the gateway needs it.
///
/// # Errors
/// As [`decide`], but for parsing.
pub fn decide_request(
    plan: &Plan,
    call: &Call<'_>,
    request: &Request<'_>,
    _hints: &Hints,
    live: &LiveView<'_>,
    now: Now,
) -> Result<Decision, Error> {
    let view = plan.route(call, request)?;
    let predicted = predict(&view, call, request, live)?;
    choose(plan, &view, call, &request.model, request.facts, predicted, live, now)
}

/// What the predictor said, and of which text.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicted {
    /// What it said.
    pub prediction: Prediction,
    /// Bytes of the template that was left out before the text.
    pub template_bytes: u32,
}

impl Predicted {
    /// What a route's predictor says of a text without the template with which it begins.
    ///
    /// # Errors
    /// `invalid_request` where no template can end there; `predictor_failed`.
    pub fn of(view: &RouteView<'_>, text: &str, template_bytes: u32) -> Result<Self, Error> {
        let own = text.get(template_bytes as usize..).ok_or_else(|| {
            let message = format!("byte {template_bytes} is not between two characters of the text, which has {}", text.len());
            Error::new(Code::InvalidRequest, "template_bytes", message)
        })?;
        Ok(Self { prediction: view.route.predictor.predict(&Features::of(own))?, template_bytes })
    }
}

fn predict(view: &RouteView<'_>, call: &Call<'_>, request: &Request<'_>, live: &LiveView<'_>) -> Result<Predicted, Error> {
    // A turn without words of the user's own continues the task that the session's last prediction was made for.
    match live.last_prediction {
        Some(last) if !request.own_turn && last.predictor == *view.route.predictor.digest() => {
            Ok(Predicted { prediction: last.prediction.clone(), template_bytes: 0 })
        }
        _ => Predicted::of(view, &request.text, live.templates.bytes(&call.identity.tenant, &view.route.id, &request.text)),
    }
}

/// The second half of [`decide`], from a prediction on: what `replay` runs on recorded calls.
///
/// # Errors
/// `no_candidate`, `all_resting`, `dial_ignored`.
#[expect(clippy::too_many_arguments, reason = "the stages' inputs, one by one: there is no context bag")]
pub fn choose(
    plan: &Plan,
    view: &RouteView<'_>,
    call: &Call<'_>,
    model: &str,
    facts: Facts,
    predicted: Predicted,
    live: &LiveView<'_>,
    now: Now,
) -> Result<Decision, Error> {
    let route = view.route;
    let models = view.candidates.iter().map(|model| (&**model, live.models.model(&model.id)));
    let forecasts = route.predictor.forecasts(&predicted.prediction, models, &facts);
    let objective = route.objective.resolve(&call.dials, view.named)?;
    let admitted = policy::admit(&route.policies, objective.when_unsatisfied, view.candidates, &forecasts, &facts, &call.dials, now)?;
    let ranking = if view.named {
        Ranking { order: admitted.indexes().collect(), propensity: 1.0 }
    } else {
        route.strategy.rank(&admitted, &objective, now.seed)
    };
    let (admissions, relaxed) = (admitted.admissions, admitted.relaxed);
    Ok(Decision::new(plan, view, model, facts, predicted, forecasts, admissions, relaxed, objective, ranking, now))
}
