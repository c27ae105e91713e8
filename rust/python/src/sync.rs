//! The controller's end of the channel for Python. Its callbacks run on threads that may wait for the interpreter.

use std::sync::Arc;

use pyo3::{exceptions::PyValueError, prelude::*, types::PyBytes};
use tradewind_core::{Code, Error};
use tradewind_gateway::sync::{
    certificates,
    server::{Settings, SyncServer as Server, Unidentified},
};

use crate::error::{internal, raise};

/// Listens for data planes, on threads of its own.
#[pyclass(frozen, module = "tradewind._core")]
pub struct SyncServer {
    server: Arc<Server>,
}

#[pymethods]
impl SyncServer {
    #[new]
    fn new(settings: &[u8], identify: Py<PyAny>, changed: Py<PyAny>) -> PyResult<Self> {
        let settings = Settings::parse(settings).map_err(|message| wrong("settings", message))?;
        let identify = Box::new(move |token: &str| asked(&identify, token));
        let server = Server::new(settings, identify, Box::new(move || tell(&changed))).map_err(internal)?;
        Ok(Self { server: Arc::new(server) })
    }

    /// Serves this certificate from the next handshake on.
    fn set_certificate(&self, py: Python<'_>, chain_pem: &[u8], key_pem: &[u8]) -> PyResult<()> {
        py.detach(|| self.server.set_certificate(chain_pem, key_pem)).map_err(|message| wrong("certificate", message))
    }

    /// Listens; gives `host:port`.
    fn listen(&self, py: Python<'_>) -> PyResult<String> {
        let listened = py.detach(|| self.server.listen());
        listened.map(|address| address.to_string()).map_err(|error| raise(Error::new(Code::Internal, "listen", error.to_string())))
    }

    /// Gives every data plane its rendering of this plan source; gives the plan's id.
    fn publish(&self, py: Python<'_>, lineage: &str, serial: u64, plan: &[u8]) -> PyResult<String> {
        py.detach(|| self.server.publish(lineage, serial, plan)).map_err(unreadable)
    }

    /// Gives it to one data plane; gives the plan's id.
    fn offer(&self, py: Python<'_>, pod_uid: &str, lineage: &str, serial: u64, plan: &[u8]) -> PyResult<String> {
        py.detach(|| self.server.offer(pod_uid, lineage, serial, plan)).map_err(unreadable)
    }

    /// Forgets the offer.
    fn withdraw(&self, py: Python<'_>) {
        py.detach(|| self.server.withdraw());
    }

    /// Gives callers' keys and upstream credentials.
    fn set_keys(&self, py: Python<'_>, keys: &[u8]) -> PyResult<()> {
        py.detach(|| self.server.set_keys(keys)).map_err(|message| wrong("keys", message))
    }

    /// Gives certificates to trust.
    fn set_trust(&self, py: Python<'_>, bundle_pem: &[u8]) -> PyResult<()> {
        py.detach(|| self.server.set_trust(bundle_pem)).map_err(|message| wrong("trust", message))
    }

    /// Gives gateways the certificate of their TLS door.
    fn set_gateway_certificate(&self, py: Python<'_>, chain_pem: &[u8], key_pem: &[u8]) -> PyResult<()> {
        py.detach(|| self.server.set_gateway_certificate(chain_pem, key_pem)).map_err(|message| wrong("certificate", message))
    }

    /// Offers a predictor for download; gives its digest.
    fn add_predictor(&self, py: Python<'_>, onnx: &[u8]) -> PyResult<String> {
        py.detach(|| self.server.add_predictor(onnx.to_vec())).map_err(|message| wrong("predictor", message))
    }

    /// Forgets predictors that are neither among these nor in use.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn keep_predictors(&self, py: Python<'_>, digests: Vec<String>) {
        py.detach(|| self.server.keep_predictors(digests.iter().map(String::as_str)));
    }

    /// Every session, as JSON.
    fn sessions<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let json = py.detach(|| self.server.sessions());
        PyBytes::new(py, &json)
    }

    /// Figures, as JSON.
    fn counters<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let json = py.detach(|| self.server.counters());
        PyBytes::new(py, &json)
    }

    /// Ends parked polls and closes.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.server.stop());
    }
}

/// Makes an authority: PEM of its certificate and of its key.
#[pyfunction]
pub fn make_ca<'py>(py: Python<'py>, common_name: &str, days: u32) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    issued(py, py.detach(|| certificates::make_ca(common_name, days)))
}

/// Makes a certificate that an authority signs: PEM of it and of its key.
#[pyfunction]
pub fn issue_certificate<'py>(
    py: Python<'py>,
    ca_pem: &[u8],
    ca_key_pem: &[u8],
    names: Vec<String>,
    hours: u32,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let text = |pem| std::str::from_utf8(pem).map_err(|_| wrong("ca", "the authority is not PEM".to_owned()));
    let (certificate, key) = (text(ca_pem)?, text(ca_key_pem)?);
    issued(py, py.detach(|| certificates::issue(certificate, key, &names, hours)))
}

fn issued(py: Python<'_>, issued: Result<certificates::Issued, String>) -> PyResult<(Bound<'_, PyBytes>, Bound<'_, PyBytes>)> {
    let issued = issued.map_err(|message| wrong("certificate", message))?;
    Ok((PyBytes::new(py, issued.certificate.as_bytes()), PyBytes::new(py, issued.key.as_bytes())))
}

/// `ValueError` means that the token is nobody's. What else is raised is not told: its text may hold the token.
fn asked(identify: &Py<PyAny>, token: &str) -> Result<Vec<u8>, Unidentified> {
    let asked = |py: Python<'_>| match identify.call1(py, (token,)).and_then(|answer| answer.extract::<Vec<u8>>(py)) {
        Ok(answer) => Ok(answer),
        Err(error) if error.is_instance_of::<PyValueError>(py) => Err(Unidentified::Unknown),
        Err(_) => Err(Unidentified::Unavailable),
    };
    // The interpreter may be ending.
    Python::try_attach(asked).unwrap_or(Err(Unidentified::Unavailable))
}

fn tell(changed: &Py<PyAny>) {
    Python::try_attach(|py| {
        if let Err(error) = changed.call0(py) {
            error.write_unraisable(py, Some(changed.bind(py)));
        }
    });
}

fn wrong(place: &'static str, message: String) -> PyErr {
    raise(Error::new(Code::InvalidRequest, place, message))
}

fn unreadable(message: String) -> PyErr {
    raise(Error::new(Code::InvalidPlan, "", message))
}
