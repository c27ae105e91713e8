//! Core errors as one Python exception, whose arguments are (code, message, path); `core.py` raises the typed ones.

use pyo3::{create_exception, exceptions::PyException, prelude::*};
use tradewind_core::Error;

create_exception!(_core, CoreError, PyException, "An error of the core: (code, message, path).");

pub fn raise(error: Error) -> PyErr {
    CoreError::new_err((error.code.row().code, error.message, error.path.into_owned()))
}

/// A fault that is not the caller's, such as a document that does not serialise.
pub fn internal(error: impl std::fmt::Display) -> PyErr {
    CoreError::new_err(("internal", error.to_string(), String::new()))
}
