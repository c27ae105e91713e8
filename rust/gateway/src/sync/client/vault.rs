//! Keys and credentials in a memory-backed folder, so that a container that starts again needs no controller. Never on a disk.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::super::protocol::Keys;

const FILE: &str = "keys.json";
/// Magic numbers of tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// A memory-backed folder.
pub struct Vault(PathBuf);

impl Vault {
    /// Opens it.
    ///
    /// # Errors
    /// Where it is not in memory, or not there.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let about = |error: io::Error| io::Error::new(error.kind(), format!("the keys' folder {}: {error}", folder.display()));
        // Looked at before anything is made there.
        let there = folder.ancestors().find(|place| place.is_dir()).unwrap_or(Path::new("."));
        let found = rustix::fs::statfs(there).map_err(|error| about(error.into()))?;
        #[expect(clippy::cast_sign_loss, clippy::useless_conversion, reason = "a magic number, whose type differs by platform")]
        let kind = u64::from(found.f_type as u64) & 0xffff_ffff;
        if !IN_MEMORY.contains(&kind) {
            return Err(about(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is not in memory (tmpfs), and keys are never written to a disk",
            )));
        }
        fs::create_dir_all(folder).map_err(about)?;
        Ok(Self(folder.to_owned()))
    }

    /// What was kept.
    pub fn load(&self) -> Option<Keys> {
        serde_json::from_slice(&fs::read(self.0.join(FILE)).ok()?).ok()
    }

    /// Keeps keys, readable by this user alone.
    pub fn keep(&self, keys: &Keys) -> io::Result<()> {
        let (file, new) = (self.0.join(FILE), self.0.join(".keys.new"));
        let mut options = fs::OpenOptions::new();
        let out = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        serde_json::to_writer(io::BufWriter::new(out), keys).map_err(io::Error::other)?;
        fs::rename(new, file)
    }
}
