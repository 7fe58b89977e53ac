//! Where the binaries of the control plane are: `hack/build-tools` knows.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder of etcd, kube-apiserver and the others, or why there is none, with the way out.
pub fn folder() -> Result<&'static Path, String> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOLDER.get_or_init(ask).as_deref().map_err(Clone::clone)
}

/// Asks only: a build of minutes inside `cargo test` would look like a test that hangs.
fn ask() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/build-tools");
    let output = Command::new(&script)
        .arg("--where")
        .output()
        .map_err(|error| format!("{} cannot be run: {error}", script.display()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().into())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
