//! Plans and predictors on disk: the last plan that served well, the one before it, and a plan to begin with.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tradewind_core::digest;

use super::super::protocol::Identity;

const CURRENT: &str = "current.plan";
const PREVIOUS: &str = "previous.plan";
const TRUST: &str = "trust.pem";
const PREDICTORS: &str = "predictors";
/// Age of a predictor that no kept plan names, from which it is dropped: a younger one may belong to a plan that is kept soon.
const UNUSED: Duration = Duration::from_secs(3600);
/// Bytes of a plan to begin with, unpacked.
const MAX_PLAN: u64 = 256 << 20;

/// A plan with what is to be known when it serves again.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    /// Empty for a plan to begin with.
    #[serde(default)]
    pub lineage: String,
    /// Its serial.
    #[serde(default)]
    pub serial: u64,
    /// Who the controller said that we are.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// The plan source.
    pub plan: Box<RawValue>,
}

/// The folder, and the plan to begin with.
pub struct Stock {
    folder: Option<PathBuf>,
    bootstrap: Option<PathBuf>,
    /// One writer at a time.
    writing: Mutex<()>,
}

impl Stock {
    /// Opens it.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn open(folder: Option<&Path>, bootstrap: Option<&Path>) -> io::Result<Self> {
        if let Some(folder) = folder {
            let about = |error: io::Error| io::Error::new(error.kind(), format!("the plans' folder {}: {error}", folder.display()));
            fs::create_dir_all(folder.join(PREDICTORS)).map_err(about)?;
        }
        Ok(Self { folder: folder.map(Path::to_owned), bootstrap: bootstrap.map(Path::to_owned), writing: Mutex::default() })
    }

    /// What to try at the start, in order, each with where it came from. What is torn is left out and told.
    pub fn plans(&self) -> impl Iterator<Item = (String, Kept)> {
        let kept = self.folder.iter().flat_map(|folder| [CURRENT, PREVIOUS].map(|name| folder.join(name)));
        let kept = kept.filter_map(|file| told(&file, read_kept(&file)));
        let bootstrap = self.bootstrap.iter().filter_map(|place| {
            let file = bootstrap_file(place);
            told(&file, read_bootstrap(&file))
        });
        kept.chain(bootstrap)
    }

    /// Keeps a plan, and the one before it if that is another.
    pub fn keep(&self, kept: &Kept) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let _one_at_a_time = self.writing();
        let (current, previous) = (folder.join(CURRENT), folder.join(PREVIOUS));
        let json = serde_json::to_vec(kept).map_err(io::Error::other)?;
        let mut text = format!("{}\n", digest::sha256(&json)).into_bytes();
        text.extend_from_slice(&json);
        let before = read_kept(&current).ok().flatten();
        let new = write(folder, &text)?;
        if before.is_some_and(|before| before.plan.get() != kept.plan.get()) {
            fs::rename(&current, &previous)?;
        }
        fs::rename(new, &current)?;
        fs::File::open(folder)?.sync_all()?;
        self.drop_unused()
    }

    /// The file of a predictor.
    pub fn predictor(&self, digest: &str) -> Option<Vec<u8>> {
        let onnx = fs::read(self.folder.as_ref()?.join(PREDICTORS).join(file_name(digest))).ok()?;
        (digest::sha256(&onnx) == digest).then_some(onnx)
    }

    /// Keeps the file of a predictor.
    pub fn keep_predictor(&self, digest: &str, onnx: &[u8]) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let _one_at_a_time = self.writing();
        fs::rename(write(folder, onnx)?, folder.join(PREDICTORS).join(file_name(digest)))
    }

    /// The trust bundle that a controller gave in an earlier life.
    pub fn trust(&self) -> Option<String> {
        fs::read_to_string(self.folder.as_ref()?.join(TRUST)).ok()
    }

    /// Keeps a trust bundle.
    pub fn keep_trust(&self, bundle: &str) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let _one_at_a_time = self.writing();
        fs::rename(write(folder, bundle.as_bytes())?, folder.join(TRUST))
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops predictors that no kept plan names.
    fn drop_unused(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let plans = [CURRENT, PREVIOUS].map(|name| read_kept(&folder.join(name)).ok().flatten());
        let used: Vec<String> =
            plans.iter().flatten().flat_map(|kept| predictors(kept.plan.get())).map(|digest| file_name(&digest)).collect();
        for entry in fs::read_dir(folder.join(PREDICTORS))? {
            let entry = entry?;
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age > UNUSED && !used.iter().any(|name| entry.file_name() == name.as_str()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Digests of the predictors that a plan source names.
pub fn predictors(plan: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct Source {
        routes: Vec<Route>,
    }
    #[derive(Deserialize)]
    struct Route {
        predictor: String,
        #[serde(default)]
        second_tier: Option<SecondTier>,
    }
    #[derive(Deserialize)]
    struct SecondTier {
        predictor: String,
    }
    let source: Result<Source, _> = serde_json::from_str(plan);
    let named = |route: Route| route.second_tier.map(|tier| tier.predictor).into_iter().chain([route.predictor]);
    let mut digests: Vec<String> = source.map(|source| source.routes.into_iter().flat_map(named).collect()).unwrap_or_default();
    digests.sort_unstable();
    digests.dedup();
    digests
}

fn file_name(digest: &str) -> String {
    let plain: String = digest.trim_start_matches("sha256:").chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    plain + ".onnx"
}

/// Writes a file of its own, whole on the disk before it is given a name.
fn write(folder: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let new = folder.join(".new");
    let mut file = fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(new)
}

fn read_kept(file: &Path) -> io::Result<Option<Kept>> {
    let bytes = match fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let torn = || io::Error::new(io::ErrorKind::InvalidData, "it is torn");
    let at = bytes.iter().position(|&byte| byte == b'\n').ok_or_else(torn)?;
    let (named, json) = (&bytes[..at], &bytes[at + 1..]);
    if digest::sha256(json).as_bytes() != named {
        return Err(torn());
    }
    serde_json::from_slice(json).map(Some).map_err(io::Error::other)
}

fn bootstrap_file(place: &Path) -> PathBuf {
    let inside = ["plan.json.gz", "plan.json"].map(|name| place.join(name));
    inside.into_iter().find(|file| file.is_file()).unwrap_or_else(|| place.to_owned())
}

fn read_bootstrap(file: &Path) -> io::Result<Option<Kept>> {
    let bytes = match fs::read(file) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => return Ok(None),
        bytes => bytes?,
    };
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(&bytes[..]).take(MAX_PLAN).read_to_string(&mut text)?;
    } else {
        text = String::from_utf8(bytes).map_err(io::Error::other)?;
    }
    let plan = RawValue::from_string(text).map_err(io::Error::other)?;
    Ok(Some(Kept { lineage: String::new(), serial: 0, identity: None, plan }))
}

fn told(file: &Path, kept: io::Result<Option<Kept>>) -> Option<(String, Kept)> {
    match kept {
        Ok(kept) => Some((file.display().to_string(), kept?)),
        Err(error) => {
            tracing::error!(file = %file.display(), %error, "a kept plan cannot be read");
            None
        }
    }
}
