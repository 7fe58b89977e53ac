//! `native-host-launcher.exe`: starts a native Windows program in the network compartment of its anchor.
//! What it is and does is told in the library; here its subcommands meet Windows.
#![deny(unsafe_code)]

#[cfg(windows)]
mod app;
#[cfg(windows)]
mod tools;
#[cfg(windows)]
#[allow(unsafe_code)]
mod win;

#[cfg(windows)]
fn main() {
    app::main();
}

#[cfg(not(windows))]
fn main() -> std::process::ExitCode {
    eprintln!("native-host-launcher runs on Windows only");
    std::process::ExitCode::FAILURE
}
