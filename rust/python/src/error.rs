//! Core errors as one Python exception, whose arguments are (code, message, path); `core.py` raises the typed ones.

use pyo3::{create_exception, exceptions::PyException, prelude::*};
use tradewind_core::{Code, Error, plan::Problem};

create_exception!(_core, CoreError, PyException, "An error of the core: (code, message, path).");

pub fn raise(error: Error) -> PyErr {
    CoreError::new_err((error.code.row().code, error.message, error.path.into_owned()))
}

/// A plan with its problems: one is told with its path; of several, each line begins with its own.
pub fn refused(problems: &[Problem]) -> Error {
    if let [problem] = problems {
        return Error::new(Code::InvalidPlan, problem.path.clone(), problem.message.clone());
    }
    let line = |problem: &Problem| match &*problem.path {
        "" => problem.message.clone(),
        path => format!("{path}: {}", problem.message),
    };
    Error::new(Code::InvalidPlan, "", problems.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// A fault that is not the caller's, such as a document that does not serialise.
pub fn internal(error: impl std::fmt::Display) -> PyErr {
    CoreError::new_err(("internal", error.to_string(), String::new()))
}
