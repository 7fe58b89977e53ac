//! `native-host version`.

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::json;

/// Say which version this is
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  native-host version\n  native-host version -o json")]
pub struct Args {
    /// A form for programs to read
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Json,
    Yaml,
}

/// Prints the version.
pub fn run(args: &Args) -> ExitCode {
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    // The pair that Kubernetes calls a platform, in its words.
    let os = std::env::consts::OS;
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let value = json!({ "version": version, "platform": format!("{os}/{arch}") });
    let text = match args.output {
        None => format!("native-host {version}\n"),
        Some(Form::Json) => format!("{value:#}\n"),
        Some(Form::Yaml) => format!("version: {version}\nplatform: {os}/{arch}\n"),
    };
    super::print(text.as_bytes())
}
