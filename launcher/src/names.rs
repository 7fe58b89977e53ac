//! What the launcher and the webhook both spell: variables, files and places. The webhook's own
//! vocabulary takes them from here.

/// The launcher's file name.
pub const LAUNCHER_EXE: &str = "native-host-launcher.exe";
/// Where the launcher's volume is mounted.
pub const LAUNCHER_DIR: &str = r"C:\native-host\bin";
/// Where the volume with the anchor's status is mounted.
pub const ANCHOR_DIR: &str = r"C:\native-host\anchor";
/// Its one file.
pub const ANCHOR_FILE: &str = "status";

/// The HP pod's UID, by `fieldRef`.
pub const POD_UID: &str = "NATIVE_HOST_POD_UID";
/// The HP pod's namespace, by `fieldRef`.
pub const POD_NAMESPACE: &str = "NATIVE_HOST_POD_NAMESPACE";
/// The compartment that a program attaches itself to; launchers set it (K2s's name).
pub const COMPARTMENT_ID_ATTACH: &str = "COMPARTMENT_ID_ATTACH";
