//! What a tier-1 predictor must hold: every initialiser by name with its shape, checked once when it is loaded.
//!
//! The graph itself is fixed (`tradewind.graph = tier1/1`, see `training/export.py`), so the native executor needs the
//! initialisers only; ONNX Runtime runs the file as it is.

use serde::{Deserialize, Serialize};

use super::onnx::{self, Element, Model};
use crate::{
    error::{Code, Error},
    features,
};

/// The graph this core runs.
pub const KIND: &str = "tier1/1";

/// Operators of the graph, in any order; another one is a graph of another kind.
const OPERATORS: &[&str] = &[
    "Add",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "Div",
    "Gather",
    "MatMul",
    "Mul",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Unsqueeze",
];

/// Sizes of the outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dimensions {
    /// Difficulty heads.
    pub heads: usize,
    /// Latent.
    pub latent: usize,
    /// Token length latent.
    pub length: usize,
    /// Centroids.
    pub clusters: usize,
}

impl Dimensions {
    /// Number of values of a prediction.
    #[must_use]
    pub fn outputs(self) -> usize {
        self.heads + self.latent + self.length + self.clusters
    }
}

/// How the core reads the graph's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Cosine distance to the nearest centroid up to which a prompt counts as known.
    pub inner_radius: f32,
    /// Distance from which the per-model deviation is gone.
    pub outer_radius: f32,
    /// Share of the difficulty that stays beyond the outer radius.
    pub difficulty_beyond: f32,
    /// Weight of the regression against the cluster prior in the per-model deviation.
    pub deviation_blend: f32,
    /// Temperature of the softmax over similarities.
    pub temperature: f32,
    /// Standard deviation of quality that distance adds.
    pub prior_sd: f32,
}

impl Parameters {
    fn problem(&self) -> Option<&'static str> {
        let unit = |value: f32| (0.0..=1.0).contains(&value);
        let radii = 0.0..=4.0;
        if !(radii.contains(&self.inner_radius) && radii.contains(&self.outer_radius) && self.inner_radius < self.outer_radius) {
            Some("`inner_radius` and `outer_radius` must satisfy 0 ≤ inner < outer ≤ 4")
        } else if !unit(self.difficulty_beyond) || !unit(self.deviation_blend) || !unit(self.prior_sd) {
            Some("`difficulty_beyond`, `deviation_blend` and `prior_sd` must lie in [0, 1]")
        } else if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            Some("`temperature` must be positive")
        } else {
            None
        }
    }
}

/// A checked graph, borrowing the file's bytes where it can.
pub struct Graph<'a> {
    model: Model<'a>,
    /// Sizes of the outputs.
    pub dimensions: Dimensions,
    /// How the core reads the outputs.
    pub parameters: Parameters,
}

impl<'a> Graph<'a> {
    /// Reads and checks a predictor file.
    ///
    /// # Errors
    /// `invalid_predictor`, with what was found and what is accepted.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let model = onnx::read(bytes).map_err(|what| refused(format!("the file is not a readable ONNX model: {what}")))?;
        let metadata = |key: &str| model.metadata.get(key).copied().ok_or_else(|| refused(format!("metadata `{key}` is missing")));
        let kind = metadata("tradewind.graph")?;
        if kind != KIND {
            return Err(refused(crate::error::unknown("graph", kind, &[KIND])));
        }
        let schema = metadata("tradewind.feature_schema")?;
        if schema != features::schema() {
            return Err(refused(format!("it was trained on feature schema {schema}; this build computes {}", features::schema())));
        }
        if let Some(operator) = model.operators.iter().find(|operator| !OPERATORS.contains(operator)) {
            return Err(refused(crate::error::unknown("operator", operator, OPERATORS)));
        }
        let parameters: Parameters = serde_json::from_str(metadata("tradewind.parameters")?)
            .map_err(|error| refused(format!("metadata `tradewind.parameters`: {error}")))?;
        if let Some(problem) = parameters.problem() {
            return Err(refused(format!("metadata `tradewind.parameters`: {problem}")));
        }
        let mut graph = Self { model, dimensions: Dimensions::default(), parameters };
        graph.dimensions = graph.check()?;
        Ok(graph)
    }

    fn check(&self) -> Result<Dimensions, Error> {
        let table = self.shape("table", Element::Int8, &[None, None])?;
        let (vocabulary, embedding) = (table[0], table[1]);
        if vocabulary != features::VOCABULARY_LEN {
            return Err(refused(format!("`table` has {vocabulary} rows; the vocabulary has {}", features::VOCABULARY_LEN)));
        }
        let float = Element::Float32;
        let surface = features::SURFACE_LEN;
        self.shape("table_scale", float, &[Some(vocabulary), Some(1)])?;
        self.shape("token_weight", float, &[Some(vocabulary)])?;
        self.shape("surface_mean", float, &[Some(surface)])?;
        self.shape("surface_inverse_sd", float, &[Some(surface)])?;
        let difficulty = self.shape("difficulty_hidden_weight", float, &[Some(embedding + surface), None])?[1];
        self.shape("difficulty_hidden_bias", float, &[Some(difficulty)])?;
        let heads = self.shape("difficulty_out_weight", float, &[Some(difficulty), None])?[1];
        self.shape("difficulty_out_bias", float, &[Some(heads)])?;
        let hidden = self.shape("latent_hidden_weight", float, &[Some(embedding), None])?[1];
        self.shape("latent_hidden_bias", float, &[Some(hidden)])?;
        let latent = self.shape("latent_out_weight", float, &[Some(hidden), None])?[1];
        self.shape("latent_out_bias", float, &[Some(latent)])?;
        let length = self.shape("length_out_weight", float, &[Some(hidden), None])?[1];
        self.shape("length_out_bias", float, &[Some(length)])?;
        let clusters = self.shape("centroids", float, &[Some(embedding), None])?[1];
        if heads == 0 || clusters == 0 || embedding == 0 {
            return Err(refused("a graph needs at least one difficulty head, one centroid and one embedding dimension".to_owned()));
        }
        Ok(Dimensions { heads, latent, length, clusters })
    }

    fn shape(&self, name: &str, element: Element, expected: &[Option<usize>]) -> Result<&[usize], Error> {
        let tensor = self.model.tensors.get(name).ok_or_else(|| refused(format!("initialiser `{name}` is missing")))?;
        let fits = tensor.dims.len() == expected.len()
            && tensor.dims.iter().zip(expected).all(|(found, expected)| expected.is_none_or(|size| size == *found));
        if tensor.element != element || !fits {
            let wanted: Vec<String> = expected.iter().map(|size| size.map_or("any".to_owned(), |size| size.to_string())).collect();
            return Err(refused(format!(
                "initialiser `{name}` is {:?} {:?}; expected {element:?} [{}]",
                tensor.element,
                tensor.dims,
                wanted.join(", ")
            )));
        }
        Ok(&tensor.dims)
    }

    pub(super) fn floats(&self, name: &str) -> Box<[f32]> {
        self.bytes(name).chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
    }

    pub(super) fn int8(&self, name: &str) -> Box<[i8]> {
        self.bytes(name).iter().map(|&byte| byte.cast_signed()).collect()
    }

    fn bytes(&self, name: &str) -> &[u8] {
        // `check` found every name that the executor asks for.
        self.model.tensors.get(name).map_or(&[], |tensor| &tensor.raw)
    }
}

fn refused(message: String) -> Error {
    Error::new(Code::InvalidPredictor, "predictor", message)
}

#[cfg(test)]
mod tests {
    use super::{super::tiny, *};

    #[test]
    fn a_good_graph_is_read_and_a_bad_one_refused_by_name() {
        let good = tiny(|_, _| {});
        let dimensions = Graph::read(&good).unwrap().dimensions;
        assert_eq!(dimensions, Dimensions { heads: 2, latent: 1, length: 1, clusters: 1 });
        for (old, new, part) in [
            ("centroids", "centroidz", "`centroids` is missing"),
            ("tier1/1", "tier9/9", "unknown graph"),
            ("sha256:", "sha255:", "feature schema"),
        ] {
            let at = good.windows(old.len()).position(|window| window == old.as_bytes()).unwrap();
            let mut bad = good.clone();
            bad[at..at + new.len()].copy_from_slice(new.as_bytes());
            let error = Graph::read(&bad).err().unwrap();
            assert!(error.message.contains(part), "{}", error.message);
        }
        assert!(Graph::read(&good[..good.len() / 2]).is_err());
        assert!(Graph::read(b"").is_err());
    }
}
