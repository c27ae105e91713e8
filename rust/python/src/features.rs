//! Features for training and parity checks: the code that serves.

use pyo3::{prelude::*, types::PyBytes};
use tradewind_core::features::{self, Features, SURFACE};

/// WordPiece ids of a text.
#[pyfunction]
pub fn tokenize(text: &str) -> Vec<u32> {
    Features::of(text).ids
}

/// Features of many texts as little-endian arrays: ids `i32[total]`, offsets `i64[n + 1]`, surface `f32[n, F]`.
#[pyfunction]
pub fn featurize<'py>(py: Python<'py>, texts: Vec<String>) -> (Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>) {
    let (ids, offsets, surface) = py.detach(|| {
        let (mut ids, mut offsets, mut surface) = (Vec::new(), Vec::with_capacity(8 * (texts.len() + 1)), Vec::new());
        offsets.extend_from_slice(&0_i64.to_le_bytes());
        for text in &texts {
            let features = Features::of(text);
            for id in &features.ids {
                ids.extend_from_slice(&id.to_le_bytes());
            }
            offsets.extend_from_slice(&(ids.len() as u64 / 4).to_le_bytes());
            for value in features.surface {
                surface.extend_from_slice(&value.to_le_bytes());
            }
        }
        (ids, offsets, surface)
    });
    (PyBytes::new(py, &ids), PyBytes::new(py, &offsets), PyBytes::new(py, &surface))
}

/// Names of the surface features, in order.
#[pyfunction]
pub fn feature_names() -> Vec<&'static str> {
    SURFACE.iter().map(|feature| feature.name).collect()
}

/// The hash that a predictor must carry.
#[pyfunction]
pub fn feature_schema() -> &'static str {
    features::schema()
}
