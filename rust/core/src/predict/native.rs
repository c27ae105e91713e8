//! Runs a tier-1 graph from its initialisers, in plain loops that the compiler vectorises.

use super::{Dimensions, Executor, Prediction, Tier1};
use crate::{
    error::Error,
    features::{Features, SURFACE_LEN},
};

/// Outputs that a dense layer sums side by side: as many as fit into registers.
const BLOCK: usize = 32;
/// Outputs of a vector; a layer's are filled up with zeros to a multiple of it.
const LANES: usize = 8;

/// A dense layer: `out = x · weight + bias`, weight row-major `[inputs, outputs]`.
struct Dense {
    weight: Box<[f32]>,
    bias: Box<[f32]>,
    outputs: usize,
}

impl Dense {
    fn read(graph: &Tier1<'_>, name: &str) -> Self {
        Self::new(&graph.floats(&format!("{name}_weight")), &graph.floats(&format!("{name}_bias")))
    }

    fn new(weight: &[f32], bias: &[f32]) -> Self {
        let filled =
            |row: &[f32]| row.iter().copied().chain(std::iter::repeat(0.0)).take(bias.len().next_multiple_of(LANES)).collect::<Vec<f32>>();
        // A layer without outputs has no rows either.
        let rows = weight.chunks_exact(bias.len().max(1));
        Self { weight: rows.flat_map(filled).collect(), bias: filled(bias).into(), outputs: bias.len() }
    }

    /// Outputs are summed a block at a time, each over the inputs in their order: the same sums whatever the vectors' width.
    #[inline(always)]
    fn apply(&self, input: &[f32], out: &mut [f32]) {
        let mut start = 0;
        while start + BLOCK <= self.bias.len() {
            self.sum::<BLOCK>(input, start, out);
            start += BLOCK;
        }
        while start < self.bias.len() {
            self.sum::<LANES>(input, start, out);
            start += LANES;
        }
    }

    /// The outputs from one on, N or as many as there are.
    #[inline(always)]
    fn sum<const N: usize>(&self, input: &[f32], start: usize, out: &mut [f32]) {
        let Some(mut sums) = self.bias[start..].first_chunk::<N>().copied() else { return };
        for (&value, row) in input.iter().zip(self.weight.chunks_exact(self.bias.len())) {
            let Some(row) = row[start..].first_chunk::<N>() else { return };
            for (sum, &weight) in sums.iter_mut().zip(row) {
                *sum += value * weight;
            }
        }
        for (out, sum) in out[start..].iter_mut().zip(sums) {
            *out = sum;
        }
    }

    #[inline(always)]
    fn apply_relu(&self, input: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.outputs];
        self.apply(input, &mut out);
        for value in &mut out {
            *value = value.max(0.0);
        }
        out
    }
}

/// The native executor.
pub struct Native {
    dimensions: Dimensions,
    embedding: usize,
    table: Box<[i8]>,
    /// Row scale and token weight, side by side: one cache line serves both.
    rows: Box<[(f32, f32)]>,
    surface_mean: Box<[f32]>,
    surface_inverse_sd: Box<[f32]>,
    difficulty_hidden: Dense,
    difficulty_out: Dense,
    latent: Dense,
    length_hidden: Dense,
    length_out: Dense,
    centroids: Dense,
    topic_hidden: Dense,
    topic_out: Dense,
}

impl Native {
    /// Copies the initialisers of a checked graph.
    #[must_use]
    pub fn new(graph: &Tier1<'_>) -> Self {
        let table = graph.int8("table");
        let rows: Box<[(f32, f32)]> =
            graph.floats("table_scale").iter().copied().zip(graph.floats("token_weight").iter().copied()).collect();
        Self {
            dimensions: graph.dimensions,
            embedding: table.len() / rows.len().max(1),
            table,
            rows,
            surface_mean: graph.floats("surface_mean"),
            surface_inverse_sd: graph.floats("surface_inverse_sd"),
            difficulty_hidden: Dense::read(graph, "difficulty_hidden"),
            difficulty_out: Dense::read(graph, "difficulty_out"),
            latent: Dense::read(graph, "latent"),
            length_hidden: Dense::read(graph, "length_hidden"),
            length_out: Dense::read(graph, "length_out"),
            centroids: Dense::new(&graph.floats("centroids"), &vec![0.0; graph.dimensions.clusters]),
            topic_hidden: Dense::read(graph, "topic_hidden"),
            topic_out: Dense::read(graph, "topic_out"),
        }
    }

    /// Weighted mean of the rows of the ids, scaled to unit length; then the standardised surface features.
    #[inline(always)]
    fn embed(&self, features: &Features) -> Vec<f32> {
        let mut input = vec![0.0_f32; self.embedding + SURFACE_LEN];
        let (mean, surface) = input.split_at_mut(self.embedding);
        let mut total = 0.0_f32;
        for &id in &features.ids {
            let id = id as usize;
            let (scale, weight) = self.rows[id];
            total += weight;
            let factor = scale * weight;
            let row = &self.table[id * self.embedding..(id + 1) * self.embedding];
            for (sum, &value) in mean.iter_mut().zip(row) {
                *sum += factor * f32::from(value);
            }
        }
        let inverse = 1.0 / (total + 1e-6);
        let norm = mean.iter().map(|value| (value * inverse) * (value * inverse)).sum::<f32>().sqrt();
        let scale = inverse / (norm + 1e-6);
        for value in mean {
            *value *= scale;
        }
        for (index, out) in surface.iter_mut().enumerate() {
            *out = ((features.surface[index] - self.surface_mean[index]) * self.surface_inverse_sd[index]).clamp(-4.0, 4.0);
        }
        input
    }
}

impl Executor for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn run(&self, features: &Features) -> Result<Prediction, Error> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has it.
            return Ok(unsafe { self.predict_avx2(features) });
        }
        Ok(self.predict(features))
    }
}

impl Native {
    /// The same in vectors of eight.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn predict_avx2(&self, features: &Features) -> Prediction {
        self.predict(features)
    }

    #[inline(always)]
    fn predict(&self, features: &Features) -> Prediction {
        let input = self.embed(features);
        let embedding = &input[..self.embedding];
        let mut prediction = Prediction::zeros(self.dimensions);
        let parts = prediction.parts_mut();
        self.difficulty_out.apply(&self.difficulty_hidden.apply_relu(&input), parts.difficulty);
        parts.latent.copy_from_slice(&self.latent.apply_relu(&input));
        self.length_out.apply(&self.length_hidden.apply_relu(embedding), parts.length);
        self.centroids.apply(embedding, parts.similarity);
        self.topic_out.apply(&self.topic_hidden.apply_relu(&input), parts.topics);
        softmax(parts.topics);
        prediction
    }
}

fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for value in &mut *values {
        *value = (*value - largest).exp();
        total += *value;
    }
    for value in values {
        *value /= total;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Predictor, tiny};
    use crate::features::Features;

    #[test]
    fn an_initialiser_changes_the_digest_and_the_prediction() {
        let features = Features::of("Why is the sky blue?");
        let plain = Predictor::native(&tiny(|_, _| {})).unwrap();
        let changed = Predictor::native(&tiny(|name, values| {
            if name == "difficulty_out_bias" {
                values[0] += 1.0
            }
        }))
        .unwrap();
        assert_ne!(plain.digest(), changed.digest());
        let (a, b) = (plain.predict(&features).unwrap(), changed.predict(&features).unwrap());
        assert!((b.difficulty()[0] - a.difficulty()[0] - 1.0).abs() < 1e-6);
        assert!((a.similarity()[0] - 1.0).abs() < 1e-4);
        assert_eq!(a.topics(), [1.0, 0.0]);
    }

    #[test]
    fn an_empty_text_has_no_direction() {
        let prediction = Predictor::native(&tiny(|_, _| {})).unwrap().predict(&Features::of("")).unwrap();
        assert!(prediction.values().iter().all(|value| value.is_finite()));
        assert_eq!(prediction.similarity(), [0.0]);
    }
}
