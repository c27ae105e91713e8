//! A compiled plan that decides in process.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tradewind_core::{
    Call, Code, Dials, Error, Identity, LiveView, Now, Plan,
    decide::decide_with_second_tier,
    features::Features,
    live::Given,
    parse,
    plan::{self, CAPABILITIES, DIALECTS, Predictors, Problem},
    policy,
    predict::{Graph, Input, KINDS, Predictor},
    record::{self, Capture},
    strategy,
};
use tradewind_gateway::Executor;

use crate::error::{internal, raise, refused};

/// Loads predictors by digest. `executor` is one of `Executor::NAMES`; ONNX Runtime needs its library.
pub fn load(files: &[Vec<u8>], executor: &str, library: Option<&Path>) -> Result<Predictors, Error> {
    let executor = Executor::named(executor)?;
    files
        .iter()
        .map(|file| {
            let predictor = executor.load(file, library)?;
            Ok((predictor.digest().to_string(), Arc::new(predictor)))
        })
        .collect()
}

/// A compiled plan. Immutable, shared between threads; every call releases the GIL.
#[pyclass(frozen, module = "tradewind._core")]
pub struct Planner {
    plan: Plan,
    warnings: Vec<Problem>,
}

/// One line of `decide`'s input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    #[serde(default)]
    body: Option<Box<serde_json::value::RawValue>>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    willingness_to_pay_usd: Option<f64>,
    #[serde(default)]
    max_cost_usd: Option<f64>,
    #[serde(default)]
    template_bytes: u32,
}

#[pymethods]
impl Planner {
    #[new]
    #[pyo3(signature = (plan, predictors, executor = "native", library = None))]
    fn new(py: Python<'_>, plan: Vec<u8>, predictors: Vec<Vec<u8>>, executor: &str, library: Option<PathBuf>) -> PyResult<Self> {
        py.detach(|| {
            let predictors = load(&predictors, executor, library.as_deref())?;
            let compiled = plan::compile(&plan, &predictors).map_err(|problems| refused(&problems))?;
            Ok(Self { plan: compiled.plan, warnings: compiled.warnings })
        })
        .map_err(raise)
    }

    /// The plan's id.
    #[getter]
    fn id(&self) -> &str {
        self.plan.id()
    }

    /// Problems that did not refuse the plan, as JSON.
    #[getter]
    fn warnings(&self) -> PyResult<String> {
        serde_json::to_string(&self.warnings).map_err(internal)
    }

    /// Decides on one body; a decision as JSON.
    #[pyo3(signature = (
        body, *, tenant = "default", namespace = None, labels = None, willingness_to_pay_usd = None, max_cost_usd = None, at_ns = 0,
        seed = 0, id = ""
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python call")]
    fn decide<'py>(
        &self,
        py: Python<'py>,
        body: &[u8],
        tenant: &str,
        namespace: Option<&str>,
        labels: Option<BTreeMap<String, String>>,
        willingness_to_pay_usd: Option<f64>,
        max_cost_usd: Option<f64>,
        at_ns: u64,
        seed: u64,
        id: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let dials = Dials { willingness_to_pay_usd, max_cost_usd };
        let identity = Identity { tenant: tenant.to_owned(), labels: labels.unwrap_or_default() };
        let now = Now { unix_ns: at_ns, seed };
        let call = Call { namespace: namespace.unwrap_or(tenant), ..Call::new(body, &identity, dials) };
        let document = py.detach(|| self.document(&call, &LiveView::UNKNOWN, now, id)).map_err(raise)?;
        Ok(PyBytes::new(py, &document))
    }

    /// Decides on JSON Lines of `{"id", "body" | "text", "willingness_to_pay_usd"?, "max_cost_usd"?, "template_bytes"?}`; a decision or
    /// an error a line.
    #[pyo3(signature = (lines, *, tenant = "default", at_ns = 0, seed = 0))]
    fn decide_lines<'py>(&self, py: Python<'py>, lines: &[u8], tenant: &str, at_ns: u64, seed: u64) -> Bound<'py, PyBytes> {
        let out = py.detach(|| {
            let mut out = Vec::with_capacity(lines.len());
            for (number, line) in lines.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()) {
                out.extend_from_slice(&self.line(number + 1, line, tenant, at_ns, seed));
                out.push(b'\n');
            }
            out
        });
        PyBytes::new(py, &out)
    }

    /// Decides a recorded call again, from an outcome's `capture` as JSON.
    fn decide_again<'py>(&self, py: Python<'py>, capture: &[u8], id: &str) -> PyResult<Bound<'py, PyBytes>> {
        let document = py
            .detach(|| {
                let capture: Capture =
                    serde_json::from_slice(capture).map_err(|error| Error::new(Code::InvalidRequest, "capture", error.to_string()))?;
                let decision = record::decide_again(&self.plan, &capture)?;
                Ok(serde_json::to_vec(&decision.document(id)).unwrap_or_default())
            })
            .map_err(raise)?;
        Ok(PyBytes::new(py, &document))
    }

    /// What the predictor of the first route says of a text, before any model is looked at.
    fn classify<'py>(&self, py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyDict>> {
        let route = self.plan.routes().first().ok_or_else(|| internal("the plan has no route"))?;
        let prediction = py.detach(|| route.predictor.predict(&Features::of(text))).map_err(raise)?;
        let parts = PyDict::new(py);
        parts.set_item("difficulty", prediction.difficulty())?;
        parts.set_item("latent", prediction.latent())?;
        parts.set_item("length", prediction.length())?;
        parts.set_item("similarity", prediction.similarity())?;
        parts.set_item("topics", prediction.topics())?;
        parts.set_item("quality", prediction.quality())?;
        parts.set_item("output_tokens", prediction.output_tokens())?;
        Ok(parts)
    }

    /// The cost in nano-dollars of tokens at a model's prices.
    #[pyo3(signature = (model, input_tokens, output_tokens, cached_tokens = 0))]
    fn cost(&self, model: &str, input_tokens: u64, output_tokens: u64, cached_tokens: u64) -> PyResult<i64> {
        let known: Vec<&str> = self.plan.models().iter().map(|model| &*model.id).collect();
        let found = self.plan.models().iter().find(|candidate| &*candidate.id == model || candidate.name() == model);
        let found =
            found.ok_or_else(|| raise(Error::new(Code::ModelNotFound, "model", tradewind_core::error::unknown("model", model, &known))))?;
        Ok(found.price.cost(input_tokens, cached_tokens, output_tokens).0)
    }
}

impl Planner {
    /// The compiled plan, for the benches of this crate.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    fn document(&self, call: &Call<'_>, live: &LiveView<'_>, now: Now, id: &str) -> Result<Vec<u8>, Error> {
        let call = Call { dials: call.dials.checked()?, ..*call };
        // As a gateway decides that has an answer in time.
        let decision = decide_with_second_tier(&self.plan, &call, &parse::request(&call)?, live, now)?;
        serde_json::to_vec(&decision.document(id)).map_err(|error| Error::new(Code::Internal, "", error.to_string()))
    }

    fn line(&self, number: usize, line: &[u8], tenant: &str, at_ns: u64, seed: u64) -> Vec<u8> {
        let unreadable = |message: String| Error::new(Code::InvalidRequest, format!("line {number}"), message);
        let (id, result) = match serde_json::from_slice::<Line>(line) {
            Err(error) => match id(line) {
                id @ Value::Number(_) => {
                    let message = format!("line {number} cannot be read: its id {id} is a number; expected a string, such as \"{id}\"");
                    (id, Err(unreadable(message)))
                }
                id => (id, Err(unreadable(format!("line {number} cannot be read: {error}")))),
            },
            Ok(line) => {
                let dials = Dials { willingness_to_pay_usd: line.willingness_to_pay_usd, max_cost_usd: line.max_cost_usd };
                // Each line draws for itself, and the same line draws the same.
                let now = Now { unix_ns: at_ns, seed: seed ^ fnv(line.id.as_bytes()) };
                let body = match (&line.body, &line.text) {
                    (Some(body), None) => Ok(body.get().to_owned()),
                    (None, Some(text)) => Ok(json!({"model": "auto", "messages": [{"role": "user", "content": text}]}).to_string()),
                    _ => Err(unreadable(format!("line {number} needs exactly one of `body`, `text`"))),
                };
                let identity = Identity::of(tenant);
                let templates = Given(line.template_bytes);
                let live = LiveView { templates: &templates, ..LiveView::UNKNOWN };
                let result = body.and_then(|body| self.document(&Call::new(body.as_bytes(), &identity, dials), &live, now, &line.id));
                (Value::String(line.id), result)
            }
        };
        result.unwrap_or_else(|error| {
            let body = json!({"id": id, "error": {"code": error.code.row().code, "message": error.message, "path": error.path}});
            body.to_string().into_bytes()
        })
    }
}

/// The id of a line that is otherwise unreadable, if it has one that can stand in the answer.
fn id(line: &[u8]) -> Value {
    match serde_json::from_slice::<Value>(line).map(|mut line| line["id"].take()) {
        Ok(id @ (Value::String(_) | Value::Number(_))) => id,
        _ => Value::Null,
    }
}

/// FNV-1a, 64 bit.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Compiles a plan source and gives all its problems as JSON: `[{code, severity, path, message, accepted}]`.
#[pyfunction]
pub fn check_plan(py: Python<'_>, plan: Vec<u8>, predictors: Vec<Vec<u8>>) -> PyResult<String> {
    py.detach(|| {
        let checked = |file: &Vec<u8>| Predictor::checked(file).map(|predictor| (predictor.digest().to_string(), Arc::new(predictor)));
        let predictors: Predictors = predictors.iter().map(checked).collect::<Result<_, _>>().map_err(raise)?;
        let problems = match plan::compile(&plan, &predictors) {
            Ok(compiled) => compiled.warnings,
            Err(problems) => problems,
        };
        serde_json::to_string(&problems).map_err(internal)
    })
}

/// What an ONNX file is as a predictor, as JSON: `{kind, inputs, models, output_tokens}`; `models` is 0 for the microsecond tier.
#[pyfunction]
pub fn describe_graph(py: Python<'_>, file: &[u8]) -> PyResult<String> {
    let described = py.detach(|| {
        let graph = Graph::read(file)?;
        let inputs: Vec<&str> = graph.inputs().iter().copied().map(Input::name).collect();
        let dimensions = graph.dimensions();
        let (models, output_tokens) = (dimensions.quality, dimensions.output_tokens > 0);
        Ok(json!({"kind": graph.kind(), "inputs": inputs, "models": models, "output_tokens": output_tokens}))
    });
    Ok(described.map_err(raise)?.to_string())
}

/// The id that a plan source has once it is compiled: of its canonical form.
#[pyfunction]
pub fn plan_id(plan: &[u8]) -> PyResult<String> {
    let source = serde_json::from_slice(plan)
        .map_err(|error| raise(Error::new(Code::InvalidPlan, "", format!("the plan source cannot be read: {error}"))))?;
    Ok(plan::id(&source))
}

/// The list of errors as JSON: `[{code, side, retry, status, type, about}]`.
#[pyfunction]
pub fn error_codes() -> PyResult<String> {
    let rows: Vec<Value> = Code::ALL
        .iter()
        .map(|code| {
            let row = code.row();
            json!({"code": row.code, "side": row.side, "retry": row.retry, "status": row.status, "type": row.kind, "about": row.about})
        })
        .collect();
    serde_json::to_string(&rows).map_err(internal)
}

/// The tables of the core as JSON, for enums, docs and conformance tests: strategies, policies, kinds of graphs, capabilities, dialects,
/// executors.
#[pyfunction]
pub fn tables() -> PyResult<String> {
    let mut tables = Map::new();
    let rows =
        |rows: Vec<(&str, &str)>| Value::Array(rows.into_iter().map(|(name, about)| json!({"name": name, "about": about})).collect());
    tables.insert("strategies".into(), rows(strategy::TABLE.iter().map(|entry| (entry.name, entry.about)).collect()));
    tables.insert("policies".into(), rows(policy::TABLE.iter().map(|entry| (entry.name, entry.about)).collect()));
    tables.insert("graphs".into(), rows(KINDS.to_vec()));
    tables.insert("capabilities".into(), json!(CAPABILITIES));
    tables.insert("dialects".into(), json!(DIALECTS));
    tables.insert("executors".into(), json!(Executor::NAMES));
    serde_json::to_string(&tables).map_err(internal)
}
