//! `doctor`: what a node looks like to the launcher, for whoever has to find out why a program does not start.
//!
//! It changes nothing. It reads the status file, goes every way from an IP to a compartment, and moves a thread of its
//! own into that compartment to bind the IP and resolve a name there. What is wrong stands at the end, with what to do.

use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;

use crate::command::Doctor;
use crate::compartment::{HOST, Miss, Node, Way, find_by, hcn, ipconfig};
use crate::names::{ANCHOR_DIR, ANCHOR_FILE};
use crate::status::Anchor;
use crate::timestamp::Timestamp;

/// What every pod of a cluster can resolve, whatever the cluster's domain.
pub const NAME: &str = "kubernetes.default.svc";

/// The node, as far as `doctor` looks at it beyond the look-up of compartments.
pub trait Patient: Node {
    /// Facts about the system and this process: name and value.
    fn system(&self) -> Vec<(&'static str, Result<String, String>)>;
    /// The calls that not every Windows has, and whether they are there.
    fn calls(&self) -> Vec<(&'static str, Result<(), String>)>;
    /// When the node booted.
    fn booted(&self) -> Timestamp;
    /// What the status file holds.
    fn status(&self) -> io::Result<Vec<u8>>;
    /// Binds an IP and resolves a name on a thread that is in a compartment.
    fn inside(&self, compartment: u32, ip: Option<IpAddr>, name: &str) -> Inside;
}

/// What a thread in a compartment found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// Whether it got there. If not, nothing else was tried.
    pub entered: Result<(), String>,
    /// Whether the IP can be bound, if there was one to bind.
    pub bound: Option<Result<(), String>>,
    /// The addresses of the name.
    pub resolved: Option<Result<Vec<IpAddr>, String>>,
}

/// What was found, in the order in which it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    sections: Vec<(String, Vec<(String, String)>)>,
    problems: Vec<String>,
}

/// Looks at everything.
pub fn examine(asked: &Doctor, patient: &impl Patient) -> Findings {
    let mut findings = Findings::default();
    let own = env!("CARGO_PKG_VERSION").to_owned();
    findings.section("launcher");
    findings.row("version", own);
    system(patient, &mut findings);
    calls(patient, &mut findings);
    let anchor = status(patient, &mut findings);
    compartments(patient, &mut findings);
    let ip = asked.ip.or(anchor.map(|anchor| anchor.ip));
    let found = ip.and_then(|ip| look_up(patient, ip, &mut findings));
    if let Some(compartment) = asked.compartment.or(found) {
        let name = asked.resolve.as_deref().unwrap_or(NAME);
        inside(patient, compartment, ip, name, &mut findings);
    }
    findings
}

fn system(patient: &impl Patient, findings: &mut Findings) {
    findings.section("system");
    for (name, value) in patient.system() {
        findings.row(name, value.unwrap_or_else(|why| format!("unknown: {why}")));
    }
    findings.row("booted", patient.booted().to_string());
}

fn calls(patient: &impl Patient, findings: &mut Findings) {
    findings.section("calls");
    // A library that is missing is one problem, whatever it would have had.
    let mut missing: Vec<(String, Vec<&str>)> = Vec::new();
    for (name, there) in patient.calls() {
        let Err(why) = there else {
            findings.row(name, "there".to_owned());
            continue;
        };
        findings.row(name, format!("missing: {why}"));
        match missing.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => names.push(name),
            None => missing.push((why, vec![name])),
        }
    }
    for (why, names) in missing {
        let names = names.join(", ");
        findings.problem(format!(
            "missing: {names} ({why}). Windows Server 2022 and later have them"
        ));
    }
}

fn status(patient: &impl Patient, findings: &mut Findings) -> Option<Anchor> {
    findings.section("anchor");
    findings.row("status file", format!(r"{ANCHOR_DIR}\{ANCHOR_FILE}"));
    let bytes = match patient.status() {
        Ok(bytes) => bytes,
        Err(error) => {
            // On the node itself, outside of all pods, there is none.
            findings.row("state", format!("not here: {error}"));
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    if text.is_empty() {
        findings.row("state", "empty: the anchor does not run yet".to_owned());
        return None;
    }
    match Anchor::parse(&text) {
        Ok(anchor) => {
            findings.row("ip", anchor.ip.to_string());
            findings.row("started", anchor.started.to_string());
            findings.row("uid", anchor.uid.clone());
            let booted = patient.booted();
            if anchor.started < booted {
                findings.problem(format!(
                    "the anchor started before the node's last boot at {booted}: its IP may be another pod's. \
                     The launcher waits for the anchor's restart"
                ));
            }
            Some(anchor)
        }
        Err(why) => {
            findings.row("content", text);
            findings.problem(format!(
                "the status file holds something else: {why}. Are launcher and native-host of one version?"
            ));
            None
        }
    }
}

/// Every compartment with its addresses, and every endpoint.
fn compartments(patient: &impl Patient, findings: &mut Findings) {
    findings.section("compartments");
    match patient.adapters() {
        Ok(all) => {
            let mut numbers: Vec<u32> = all.iter().map(|(compartment, _)| *compartment).collect();
            numbers.sort_unstable();
            numbers.dedup();
            for number in numbers {
                let name = match number {
                    HOST => format!("{number} (the host's)"),
                    _ => number.to_string(),
                };
                let of = all.iter().filter(|(compartment, _)| *compartment == number);
                let addresses: Vec<_> = of.map(|(_, address)| address.to_string()).collect();
                findings.row(&name, addresses.join(", "));
            }
        }
        Err(why) => findings.row("adapters", format!("cannot be asked: {why}")),
    }
    match patient.ipconfig() {
        Ok(text) => {
            let count = ipconfig::parse(&text).len();
            findings.row(
                "ipconfig",
                format!("{count} addresses can be read from its output"),
            );
        }
        Err(why) => findings.row("ipconfig", format!("cannot be asked: {why}")),
    }
    findings.section("endpoints");
    let calls = match patient.hcn() {
        Ok(calls) => calls,
        Err(why) => return findings.row("hcn", format!("cannot be asked: {why}")),
    };
    match hcn::endpoints(&calls) {
        Ok(all) => {
            for (id, endpoint) in all {
                let addresses: Vec<_> =
                    endpoint.addresses.iter().map(ToString::to_string).collect();
                let place = match endpoint.namespace {
                    _ if endpoint.remote => "on another node".to_owned(),
                    None => "in no namespace".to_owned(),
                    Some(namespace) => match hcn::compartment(&calls, namespace) {
                        Ok(0) => "its sandbox is not up".to_owned(),
                        Ok(number) => format!("compartment {number}"),
                        Err(why) => format!("namespace {namespace}: {why}"),
                    },
                };
                findings.row(
                    &id.to_string(),
                    format!("{}: {place}", addresses.join(", ")),
                );
            }
        }
        Err(why) => findings.row("hcn", format!("cannot be asked: {why}")),
    }
}

/// Goes every way from an IP to its compartment; that of the first that says one.
fn look_up(patient: &impl Patient, ip: IpAddr, findings: &mut Findings) -> Option<u32> {
    findings.section(&format!("look-up of {ip}"));
    let mut answers = Vec::new();
    for way in [Way::Hcn, Way::Adapters, Way::Ipconfig] {
        let text = match find_by(way, patient, ip) {
            Ok(number) => {
                answers.push(number);
                format!("compartment {number}")
            }
            Err(Miss::Unavailable(why)) => format!("cannot be gone: {why}"),
            Err(Miss::Unknown(why)) => why,
            Err(Miss::Refused(why)) => {
                findings.problem(format!("by {way}, {why}"));
                format!("refused: {why}")
            }
        };
        findings.row(&way.to_string(), text);
    }
    let first = answers.first().copied();
    match first {
        None => findings.problem(format!(
            "no way leads from {ip} to a compartment. Does the anchor run on this node, and is this run as an \
             administrator?"
        )),
        Some(one) if answers.iter().any(|other| *other != one) => {
            findings.problem(format!("the ways from {ip} lead to different compartments: {answers:?}"));
        }
        Some(_) => {}
    }
    first
}

fn inside(
    patient: &impl Patient,
    compartment: u32,
    ip: Option<IpAddr>,
    name: &str,
    findings: &mut Findings,
) {
    findings.section(&format!("in compartment {compartment}"));
    let found = patient.inside(compartment, ip, name);
    match found.entered {
        Ok(()) => findings.row("entered", "yes".to_owned()),
        Err(why) => {
            findings.row("entered", format!("no: {why}"));
            findings.problem(format!(
                "a thread cannot enter compartment {compartment}: {why}. Is this run as SYSTEM or an administrator?"
            ));
            return;
        }
    }
    if let (Some(ip), Some(bound)) = (ip, found.bound) {
        match bound {
            Ok(()) => findings.row(&format!("bind {ip}"), "yes".to_owned()),
            Err(why) => {
                findings.row(&format!("bind {ip}"), format!("no: {why}"));
                findings.problem(format!(
                    "{ip} cannot be bound in compartment {compartment}: {why}"
                ));
            }
        }
    }
    match found.resolved {
        None => {}
        Some(Ok(addresses)) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            findings.row(&format!("resolve {name}"), addresses.join(", "));
        }
        Some(Err(why)) => {
            findings.row(&format!("resolve {name}"), format!("no: {why}"));
            findings.problem(format!(
                "{name} cannot be resolved in compartment {compartment}: {why}. Programs there use the anchor's DNS \
                 servers: look at its dnsPolicy and dnsConfig"
            ));
        }
    }
}

impl Findings {
    fn section(&mut self, title: &str) {
        self.sections.push((title.to_owned(), Vec::new()));
    }

    fn row(&mut self, name: &str, value: String) {
        if let Some((_, rows)) = self.sections.last_mut() {
            rows.push((name.to_owned(), value));
        }
    }

    fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    /// What is wrong.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// For a person.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (title, rows) in &self.sections {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{title}");
            let width = rows
                .iter()
                .map(|(name, _)| name.chars().count())
                .max()
                .unwrap_or(0);
            if rows.is_empty() {
                let _ = writeln!(text, "  none");
            }
            for (name, value) in rows {
                let _ = writeln!(text, "  {name:width$}  {}", one_line(value));
            }
        }
        let _ = writeln!(text, "problems");
        if self.problems.is_empty() {
            let _ = writeln!(text, "  none");
        }
        for problem in &self.problems {
            let _ = writeln!(text, "  {}", one_line(problem));
        }
        text
    }

    /// For a program: an object of the sections, each an object, and the list `problems`.
    pub fn json(&self) -> String {
        let mut text = String::from("{");
        for (title, rows) in &self.sections {
            let _ = write!(text, "{}:{{", quoted(title));
            for (i, (name, value)) in rows.iter().enumerate() {
                let comma = if i > 0 { "," } else { "" };
                let _ = write!(text, "{comma}{}:{}", quoted(name), quoted(value));
            }
            text.push_str("},");
        }
        let problems: Vec<_> = self
            .problems
            .iter()
            .map(|problem| quoted(problem))
            .collect();
        let _ = writeln!(text, "\"problems\":[{}]}}", problems.join(","));
        text
    }
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
