//! Stands in for K2s's `cplauncher.exe` on a simulated Windows node: its flags, its defaults, its texts and
//! its traps, after `k2s/cmd/cplauncher/cplauncher.go` of github.com/Siemens-Healthineers/K2s.
//!
//! The traps, all as in the original:
//! - usage errors end it with exit code **0**, so a Deployment shows `Completed`; only unknown flags and
//!   values that cannot be parsed end it with 2, by Go's `flag`;
//! - exactly one pod must match the label; any that is there counts, terminating or finished ones too;
//! - it waits 20 s unless told otherwise;
//! - a pod IP that no compartment has yet is an error at once, in spite of the timeout;
//! - the program is not looked up: a relative path is one of the current folder;
//! - it is put into its job only when it runs already; what it started before that escapes;
//! - empty lines of the program's output are lost, and lines of cplauncher's own surround it.
//!
//! What differs: the pods come from a file that the node keeps, `C:\native-host-stand-in\pods`, in place of the
//! kubeconfig and the API server (no such file is no kubeconfig); compartments from `endpoints` beside it,
//! in place of `ipconfig /allcompartments`; the DLL has to be there but is not injected, since there are no
//! compartments here to be put into; no log files are written. What it did is added to `calls` there.

#![allow(clippy::print_stdout)]

#[cfg(windows)]
mod child;
mod duration;
mod flags;
#[cfg(windows)]
mod job;
mod line;
mod node;
mod pods;

#[cfg(windows)]
use std::path::PathBuf;
#[cfg(windows)]
use std::process::exit;

/// A Windows program: elsewhere it only says so.
#[cfg(not(windows))]
fn main() {
    eprintln!("cplauncher stands in for a Windows program; build it with hack/build-windows");
    std::process::exit(1);
}

#[cfg(windows)]
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let name = arguments[0].clone();
    let flags = match flags::parse(&arguments[1..]) {
        Ok(flags) => flags,
        Err(flags::Stop::Help) => {
            eprintln!("Usage of {name}:\n{}", flags::DEFAULTS);
            exit(0);
        }
        Err(flags::Stop::Bad(error)) => {
            eprintln!("{error}\nUsage of {name}:\n{}", flags::DEFAULTS);
            exit(2);
        }
    };
    if flags.version {
        println!("cplauncher: v0.0.0 (stands in for K2s's)");
        return;
    }
    // The first `--` anywhere, even where Go's `flag` took it for a value.
    let target = arguments.iter().position(|argument| argument == "--");
    let target = target.map_or(&[][..], |index| &arguments[index + 1..]);
    let [program, rest @ ..] = target else {
        return usage(&name);
    };
    if flags.compartment == 0 && flags.label.is_empty() {
        return usage(&name);
    }
    if flags.compartment != 0 && !flags.label.is_empty() {
        eprintln!("error: specify either -compartment or -label, not both");
        return;
    }
    if !flags.namespace.is_empty() && flags.label.is_empty() {
        eprintln!("error: -namespace provided without -label");
        return;
    }
    if !flags::VERBOSITIES.contains(&flags.verbosity.to_lowercase().as_str())
        && flags.verbosity.parse::<i32>().is_err()
    {
        let verbosity = &flags.verbosity;
        eprintln!("invalid verbosity '{verbosity}': unknown level");
        exit(1);
    }
    let Some(dll) = dll(&flags) else { return };
    let compartment = if flags.label.is_empty() {
        flags.compartment
    } else {
        let timeout = match duration::parse(&flags.label_timeout) {
            Ok(nanoseconds) if nanoseconds > 0 => {
                std::time::Duration::from_nanos(nanoseconds.unsigned_abs())
            }
            Ok(_) => {
                eprintln!("error: -label-timeout must be > 0");
                return;
            }
            Err(error) => {
                let value = &flags.label_timeout;
                eprintln!("error: invalid -label-timeout value '{value}': {error}");
                return;
            }
        };
        resolve(&flags, timeout)
    };
    if flags.dry_run {
        println!("cplauncher dry-run finished, log: {}", log());
        return;
    }
    let mut variables = vec![("COMPARTMENT_ID_ATTACH".to_owned(), compartment.to_string())];
    if flags.self_env {
        variables.push((flags.env_name.clone(), compartment.to_string()));
    }
    let started = child::start(program, rest, &variables);
    let mut child = started.unwrap_or_else(|error| {
        excerpt(&format!(
            "msg=\"create process failed\" error={error:?} exe={program:?}"
        ));
        exit(1);
    });
    let pid = child.id();
    node::record(
        &format!("start exe={program} compartment={compartment}"),
        pid,
    );
    println!("pid={pid}");
    let streams = child.stream();
    if let Some(dll) = dll {
        inject(&flags, &dll, compartment);
    }
    let job = flags.wait_tree.then(|| job::Job::around(&child)).flatten();
    let code = child.wait();
    if let Some(job) = &job {
        job.wait_until_empty();
    }
    drop(job);
    streams.wait();
    node::record(&format!("exit pid={pid}"), code);
    println!(
        "cplauncher: child exited pid={pid} exit={code} (log={})",
        log()
    );
    exit(code);
}

/// The DLL to inject, None where there is to be none; and nothing at all where it is missing, which ends
/// the program well.
#[cfg(windows)]
fn dll(flags: &flags::Flags) -> Option<Option<PathBuf>> {
    if flags.no_inject {
        return Some(None);
    }
    if !flags.dll.is_empty() {
        return Some(Some(PathBuf::from(&flags.dll)));
    }
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.with_file_name("cphook.dll");
    if beside.exists() {
        return Some(Some(beside));
    }
    eprintln!(
        "error: -dll not provided and default not found: {}",
        beside.display()
    );
    None
}

/// The compartment of the one pod that has the label.
#[cfg(windows)]
fn resolve(flags: &flags::Flags, timeout: std::time::Duration) -> u32 {
    let call = format!(
        "resolve label={} namespace={}",
        flags.label, flags.namespace
    );
    match node::resolve(&flags.label, &flags.namespace, timeout) {
        Ok(found) => {
            let node::Found {
                compartment,
                ip,
                pod,
            } = found;
            node::record(&call, format_args!("{compartment} {ip} {pod}"));
            compartment
        }
        Err(error) => {
            node::record(&call, format_args!("error {error}"));
            eprintln!("error: {error}");
            let (text, label) = ("failed to resolve compartment from label", &flags.label);
            excerpt(&format!("msg={text:?} label={label} error={error:?}"));
            exit(1);
        }
    }
}

#[cfg(windows)]
fn inject(flags: &flags::Flags, dll: &std::path::Path, compartment: u32) {
    let full = std::path::absolute(dll).unwrap_or_else(|_| dll.to_owned());
    let call = format!("inject dll={} export={}", full.display(), flags.export);
    if !full.exists() {
        node::record(&call, "error dll not found");
        let error = format!("dll not found: {}", full.display());
        excerpt(&format!("msg=\"dll injection failed\" error={error:?}"));
        // The original leaves the suspended child behind; this one's runs already.
        exit(1);
    }
    node::record(&call, compartment);
}

#[cfg(windows)]
fn usage(name: &str) {
    eprintln!(
        "Usage: {name} (-compartment <id> | -label <selector> [-namespace <ns>] [-label-timeout <dur>]) \
         [-dll <dll>] [options] -- <exe> [args]\n{}",
        flags::DEFAULTS
    );
}

/// What it shows of its log before it fails: the reason is never the last line of its output.
#[cfg(windows)]
fn excerpt(line: &str) {
    eprintln!("\n---- recent log lines ({}) ----", log());
    eprintln!("level=ERROR {line} component=cplauncher");
    eprintln!("---- end log excerpt ----");
}

#[cfg(windows)]
fn log() -> String {
    format!(
        r"C:\var\log\cplauncher\cplauncher-{}.log",
        std::process::id()
    )
}
