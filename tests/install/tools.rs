//! What `hack/build-install-tools` built: cert-manager, really run, and promtool.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::deploy::path;
use crate::support::process::Server;
use crate::support::{ControlPlane, skip_or_fail};

/// The folder of the programs and of CRDs, or None, said loudly, where it is not built.
pub fn folder() -> Option<PathBuf> {
    let script = path("hack/build-install-tools");
    let output = Command::new(script).arg("--where").output().unwrap();
    if output.status.success() {
        Some(String::from_utf8_lossy(&output.stdout).trim_end().into())
    } else {
        skip_or_fail(String::from_utf8_lossy(&output.stderr).trim());
        None
    }
}

/// Runs cert-manager, with its CRDs and those of the Prometheus operator.
pub fn start_cert_manager(plane: &ControlPlane) -> Option<Server> {
    let folder = folder()?;
    install_crds(plane, &folder.join("crds/cert-manager"));
    install_crds(plane, &folder.join("crds/monitoring"));
    let args = [format!("--kubeconfig={}", plane.kubeconfig().display())];
    let program = folder.join("cert-manager");
    Some(Server::start("cert-manager", &program, &args, plane.folder()).unwrap())
}

/// Applies CRDs, and waits until the API server serves them.
fn install_crds(plane: &ControlPlane, folder: &Path) {
    let folder = folder.to_str().unwrap();
    // Client-side apply would copy each CRD into an annotation, and some are too large for that.
    plane.kubectl_ok(&["apply", "--server-side", "-f", folder]);
    plane.kubectl_ok(&[
        "wait",
        "--for=condition=Established",
        "--timeout=120s",
        "-f",
        folder,
    ]);
}
