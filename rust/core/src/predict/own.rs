//! A graph of a user's own: what it may be fed and must give, checked once, and how its outputs are read.
//!
//! It says of each model by its column how well that one answers; which column is whose is the manifest's to say, and a plan's
//! profiles carry it. ONNX Runtime alone runs it.

use super::{
    Dimensions, Prediction, Profile,
    forecast::Expected,
    graph::{Input, refused},
    onnx::{Dim, Model, Slot},
};
use crate::{
    error::{Code, Error, excerpt},
    features,
};

/// The name of this kind of graph.
pub const KIND: &str = "own/1";

const QUALITY: &str = "quality";
const OUTPUT_TOKENS: &str = "output_tokens";
const INT64: u64 = 7;
const FLOAT32: u64 = 1;

/// A checked graph.
pub struct Own {
    /// What it is fed, in its own order.
    pub inputs: Vec<Input>,
    /// How many models it knows.
    pub dimensions: Dimensions,
}

impl Own {
    /// Checks a file of this kind.
    ///
    /// # Errors
    /// `invalid_predictor`, with what was found and what is accepted.
    pub(super) fn check(model: &Model<'_>) -> Result<Self, Error> {
        let held = model.initialisers().map_err(|what| refused(format!("the graph cannot be run: {what}")))?;
        // Until version 3 of its format, a graph lists what it holds among what it is fed.
        let fed = model.inputs.iter().filter(|slot| !held.contains(&slot.name));
        let inputs = fed.map(input).collect::<Result<Vec<_>, _>>()?;
        if inputs.is_empty() {
            return Err(unfit("no input"));
        }
        let named = |name: &str| model.outputs.iter().find(|slot| slot.name == name);
        let quality = columns(named(QUALITY).ok_or_else(|| unfit(&format!("no output `{QUALITY}`")))?)?;
        let output_tokens = named(OUTPUT_TOKENS).map(columns).transpose()?.unwrap_or(0);
        if output_tokens != 0 && output_tokens != quality {
            return Err(unfit(&format!("{quality} columns of `{QUALITY}` and {output_tokens} of `{OUTPUT_TOKENS}`")));
        }
        match model.outputs.iter().find(|slot| ![QUALITY, OUTPUT_TOKENS].contains(&slot.name)) {
            Some(slot) => Err(unfit(&format!("output {}", shown(slot)))),
            None => Ok(Self { inputs, dimensions: Dimensions { quality, output_tokens, ..Dimensions::default() } }),
        }
    }
}

fn input(slot: &Slot<'_>) -> Result<Input, Error> {
    let found = Input::ALL.iter().copied().find(|input| input.name() == slot.name);
    let fits = found.filter(|input| match (input, slot.dims.as_deref()) {
        // T is another one for each text.
        (Input::Ids | Input::Mask, Some([batch, Dim::Any(_)])) => slot.element == Some(INT64) && batch.may_be(1),
        (Input::Features, Some([batch, length])) => {
            slot.element == Some(FLOAT32) && batch.may_be(1) && length.may_be(features::SURFACE_LEN)
        }
        _ => false,
    });
    fits.ok_or_else(|| unfit(&format!("input {}", shown(slot))))
}

/// M of an output `float32[1,M]`.
fn columns(slot: &Slot<'_>) -> Result<usize, Error> {
    match slot.dims.as_deref() {
        Some([batch, Dim::Size(columns @ 1..)]) if slot.element == Some(FLOAT32) && batch.may_be(1) => Ok(*columns),
        _ => Err(unfit(&format!("output {}", shown(slot)))),
    }
}

fn unfit(found: &str) -> Error {
    refused(format!(
        "the graph has {found}; accepted are inputs among `input_ids` int64[1,T], `attention_mask` int64[1,T], `features` \
         float32[1,{}] and outputs `{QUALITY}` float32[1,M] and, if it has one, `{OUTPUT_TOKENS}` float32[1,M], M being a number",
        features::SURFACE_LEN
    ))
}

fn shown(slot: &Slot<'_>) -> String {
    let element = match slot.element {
        None => "no tensor".to_owned(),
        Some(FLOAT32) => "float32".to_owned(),
        Some(6) => "int32".to_owned(),
        Some(INT64) => "int64".to_owned(),
        Some(10) => "float16".to_owned(),
        Some(11) => "float64".to_owned(),
        Some(code) => format!("element type {code}"),
    };
    let dims = slot.dims.as_ref().map(|dims| dims.iter().map(Dim::to_string).collect::<Vec<_>>().join(","));
    format!("`{}` {element}[{}]", excerpt(slot.name), dims.as_deref().map_or("no shape", excerpt_dims))
}

fn excerpt_dims(dims: &str) -> &str {
    dims.get(..80).unwrap_or(dims)
}

/// Refuses what is no forecast: a graph may give anything.
///
/// # Errors
/// `predictor_failed`, with the output and the value.
pub fn check(prediction: &Prediction) -> Result<(), Error> {
    let wrong = |name: &str, column: usize, value: f32, expected: &str| {
        let message = format!("the predictor's `{name}` has {value} in column {column}; expected {expected}");
        Err(Error::new(Code::PredictorFailed, format!("predictor.{name}[{column}]"), message))
    };
    for (column, &value) in prediction.quality().iter().enumerate() {
        if !(0.0..=1.0).contains(&value) {
            return wrong(QUALITY, column, value, "a number from 0 to 1");
        }
    }
    for (column, &value) in prediction.output_tokens().iter().enumerate() {
        if !(0.0..=f32::MAX).contains(&value) {
            return wrong(OUTPUT_TOKENS, column, value, "a number of tokens");
        }
    }
    Ok(())
}

/// What is expected of a model with this profile: where the graph is silent on answer lengths, the profile says them.
#[must_use]
pub fn expected(prediction: &Prediction, profile: &Profile) -> Expected {
    // `compile` refuses a profile without a column of this graph.
    let column = profile.column.unwrap_or_default();
    let said = prediction.output_tokens().get(column).copied();
    Expected {
        quality: prediction.quality().get(column).copied().unwrap_or_default(),
        quality_sd: 0.0,
        output_tokens: said.unwrap_or_else(|| profile.length.bias.exp()),
    }
}
