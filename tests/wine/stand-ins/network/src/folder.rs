//! The folder: questions and answers as files.

use std::fmt::Display;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;

const FOLDER: &str = r"C:\native-host-stand-in";

/// A line of `endpoints`.
pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) namespace: Option<String>,
    pub(crate) compartment: u32,
    pub(crate) flags: u32,
    pub(crate) addresses: Vec<IpAddr>,
}

/// Whether this machine has compartments at all.
pub(crate) fn exists() -> bool {
    Path::new(FOLDER).is_dir()
}

/// Whether it has such a file.
pub(crate) fn has(name: &str) -> bool {
    Path::new(FOLDER).join(name).exists()
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(FOLDER).join(name)).unwrap_or_default()
}

/// All endpoints. A line that is none is a mistake in a test, so it ends the process.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let parse = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let [id, namespace, compartment, flags, addresses] = words[..] else {
            return None;
        };
        let addresses: Result<_, _> = addresses.split(',').map(str::parse).collect();
        Some(Endpoint {
            id: id.to_lowercase(),
            namespace: (namespace != "-").then(|| namespace.to_lowercase()),
            compartment: compartment.parse().ok()?,
            flags: flags.parse().ok()?,
            addresses: addresses.ok()?,
        })
    };
    let all = read("endpoints");
    all.lines()
        .map(|line| parse(line).unwrap_or_else(|| panic!("endpoints: {line}")))
        .collect()
}

/// What a call is to fail with, or to do nothing.
pub(crate) enum Fault {
    Error(u32),
    Ignored,
}

/// What `faults` says of a function.
pub(crate) fn fault(function: &str) -> Option<Fault> {
    let all = read("faults");
    let (_, what) = all
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == function)?;
    if what == "ignored" {
        return Some(Fault::Ignored);
    }
    let number = match what.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => what.parse(),
    };
    Some(Fault::Error(
        number.unwrap_or_else(|_| panic!("faults: {function} {what}")),
    ))
}

/// Writes a call down.
pub(crate) fn called(function: &str, arguments: &str, result: impl Display) {
    let space = if arguments.is_empty() { "" } else { " " };
    let line = format!(
        "{} {function}{space}{arguments} -> {result}\n",
        std::process::id()
    );
    let file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(Path::new(FOLDER).join("calls"));
    if let Ok(mut file) = file {
        let _ = file.write_all(line.as_bytes());
    }
}

/// The compartment that was last set, and by whom.
pub(crate) fn compartment() -> Option<(u32, u32)> {
    let text = read("compartment");
    let (compartment, process) = text.split_once(' ')?;
    Some((compartment.parse().ok()?, process.parse().ok()?))
}

/// Sets it.
pub(crate) fn set_compartment(compartment: u32) {
    let text = format!("{compartment} {}", std::process::id());
    let _ = fs::write(Path::new(FOLDER).join("compartment"), text);
}
