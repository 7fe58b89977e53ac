//! native-host: arguments in, one command out.

use std::process::ExitCode;

fn main() -> ExitCode {
    native_host::cli::run()
}
