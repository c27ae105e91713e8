//! What `tradewind bench` measures in Rust: decisions on distinct bodies, and a door under load.

use std::{collections::BTreeMap, net::ToSocketAddrs, path::PathBuf, time::Duration};

use pyo3::{prelude::*, types::PyBytes};
use tradewind_core::{Code, Error, plan};
use tradewind_gateway::load::{bodies, decide, http};

use crate::{
    error::{internal, raise},
    planner::load,
};

/// Distinct bodies by prompt tokens: a user's JSON Lines sorted by size, or seeded ones of our own words.
#[pyfunction]
#[pyo3(signature = (lines, count, seed))]
pub fn bench_bodies<'py>(
    py: Python<'py>,
    lines: Option<&str>,
    count: usize,
    seed: u64,
) -> PyResult<BTreeMap<u32, Vec<Bound<'py, PyBytes>>>> {
    let sized = match lines {
        None => py.detach(|| bodies::seeded_by_size(seed, count)),
        Some(lines) => bodies::by_size(bodies::read(lines).map_err(|line| {
            raise(Error::new(
                Code::InvalidRequest,
                format!("line {line}"),
                format!("line {line} is neither a chat completions body nor {{body | text}}"),
            ))
        })?),
    };
    Ok(sized.into_iter().map(|(size, group)| (size, group.iter().map(|body| PyBytes::new(py, body)).collect())).collect())
}

/// Times `decide` on each body, by size; figures as JSON.
#[pyfunction]
#[pyo3(signature = (plan, predictors, executor, bodies, library = None))]
pub fn bench_decide(
    py: Python<'_>,
    plan: Vec<u8>,
    predictors: Vec<Vec<u8>>,
    executor: &str,
    bodies: BTreeMap<u32, Vec<Vec<u8>>>,
    library: Option<PathBuf>,
) -> PyResult<String> {
    py.detach(|| {
        let predictors = load(&predictors, executor, library.as_deref()).map_err(raise)?;
        let compiled = plan::compile(&plan, &predictors).map_err(|problems| internal(format!("{problems:?}")))?;
        let timings = decide::time(&compiled.plan, "default", &bodies).map_err(raise)?;
        serde_json::to_string(&timings).map_err(internal)
    })
}

/// Sends bodies over keep-alive connections for some seconds; figures as JSON. `model` renames what is asked for.
#[pyfunction]
#[pyo3(signature = (url, headers, bodies, *, model, connections, stream, warm_up_s, seconds, cpu))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python call")]
pub fn bench_http(
    py: Python<'_>,
    url: &str,
    headers: BTreeMap<String, String>,
    bodies: Vec<Vec<u8>>,
    model: Option<&str>,
    connections: usize,
    stream: bool,
    warm_up_s: f64,
    seconds: f64,
    cpu: Option<usize>,
) -> PyResult<String> {
    let refused = |what: String| raise(Error::new(Code::InvalidRequest, "url", what));
    let uri: ::http::Uri = url.parse().map_err(|_| refused(format!("`{url}` is not a URL")))?;
    let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80));
    let address = (host, port).to_socket_addrs().map_err(|error| refused(format!("`{url}`: {error}")))?.next();
    let address = address.ok_or_else(|| refused(format!("`{url}` names no address")))?;
    py.detach(|| {
        let named = model.map_or(bodies.clone(), |model| self::bodies::named(&bodies, model));
        let spec = http::Spec {
            address,
            path: uri.path().to_owned(),
            headers: headers.into_iter().collect(),
            bodies: if stream { self::bodies::streamed(&named) } else { named },
            connections,
            stream,
            warm_up: Duration::try_from_secs_f64(warm_up_s).map_err(internal)?,
            limit: http::Limit::Duration(Duration::try_from_secs_f64(seconds).map_err(internal)?),
            core: cpu,
        };
        let report = http::run(spec).map_err(internal)?;
        serde_json::to_string(&report).map_err(internal)
    })
}
