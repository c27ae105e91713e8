//! A predictor's file, checked once when it is loaded: a row of [`KINDS`] says which kind of graph it is.

use serde::{Deserialize, Serialize};

use super::{
    onnx,
    own::{self, Own},
    tier1::{self, Tier1},
};
use crate::{
    error::{Code, Error, unknown},
    features,
};

/// The kinds of graphs by name, which a file may hold as `tradewind.graph`; one that holds none is of a user's own.
pub const KINDS: &[(&str, &str)] = &[
    (tier1::KIND, "the microsecond tier: difficulty, latents and similarities, which a model's profile turns into a forecast"),
    (own::KIND, "a graph of a user's own: the quality of each model by column, and tokens of its answer where it says so"),
];

/// What a graph may be fed: one text's features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// `input_ids int64[1,T]`: WordPiece ids, T from 1 to [`features::CAP`].
    Ids,
    /// `attention_mask int64[1,T]`: ones.
    Mask,
    /// `features float32[1,F]`: surface features.
    Features,
}

impl Input {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Ids, Self::Mask, Self::Features];

    /// Its name in the graph.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ids => "input_ids",
            Self::Mask => "attention_mask",
            Self::Features => "features",
        }
    }
}

/// Sizes of the outputs. A kind of graph leaves those at 0 that it does not have.
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
    /// Topics.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub topics: usize,
    /// Models of a graph of a user's own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub quality: usize,
    /// As many, where it says how long they answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output_tokens: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

impl Dimensions {
    /// Number of values of a prediction.
    #[must_use]
    pub fn outputs(self) -> usize {
        self.heads + self.latent + self.length + self.clusters + self.topics + self.quality + self.output_tokens
    }
}

/// A checked graph, borrowing the file's bytes where it can.
pub enum Graph<'a> {
    /// Of the microsecond tier.
    Tier1(Tier1<'a>),
    /// Of a user's own.
    Own(Own),
}

impl<'a> Graph<'a> {
    /// Reads and checks a predictor file.
    ///
    /// # Errors
    /// `invalid_predictor`, with what was found and what is accepted.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let model = onnx::read(bytes).map_err(|what| refused(format!("the file is not a readable ONNX model: {what}")))?;
        let kind = model.metadata.get("tradewind.graph").copied().unwrap_or(own::KIND);
        let schema = model.metadata.get("tradewind.feature_schema").copied();
        if schema.is_some_and(|schema| schema != features::schema()) {
            let (found, ours) = (schema.unwrap_or_default(), features::schema());
            return Err(refused(format!("it was trained on feature schema {found}; this build computes {ours}")));
        }
        match kind {
            tier1::KIND if schema.is_none() => Err(refused("metadata `tradewind.feature_schema` is missing")),
            tier1::KIND => Tier1::check(&model).map(Self::Tier1),
            own::KIND => Own::check(&model).map(Self::Own),
            _ => Err(refused(unknown("graph", kind, &KINDS.iter().map(|(name, _)| *name).collect::<Vec<_>>()))),
        }
    }

    /// Its row of [`KINDS`].
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tier1(_) => tier1::KIND,
            Self::Own(_) => own::KIND,
        }
    }

    /// What it is fed.
    #[must_use]
    pub fn inputs(&self) -> &[Input] {
        match self {
            Self::Tier1(_) => tier1::INPUTS,
            Self::Own(own) => &own.inputs,
        }
    }

    /// Sizes of what it gives.
    #[must_use]
    pub fn dimensions(&self) -> Dimensions {
        match self {
            Self::Tier1(tier1) => tier1.dimensions,
            Self::Own(own) => own.dimensions,
        }
    }
}

pub(super) fn refused(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidPredictor, "predictor", message)
}

#[cfg(test)]
mod tests {
    use super::{super::tiny, *};

    #[test]
    fn a_good_graph_is_read_and_a_bad_one_refused_by_name() {
        let good = tiny(|_, _| {});
        let dimensions = Graph::read(&good).map(|graph| graph.dimensions()).unwrap();
        assert_eq!(dimensions, Dimensions { heads: 2, latent: 1, length: 1, clusters: 1, topics: 2, ..Dimensions::default() });
        for (old, new, part) in [
            ("centroids", "centroidz", "`centroids` is missing"),
            ("tier1/3", "tier9/9", "unknown graph"),
            ("sha256:", "sha255:", "feature schema"),
            ("tradewind.feature_schema", "tradewind.feature_schemb", "`tradewind.feature_schema` is missing"),
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
