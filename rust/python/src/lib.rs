//! The one door between Python and Rust: `tradewind._core`. The only crate that knows PyO3; every class is frozen.

mod bench;
mod error;
mod features;
mod gateway;
mod mailbox;
mod planner;
mod simulator;
mod sync;

use pyo3::prelude::*;

/// The module; `python/tradewind/_core.pyi` is its manual.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::bench::{bench_bodies, bench_decide, bench_http};
    #[pymodule_export]
    use super::error::CoreError;
    #[pymodule_export]
    use super::features::{feature_names, feature_schema, featurize, tokenize};
    #[pymodule_export]
    use super::gateway::Gateway;
    #[pymodule_export]
    use super::mailbox::{Call, Mailbox};
    #[pymodule_export]
    use super::planner::{Planner, check_plan, describe_graph, error_codes, plan_id, tables};
    #[pymodule_export]
    use super::simulator::{Simulator, run_simulator};
    #[pymodule_export]
    use super::sync::{SyncServer, issue_certificate, make_ca};

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        use pyo3::types::PyModuleMethods;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
