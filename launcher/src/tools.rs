//! The subcommands beside `run` and `stop`.

use std::io::{self, Write as _};
use std::path::Path;

use crate::win::Look;
use native_host_launcher::probing::outside::{Answer, probe};
use native_host_launcher::report::{Circumstances, line};
use native_host_launcher::{Doctor, Exit, Install, ProbeCommand, doctor, install};

/// A failure, and the line that says it.
pub(crate) type Failed = (Exit, String);

/// `probe`: one attempt.
pub(crate) fn probe_once(asked: &ProbeCommand) -> Result<(), Failed> {
    match probe(asked, &Look::new()) {
        Answer::Well(None) => Ok(()),
        Answer::Well(Some(warning)) => {
            print(&format!("{warning}\n"));
            Ok(())
        }
        Answer::Failed(exit, line) => Err((exit, line)),
    }
}

/// `install`: a copy of this program.
pub(crate) fn install_itself(asked: &Install) -> Result<(), Failed> {
    let failed = |why: String| {
        let exit = Exit::InstallFailed;
        (exit, line(exit, &Circumstances::default(), &why))
    };
    let own = std::env::current_exe()
        .map_err(|error| failed(format!("where is this program? {error}")))?;
    let done =
        install::install(&own, Path::new(&asked.dir)).map_err(|fault| failed(fault.to_string()))?;
    print(&format!("{done}\n"));
    Ok(())
}

/// `doctor`: what this node looks like.
pub(crate) fn report(asked: &Doctor) {
    let findings = doctor::examine(asked, &Look::new());
    print(&if asked.json {
        findings.json()
    } else {
        findings.text()
    });
}

/// Writes to stdout, if somebody is there to read it.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
