//! What was decided and why, with every reading that was used: a decision replays exactly.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use crate::{
    decide::Predicted,
    live::{Now, Reading, Readings},
    money::NanoUsd,
    objective::Objective,
    parse::Facts,
    plan::{Fields, Model, Plan, RouteView, Timeouts, source::WhenUnsatisfied},
    policy::Admission,
    predict::{Forecast, Forecasts, Opinion, Prediction, SecondTier},
    strategy::{Ranking, utility},
};

/// A decision. Cheap: names are shared, text is made only when it is asked for.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The plan's id.
    pub plan: Arc<str>,
    /// The predictor's digest.
    pub predictor: Arc<str>,
    /// `namespace/policy`.
    pub route: Arc<str>,
    /// What the caller asked for.
    pub model: Box<str>,
    /// What is asked of a model.
    pub facts: Facts,
    /// What the predictor said.
    pub prediction: Prediction,
    /// Bytes of the template that it was not shown: the text's beginning, which recurs from call to call.
    pub template_bytes: u32,
    /// What the second tier said, where it was decided with it.
    pub opinion: Option<Box<Opinion>>,
    /// The second tier that is to be asked, for the choice is close.
    pub doubt: Option<Arc<SecondTier>>,
    /// What quality, money and time are worth.
    pub objective: Objective,
    /// Soft policies that had to be relaxed.
    pub relaxed: Vec<&'static str>,
    /// Candidates, in the route's order.
    pub candidates: Vec<Candidate>,
    /// Index of the candidate that always-best would call.
    pub baseline: usize,
    /// Indexes of the admitted, best first. Never empty.
    pub ranking: Vec<usize>,
    /// Probability with which the strategy puts the first one first.
    pub propensity: f64,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Additional attempts after the first.
    pub retry_attempts: u32,
    /// Time and draw.
    pub now: Now,
    /// Details of the call that conditions have read to find the route.
    pub read: Fields,
}

/// A candidate in a decision.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The model, shared with the plan: a decision outlives a swap.
    pub model: CandidateModel,
    /// Its forecast.
    pub forecast: Forecast,
    /// What the policies say.
    pub admission: Admission,
}

/// A shared model that prints as its id.
#[derive(Clone)]
pub struct CandidateModel(pub Arc<Model>);

impl std::fmt::Debug for CandidateModel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0.id)
    }
}

impl Decision {
    #[expect(clippy::too_many_arguments, reason = "one value per stage of `decide`")]
    pub(crate) fn new(
        plan: &Plan,
        view: &RouteView<'_>,
        model: &str,
        facts: Facts,
        predicted: Predicted,
        opinion: Option<Box<Opinion>>,
        forecasts: Forecasts,
        admissions: Vec<Admission>,
        relaxed: Vec<&'static str>,
        objective: Objective,
        ranking: Ranking,
        now: Now,
    ) -> Self {
        let candidates = view
            .candidates
            .iter()
            .zip(forecasts)
            .zip(admissions)
            .map(|((model, forecast), admission)| Candidate { model: CandidateModel(Arc::clone(model)), forecast, admission })
            .collect();
        Self {
            plan: Arc::clone(plan.id()),
            predictor: Arc::clone(view.route.predictor.digest()),
            route: Arc::clone(&view.route.id),
            model: model.into(),
            facts,
            prediction: predicted.prediction,
            template_bytes: predicted.template_bytes,
            opinion,
            doubt: None,
            objective,
            relaxed,
            candidates,
            baseline: if view.named { 0 } else { view.route.baseline },
            ranking: ranking.order,
            propensity: ranking.propensity,
            timeouts: view.route.timeouts,
            retry_attempts: view.route.retry_attempts,
            now,
            read: view.read,
        }
    }

    /// The candidate that was chosen.
    #[must_use]
    pub fn chosen(&self) -> &Candidate {
        // `admit` refuses a call without candidates, so a decision always ranks at least one.
        &self.candidates[self.ranking[0]]
    }

    /// Doubts the choice where it is closer than the second tier's limit, unless that one has spoken.
    pub(crate) fn doubted_by(mut self, tier: &Arc<SecondTier>) -> Self {
        let close = || self.margin().is_some_and(|margin| margin < f64::from(tier.ambiguity));
        self.doubt = (self.opinion.is_none() && close()).then(|| Arc::clone(tier));
        self
    }

    /// How far the choice is from the best other candidate that is admitted, in units of quality, at least 0: the difference of
    /// `quality − cost / willingness to pay` where the strategy trades, of quality where it does not. `None` where nothing else is
    /// admitted, or quality is worth nothing.
    #[must_use]
    pub fn margin(&self) -> Option<f64> {
        let willingness = self.objective.willingness_to_pay_usd;
        let worth = |index: usize| {
            let Forecast { quality, cost, .. } = self.candidates[index].forecast;
            f64::from(quality) - willingness.map_or(0.0, |willingness| cost.usd() / willingness)
        };
        let (chosen, others) = self.ranking.split_first()?;
        let best = others.iter().map(|&index| worth(index)).reduce(f64::max)?;
        (willingness != Some(0.0)).then(|| (worth(*chosen) - best).abs())
    }

    /// Willingness to pay × quality − cost in USD, where the strategy trades.
    #[must_use]
    pub fn utility(&self, candidate: &Candidate) -> Option<f64> {
        self.objective
            .willingness_to_pay_usd
            .map(|willingness| utility(willingness, candidate.forecast.quality, candidate.forecast.cost.usd()))
    }

    /// The candidate that always-best would call, whatever the prompt; the named model where one was named.
    #[must_use]
    pub fn baseline(&self) -> &Candidate {
        &self.candidates[self.baseline]
    }

    /// The decision in the shape of the contract.
    #[must_use]
    pub fn document<'a>(&'a self, id: &'a str) -> Document<'a> {
        let first = self.chosen();
        Document {
            id,
            plan: &self.plan,
            predictor: &self.predictor,
            route: &self.route,
            request: RequestDocument {
                model: &self.model,
                input_tokens: first.forecast.input_tokens,
                needs: self.facts.needs(),
                template_bytes: self.template_bytes,
            },
            objective: ObjectiveDocument {
                willingness_to_pay_usd: self.objective.willingness_to_pay_usd,
                min_quality: self.objective.min_quality,
                max_request_usd: self.objective.max_request_usd,
                first_token_ms: self.objective.first_token_ms,
                when_unsatisfied: self.objective.when_unsatisfied,
                relaxed: &self.relaxed,
            },
            chosen: &first.model.0.id,
            ranking: self.ranking.iter().map(|&index| &*self.candidates[index].model.0.id).collect(),
            propensity: self.propensity,
            candidates: self.candidates.iter().map(|candidate| self.candidate_document(candidate)).collect(),
            readings: self.readings(),
            second_tier: self.opinion.as_ref().map(|opinion| self.second_tier_document(opinion)),
        }
    }

    /// What a second tier said of this call, as outcomes and decisions have it.
    #[must_use]
    pub fn second_tier_document<'a>(&'a self, opinion: &'a Opinion) -> SecondTierDocument<'a> {
        let said = self.candidates.iter().zip(opinion.qualities());
        let quality = said.filter_map(|(candidate, quality)| Some((&*candidate.model.0.id, quality?))).collect();
        SecondTierDocument { digest: opinion.tier.predictor.digest(), quality }
    }

    /// The readings used, by model id; models of which nothing was known are left out.
    #[must_use]
    pub fn readings(&self) -> BTreeMap<&str, Reading> {
        self.candidates
            .iter()
            .filter(|candidate| candidate.forecast.reading != Reading::default())
            .map(|candidate| (&*candidate.model.0.id, candidate.forecast.reading))
            .collect()
    }

    fn candidate_document<'a>(&'a self, candidate: &'a Candidate) -> CandidateDocument<'a> {
        let forecast = &candidate.forecast;
        CandidateDocument {
            model: &candidate.model.0.id,
            quality: forecast.quality,
            quality_sd: forecast.quality_sd,
            input_tokens: forecast.input_tokens,
            output_tokens: forecast.output_tokens,
            cost_nanousd: forecast.cost,
            first_token_ms: forecast.first_token_ms,
            utility: self.utility(candidate),
            admitted: candidate.admission.refused_by.is_none(),
            reason: candidate.admission.refused_by,
        }
    }
}

impl Readings for Decision {
    fn model(&self, id: &str) -> Reading {
        let read = self.candidates.iter().find(|candidate| *candidate.model.0.id == *id);
        read.map_or_else(Reading::default, |candidate| candidate.forecast.reading)
    }
}

/// A decision as JSON.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    id: &'a str,
    plan: &'a str,
    predictor: &'a str,
    route: &'a str,
    request: RequestDocument<'a>,
    objective: ObjectiveDocument<'a>,
    chosen: &'a str,
    ranking: Vec<&'a str>,
    propensity: f64,
    candidates: Vec<CandidateDocument<'a>>,
    readings: BTreeMap<&'a str, Reading>,
    #[serde(skip_serializing_if = "Option::is_none")]
    second_tier: Option<SecondTierDocument<'a>>,
}

/// What a second tier said of a call.
#[derive(Debug, Serialize)]
pub struct SecondTierDocument<'a> {
    digest: &'a str,
    /// By model, of those that it knows.
    quality: BTreeMap<&'a str, f32>,
}

#[derive(Debug, Serialize)]
struct RequestDocument<'a> {
    model: &'a str,
    input_tokens: u32,
    needs: Vec<&'static str>,
    template_bytes: u32,
}

#[derive(Debug, Serialize)]
struct ObjectiveDocument<'a> {
    willingness_to_pay_usd: Option<f64>,
    min_quality: Option<f32>,
    max_request_usd: Option<f64>,
    first_token_ms: Option<f32>,
    when_unsatisfied: WhenUnsatisfied,
    relaxed: &'a [&'static str],
}

#[derive(Debug, Serialize)]
struct CandidateDocument<'a> {
    model: &'a str,
    quality: f32,
    quality_sd: f32,
    input_tokens: u32,
    output_tokens: u32,
    cost_nanousd: NanoUsd,
    first_token_ms: Option<f32>,
    utility: Option<f64>,
    admitted: bool,
    reason: Option<&'static str>,
}
