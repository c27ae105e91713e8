//! A tiny predictor, for tests of the whole path: here, and (by feature `test-support`) in the crates above.

use super::{own, tier1::KIND};
use crate::features;

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 128 {
        out.push((value & 127) as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    varint(number << 3 | 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn tensor(name: &str, dims: &[usize], kind: u64, raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for &size in dims {
        varint(1 << 3, &mut out);
        varint(size as u64, &mut out);
    }
    varint(2 << 3, &mut out);
    varint(kind, &mut out);
    field(8, name.as_bytes(), &mut out);
    field(9, raw, &mut out);
    out
}

/// A tiny predictor, whose one difficulty head is `0.01 × log-bytes-like feature 0`, for tests of the whole path.
#[must_use]
pub fn tiny(change: impl Fn(&str, &mut Vec<f32>)) -> Vec<u8> {
    let (vocabulary, embedding, surface) = (features::VOCABULARY_LEN, 2, features::SURFACE_LEN);
    let mut graph = Vec::new();
    field(5, &tensor("table", &[vocabulary, embedding], 3, &vec![1; vocabulary * embedding]), &mut graph);
    let mut first = vec![0.0; embedding + surface];
    first[embedding] = 0.5;
    for (name, dims, values) in [
        ("table_scale", vec![vocabulary, 1], vec![0.1; vocabulary]),
        ("token_weight", vec![vocabulary], {
            let mut w = vec![1.0; vocabulary];
            w[0] = 0.0;
            w
        }),
        ("surface_mean", vec![surface], vec![0.0; surface]),
        ("surface_inverse_sd", vec![surface], vec![1.0; surface]),
        ("difficulty_hidden_weight", vec![embedding + surface, 1], first),
        ("difficulty_hidden_bias", vec![1], vec![0.0]),
        ("difficulty_out_weight", vec![1, 2], vec![1.0, 1.1]),
        ("difficulty_out_bias", vec![2], vec![-1.0, -1.0]),
        ("latent_weight", vec![embedding + surface, 1], vec![0.0; embedding + surface]),
        ("latent_bias", vec![1], vec![1.0]),
        ("length_hidden_weight", vec![embedding, 1], vec![1.0, 1.0]),
        ("length_hidden_bias", vec![1], vec![0.0]),
        ("length_out_weight", vec![1, 1], vec![1.0]),
        ("length_out_bias", vec![1], vec![0.0]),
        ("centroids", vec![embedding, 1], vec![std::f32::consts::FRAC_1_SQRT_2; 2]),
        ("topic_hidden_weight", vec![embedding + features::SURFACE_LEN, 1], vec![0.0; embedding + features::SURFACE_LEN]),
        ("topic_hidden_bias", vec![1], vec![0.0]),
        ("topic_out_weight", vec![1, 2], vec![0.0, 0.0]),
        ("topic_out_bias", vec![2], vec![0.0, -200.0]),
    ] {
        let mut values: Vec<f32> = values;
        change(name, &mut values);
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        field(5, &tensor(name, &dims, 1, &raw), &mut graph);
    }
    let mut model = Vec::new();
    field(7, &graph, &mut model);
    let parameters = r#"{"inner_radius":0.5,"outer_radius":0.8,"difficulty_beyond":0.5,"direct_share":0.5,"prior_sd":0.1}"#;
    for (key, value) in [("tradewind.graph", KIND), ("tradewind.feature_schema", features::schema()), ("tradewind.parameters", parameters)]
    {
        let mut entry = Vec::new();
        field(1, key.as_bytes(), &mut entry);
        field(2, value.as_bytes(), &mut entry);
        field(14, &entry, &mut model);
    }
    model
}

/// A graph of a user's own with an input `features` and `models` columns of quality. It has no nodes: an executor of a test's own
/// stands in for it.
#[must_use]
pub fn tiny_own(models: usize) -> Vec<u8> {
    let slot = |name: &str, columns: usize| {
        let (mut dims, mut tensor, mut kind, mut out) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for size in [1, columns] {
            let mut dim = Vec::new();
            varint(1 << 3, &mut dim);
            varint(size as u64, &mut dim);
            field(1, &dim, &mut dims);
        }
        // Element type 1 is float32.
        varint(1 << 3, &mut tensor);
        varint(1, &mut tensor);
        field(2, &dims, &mut tensor);
        field(1, &tensor, &mut kind);
        field(1, name.as_bytes(), &mut out);
        field(2, &kind, &mut out);
        out
    };
    let (mut graph, mut entry, mut model) = (Vec::new(), Vec::new(), Vec::new());
    field(11, &slot("features", features::SURFACE_LEN), &mut graph);
    field(12, &slot("quality", models), &mut graph);
    field(7, &graph, &mut model);
    field(1, b"tradewind.graph", &mut entry);
    field(2, own::KIND.as_bytes(), &mut entry);
    field(14, &entry, &mut model);
    model
}
