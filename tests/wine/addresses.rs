//! That Windows processes can start at all under wine, and that one which could not is told from a line
//! that arrived mangled.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::{read, script};

/// `ADDR_NO_RANDOMIZE` of Linux's include/uapi/linux/personality.h.
const FIXED: u32 = 0x0004_0000;

/// Wine is run with fixed addresses, without which one of some thousand processes dies as it starts.
/// A wine of the test's own tells how it is run.
#[test]
fn wine_has_fixed_addresses() {
    let architecture = std::env::consts::ARCH;
    let allowed = Command::new("setarch")
        .args([architecture, "-R", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !allowed {
        eprintln!("NOT TESTED: setarch -R is not allowed here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wine = folder.path().join("wine");
    std::fs::write(&wine, "#!/bin/sh\ncat /proc/self/personality\n").unwrap();
    std::fs::set_permissions(&wine, std::fs::Permissions::from_mode(0o755)).unwrap();
    let prefix = folder.path().join("prefix");
    std::fs::create_dir(&prefix).unwrap();
    std::fs::write(prefix.join(".ready"), "").unwrap();

    let path = std::env::var("PATH").unwrap();
    let told = script("wine")
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .env("WINEPREFIX", &prefix)
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let personality = u32::from_str_radix(told.trim_end(), 16).unwrap();
    assert_eq!(personality & FIXED, FIXED, "{told}");
}

#[test]
fn a_line_that_never_ran_is_no_answer() {
    let exit = |code: &str| format!("run 0\n\nexit 0 {code}\n");
    assert_eq!(read(&exit("1"), "", 1), Ok(vec![Err("1".to_owned())]));
    assert_eq!(
        read(&exit("!1359"), "", 1),
        Err("line 0 was not run to its end: 1359".to_owned())
    );
    let said =
        "err:virtual:virtual_alloc_first_teb wine: failed to map the shared user data: c0000018";
    assert!(read(&exit("1"), said, 1).is_err());
    assert_eq!(
        read(&exit("1"), "", 2),
        Err("1 of 2 lines were run".to_owned())
    );
}
