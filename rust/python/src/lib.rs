//! The one door between Python and Rust.
use pyo3::prelude::*;
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_init]
    fn init(m: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        use pyo3::types::PyModuleMethods;
        m.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
