//! The other executor: runs a predictor's file as it is, in the ONNX Runtime of the installed Python wheel.
//!
//! The library is loaded at run time from a full path. `Session::run` takes `&mut self`, so sessions are pooled: a worker takes
//! one, runs it and puts it back; there are never more than there were calls at once.

use std::{
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
};

use ort::{
    environment::Environment,
    session::{Session, SessionInputValue, builder::GraphOptimizationLevel},
    value::TensorRef,
};
use tradewind_core::{
    error::{Code, Error},
    features::Features,
    predict::{Dimensions, Executor, Graph, Input, Prediction},
};

/// Loads the library once. Telemetry is refused before it loads: wheels from 1.30 on would write a database into the home folder.
fn start(library: &Path) -> Result<&'static Environment, Error> {
    static STARTED: OnceLock<Result<Environment, String>> = OnceLock::new();
    let result = STARTED.get_or_init(|| {
        if std::env::var_os("ORT_DISABLE_TELEMETRY").is_none() {
            return Err("the environment must hold ORT_DISABLE_TELEMETRY=1 before ONNX Runtime is loaded".to_owned());
        }
        let builder = ort::init_from(library).map_err(|error| error.to_string())?;
        builder.with_telemetry(false).build().map_err(|error| error.to_string())
    });
    result.as_ref().map_err(|message| refused(&format!("ONNX Runtime at {}: {message}", library.display())))
}

/// The executor of one graph.
pub(crate) struct OnnxRuntime {
    environment: &'static Environment,
    file: Vec<u8>,
    inputs: Vec<Input>,
    dimensions: Dimensions,
    idle: Mutex<Vec<Session>>,
}

impl OnnxRuntime {
    /// Opens a checked graph in the library at a path.
    ///
    /// # Errors
    /// `invalid_predictor` where the library or the graph cannot be loaded.
    pub(crate) fn load(bytes: &[u8], graph: &Graph<'_>, library: Option<&Path>) -> Result<Self, Error> {
        // It would end the process: glibc loads no library with C++ in it into a static program.
        if cfg!(target_feature = "crt-static") {
            let kinds = "ONNX Runtime is needed for the executor `onnxruntime` and for graphs of a user's own";
            return Err(refused(&format!(
                "{kinds}; this program is static and loads no library: run the Python package's `tradewind serve`"
            )));
        }
        let Some(library) = library else {
            let message = "ONNX Runtime is needed for the executor `onnxruntime` and for graphs of a user's own; the path of its library is not given";
            return Err(Error::new(Code::InvalidPredictor, "onnxruntime_library", message));
        };
        let (inputs, dimensions) = (graph.inputs().to_vec(), graph.dimensions());
        let runner = Self { environment: start(library)?, file: bytes.to_vec(), inputs, dimensions, idle: Mutex::new(Vec::new()) };
        // Fails here, not at the first call, and keeps the session for it.
        let session = runner.open()?;
        runner.put_back(session);
        Ok(runner)
    }

    fn open(&self) -> Result<Session, Error> {
        let open = || -> ort::Result<Session> {
            // Level 3 folds the cast of the int8 table once, at load: an int8 Gather is slow there.
            let builder = Session::builder(self.environment)?.with_intra_threads(1)?.with_inter_threads(1)?;
            builder.with_optimization_level(GraphOptimizationLevel::Level3)?.commit_from_memory(&self.file)
        };
        open().map_err(|error| refused(&error.to_string()))
    }

    fn take(&self) -> Result<Session, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.open(), Ok)
    }

    fn put_back(&self, session: Session) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    fn predict(&self, session: &mut Session, features: &Features) -> ort::Result<Prediction> {
        let ids: Vec<i64> = features.ids.iter().map(|&id| i64::from(id)).collect();
        let mask = if self.inputs.contains(&Input::Mask) { vec![1_i64; ids.len()] } else { Vec::new() };
        let fed = self.inputs.iter().map(|input| {
            let value: SessionInputValue<'_> = match input {
                Input::Ids => TensorRef::from_array_view(([1, ids.len()], &ids[..]))?.into(),
                Input::Mask => TensorRef::from_array_view(([1, mask.len()], &mask[..]))?.into(),
                Input::Features => TensorRef::from_array_view(([1, features.surface.len()], &features.surface[..]))?.into(),
            };
            Ok((input.name(), value))
        });
        let outputs = session.run(fed.collect::<ort::Result<Vec<_>>>()?)?;
        let mut prediction = Prediction::zeros(self.dimensions);
        for (name, into) in prediction.parts_mut().named() {
            let (_, values) = outputs[name].try_extract_tensor::<f32>()?;
            if values.len() != into.len() {
                return Err(ort::Error::new(format!("output `{name}` has {} values; expected {}", values.len(), into.len())));
            }
            into.copy_from_slice(values);
        }
        Ok(prediction)
    }
}

impl Executor for OnnxRuntime {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn run(&self, features: &Features) -> Result<Prediction, Error> {
        let mut session = self.take()?;
        let failed = |error: ort::Error| Error::new(Code::PredictorFailed, "predictor", error.to_string());
        let prediction = self.predict(&mut session, features).map_err(failed);
        self.put_back(session);
        prediction
    }
}

fn refused(message: &str) -> Error {
    Error::new(Code::InvalidPredictor, "predictor", message)
}
