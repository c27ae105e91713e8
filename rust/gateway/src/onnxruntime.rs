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
    session::{Session, builder::GraphOptimizationLevel},
    value::TensorRef,
};
use tradewind_core::{
    error::{Code, Error},
    features::Features,
    predict::{Dimensions, Executor, Graph, Prediction, Predictor},
};

/// Loads a predictor that ONNX Runtime runs.
///
/// # Errors
/// `invalid_predictor` where the library or the graph cannot be loaded.
pub fn predictor(bytes: &[u8], library: &Path) -> Result<Predictor, Error> {
    let graph = Graph::read(bytes)?;
    let runner =
        OnnxRuntime { environment: start(library)?, file: bytes.to_vec(), dimensions: graph.dimensions, idle: Mutex::new(Vec::new()) };
    // Fails here, not at the first call, and keeps the session for it.
    let session = runner.open()?;
    runner.put_back(session);
    Ok(Predictor::with_executor(bytes, &graph, Box::new(runner)))
}

/// Loads the library once. Telemetry is refused before it loads: wheels from 1.30 on would write a database into the home folder.
fn start(library: &Path) -> Result<&'static Environment, Error> {
    static STARTED: OnceLock<Result<Environment, String>> = OnceLock::new();
    let result = STARTED.get_or_init(|| {
        // It would end the process: glibc loads no library with C++ in it into a static program.
        if cfg!(target_feature = "crt-static") {
            return Err(
                "this program is static and loads no library; run the Python package's `tradewind serve`, or the executor `native`"
                    .to_owned(),
            );
        }
        if std::env::var_os("ORT_DISABLE_TELEMETRY").is_none() {
            return Err("the environment must hold ORT_DISABLE_TELEMETRY=1 before ONNX Runtime is loaded".to_owned());
        }
        let builder = ort::init_from(library).map_err(|error| error.to_string())?;
        builder.with_telemetry(false).build().map_err(|error| error.to_string())
    });
    result.as_ref().map_err(|message| refused(&format!("ONNX Runtime at {}: {message}", library.display())))
}

struct OnnxRuntime {
    environment: &'static Environment,
    file: Vec<u8>,
    dimensions: Dimensions,
    idle: Mutex<Vec<Session>>,
}

impl OnnxRuntime {
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
        let outputs = session.run(ort::inputs![
            "input_ids" => TensorRef::from_array_view(([1, ids.len()], &ids[..]))?,
            "features" => TensorRef::from_array_view(([1, features.surface.len()], &features.surface[..]))?,
        ])?;
        let mut prediction = Prediction::zeros(self.dimensions);
        let parts = prediction.parts_mut();
        for (name, into) in
            [("difficulty", parts.difficulty), ("latent", parts.latent), ("length", parts.length), ("similarity", parts.similarity)]
        {
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
        let prediction = self.predict(&mut session, features).map_err(|error| refused(&error.to_string()));
        self.put_back(session);
        prediction
    }
}

fn refused(message: &str) -> Error {
    Error::new(Code::InvalidPredictor, "predictor", message)
}
