//! What to do first with a call. The page a newcomer reads first.

use std::sync::Arc;

use crate::{
    call::Call,
    decision::Decision,
    error::{Code, Error},
    features::Features,
    live::{LiveView, Now},
    parse::{self, Facts, Request},
    plan::{Plan, RouteView, source::SecondTierUse},
    policy,
    predict::{Prediction, SecondTier},
    strategy::Ranking,
};

/// Optional inputs that take their time, for deciding again. Judges and caches come with their issues.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// What the route's second tier says of the text.
    pub second: Option<&'a Prediction>,
}

/// Decides on a call: which models may serve it, in which order, and why.
///
/// # Errors
/// Of the client (`invalid_json`, `model_not_found`, `no_candidate`, …) or of the models' state (`all_resting`).
pub fn decide(plan: &Plan, call: &Call<'_>, hints: &Hints<'_>, live: &LiveView<'_>, now: Now) -> Result<Decision, Error> {
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
    hints: &Hints<'_>,
    live: &LiveView<'_>,
    now: Now,
) -> Result<Decision, Error> {
    let view = plan.route(call, request)?;
    let predicted = predict(&view, call, request, live)?;
    choose(plan, &view, call, &request.model, request.facts, predicted, hints, live, now)
}

/// Decides again on a call with what a second tier has said of it since. The rest is as it was, readings too: the choice differs by
/// that alone, and replays.
///
/// # Errors
/// As [`choose`].
pub fn reconsider(plan: &Plan, view: &RouteView<'_>, call: &Call<'_>, first: &Decision, said: &Prediction) -> Result<Decision, Error> {
    let predicted = Predicted { prediction: first.prediction.clone(), template_bytes: first.template_bytes };
    let live = LiveView { models: first, ..LiveView::UNKNOWN };
    choose(plan, view, call, &first.model, first.facts, predicted, &Hints { second: Some(said) }, &live, first.now)
}

/// [`decide_request`], and [`reconsider`] where a second tier is asked inline. Waits for it as long as it takes.
///
/// # Errors
/// As [`decide_request`]; `predictor_failed` where the second tier fails.
pub fn decide_with_second_tier(
    plan: &Plan,
    call: &Call<'_>,
    request: &Request<'_>,
    live: &LiveView<'_>,
    now: Now,
) -> Result<Decision, Error> {
    let first = decide_request(plan, call, request, &Hints::default(), live, now)?;
    let question = Question::of(&first, request).filter(|question| question.tier.purpose == SecondTierUse::Inline);
    match question {
        Some(question) => reconsider(plan, &plan.route(call, request)?, call, &first, &question.answer()?),
        None => Ok(first),
    }
}

/// What a second tier is to be asked about a decision.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who is asked.
    pub tier: &'a Arc<SecondTier>,
    /// Of which text: what the first tier was shown.
    pub text: &'a str,
}

impl<'a> Question<'a> {
    /// `None` where the choice is clear, or the turn has no words of its own: it goes on with what was said of another text.
    #[must_use]
    pub fn of(decision: &'a Decision, request: &'a Request<'_>) -> Option<Self> {
        let tier = decision.doubt.as_ref()?;
        let text = request.text.get(decision.template_bytes as usize..).filter(|_| request.own_turn)?;
        Some(Self { tier, text })
    }

    /// What it says. Takes milliseconds.
    ///
    /// # Errors
    /// `predictor_failed`.
    pub fn answer(&self) -> Result<Prediction, Error> {
        self.tier.predictor.predict(&Features::of(self.text))
    }
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
    hints: &Hints<'_>,
    live: &LiveView<'_>,
    now: Now,
) -> Result<Decision, Error> {
    let route = view.route;
    let models = view.candidates.iter().map(|model| (&**model, live.models.model(&model.id)));
    let mut forecasts = route.predictor.forecasts(&predicted.prediction, models, &facts);
    let opinion = view.second_tier().zip(hints.second).map(|(tier, said)| tier.opinion(said, &mut forecasts)).transpose()?.map(Box::new);
    let objective = route.objective.resolve(&call.dials, view.named)?;
    let admitted = policy::admit(&route.policies, objective.when_unsatisfied, view.candidates, &forecasts, &facts, &call.dials, now)?;
    let ranking = if view.named {
        Ranking { order: admitted.indexes().collect(), propensity: 1.0 }
    } else {
        route.strategy.rank(&admitted, &objective, now.seed)
    };
    let (admissions, relaxed) = (admitted.admissions, admitted.relaxed);
    let decision = Decision::new(plan, view, model, facts, predicted, opinion, forecasts, admissions, relaxed, objective, ranking, now);
    Ok(match view.second_tier() {
        Some(tier) => decision.doubted_by(tier),
        None => decision,
    })
}
