//! The launcher's subcommands, each parsed from arguments and written as such.

use std::net::IpAddr;

use crate::help::Topic;
use crate::options::{Arguments, UsageError, once, required, unknown};
use crate::probe::{Action, header, header_word};
use crate::run::Run;
use crate::word::{escape, escape_but};

/// What a person can ask for.
const COMMANDS: &str = "run, stop, probe, install, doctor or version";

/// What the launcher is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run a target in its anchor's compartment.
    Run(Box<Run>),
    /// Drain and stop a target: the container's preStop.
    Stop(Stop),
    /// Probe once, from outside.
    Probe(ProbeCommand),
    /// Copy the launcher to where containers find it.
    Install(Install),
    /// Tell what the node looks like to the launcher.
    Doctor(Doctor),
    /// Say which version this is.
    Version,
    /// Say how it is used.
    Help(Topic),
}

impl Command {
    /// Reads the launcher's arguments, the program's own name not among them.
    pub fn parse(args: &[String]) -> Result<Self, UsageError> {
        if let Some(topic) = Topic::asked(args) {
            return Ok(Self::Help(topic));
        }
        let mut args = Arguments::new(args);
        match args.next() {
            Some("run") => Ok(Self::Run(Box::new(Run::parse_options(args)?))),
            Some("stop") => Ok(Self::Stop(Stop::parse_options(args)?)),
            Some("probe") => Ok(Self::Probe(ProbeCommand::parse_options(args)?)),
            Some("install") => Ok(Self::Install(Install::parse_options(args)?)),
            Some("doctor") => Ok(Self::Doctor(Doctor::parse_options(args)?)),
            Some("version" | "--version") => args.end().map(|()| Self::Version),
            Some(other) => Err(UsageError::new(format!(
                "`{other}` is no command: expected {COMMANDS}; --help tells of them"
            ))),
            None => Err(UsageError::new(format!(
                "expected a command: {COMMANDS}; --help tells of them"
            ))),
        }
    }
}

/// `stop --container NAME --drain S --grace S`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The container's name.
    pub container: String,
    /// For how long the target goes on serving first.
    pub drain_seconds: u32,
    /// For how long it may take to stop after that; then it is ended.
    pub grace_seconds: u32,
}

impl Stop {
    /// The launcher's arguments.
    pub fn to_args(&self) -> Vec<String> {
        let (drain, grace) = (
            self.drain_seconds.to_string(),
            self.grace_seconds.to_string(),
        );
        let container = escape(&self.container);
        [
            "stop",
            "--container",
            &container,
            "--drain",
            &drain,
            "--grace",
            &grace,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn parse_options(mut args: Arguments<'_>) -> Result<Self, UsageError> {
        let (mut container, mut drain, mut grace) = (None, None, None);
        while let Some(name) = args.next() {
            match name {
                "--container" => once(&mut container, name, args.text(name)?)?,
                "--drain" => once(&mut drain, name, args.number(name)?)?,
                "--grace" => once(&mut grace, name, args.number(name)?)?,
                _ => return Err(unknown(name)),
            }
        }
        Ok(Self {
            container: required(container, "--container")?,
            drain_seconds: required(drain, "--drain")?,
            grace_seconds: required(grace, "--grace")?,
        })
    }
}

/// `probe http --port 8081 --path /health/liveness [--https] [--header NAME:VALUE]... --timeout 4`
/// or `probe tcp --port 8080 --timeout 4`; path and headers [escaped](crate::word).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeCommand {
    /// What the one attempt does.
    pub action: Action,
    /// How long it may take, in seconds.
    pub timeout_seconds: u32,
}

impl ProbeCommand {
    /// The launcher's arguments.
    pub fn to_args(&self) -> Vec<String> {
        let mut args = vec!["probe".to_owned()];
        let (Action::Http { port, .. } | Action::Tcp { port }) = &self.action;
        let port = ["--port".to_owned(), port.to_string()];
        match &self.action {
            Action::Tcp { .. } => {
                args.push("tcp".to_owned());
                args.extend(port);
            }
            Action::Http {
                path,
                https,
                headers,
                ..
            } => {
                args.push("http".to_owned());
                args.extend(port);
                if !path.is_empty() {
                    args.extend(["--path".to_owned(), escape(path)]);
                }
                if *https {
                    args.push("--https".to_owned());
                }
                for (name, value) in headers {
                    args.extend(["--header".to_owned(), header_word(name, value)]);
                }
            }
        }
        args.extend(["--timeout".to_owned(), self.timeout_seconds.to_string()]);
        args
    }

    fn parse_options(mut args: Arguments<'_>) -> Result<Self, UsageError> {
        let http = match args.next() {
            Some("http") => true,
            Some("tcp") => false,
            _ => return Err(UsageError::new("expected `probe http` or `probe tcp`")),
        };
        let (mut port, mut timeout) = (None, None);
        let (mut path, mut https, mut headers) = (None, None, Vec::new());
        while let Some(name) = args.next() {
            match name {
                "--port" => once(&mut port, name, args.number(name)?)?,
                "--timeout" => once(&mut timeout, name, args.number(name)?)?,
                "--path" if http => once(&mut path, name, args.text(name)?)?,
                "--https" if http => once(&mut https, name, true)?,
                "--header" if http => {
                    let word = args.value(name)?;
                    headers.push(read_header(word)?);
                }
                _ => return Err(unknown(name)),
            }
        }
        let port = required(port, "--port")?;
        let timeout_seconds = required(timeout, "--timeout")?;
        for (name, zero) in [("--port", port == 0), ("--timeout", timeout_seconds == 0)] {
            if zero {
                return Err(UsageError::new(format!("{name} 0: expected at least 1")));
            }
        }
        let action = if http {
            let path = path.unwrap_or_default();
            Action::Http {
                port,
                path,
                https: https.unwrap_or(false),
                headers,
            }
        } else {
            Action::Tcp { port }
        };
        Ok(Self {
            action,
            timeout_seconds,
        })
    }
}

fn read_header(word: &str) -> Result<(String, String), UsageError> {
    header(word)
        .filter(|(name, value)| !name.is_empty() && header_word(name, value) == word)
        .ok_or_else(|| {
            UsageError::new(format!(
                "--header {word}: expected NAME:VALUE, escaped as ~XX"
            ))
        })
}

/// `install DIR`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// The folder to copy the launcher to.
    pub dir: String,
}

impl Install {
    /// The launcher's arguments.
    pub fn to_args(&self) -> Vec<String> {
        vec!["install".to_owned(), escape(&self.dir)]
    }

    fn parse_options(mut args: Arguments<'_>) -> Result<Self, UsageError> {
        let dir = args.text("install")?;
        args.end()?;
        Ok(Self { dir })
    }
}

/// `doctor [--ip IP] [--compartment N] [--resolve NAME] [-o text|json]`: no pod's command line holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doctor {
    /// The IP to look up, in place of the anchor's.
    pub ip: Option<IpAddr>,
    /// The compartment to look into, in place of that IP's.
    pub compartment: Option<u32>,
    /// The name to resolve there.
    pub resolve: Option<String>,
    /// JSON in place of text.
    pub json: bool,
}

impl Doctor {
    fn parse_options(mut args: Arguments<'_>) -> Result<Self, UsageError> {
        let (mut ip, mut compartment, mut resolve, mut json) = (None, None, None, None);
        while let Some(name) = args.next() {
            match name {
                "--ip" => {
                    let word = args.value(name)?;
                    let wrong = || UsageError::new(format!("--ip {word}: expected an IP address"));
                    once(&mut ip, name, word.parse().map_err(|_| wrong())?)?;
                }
                "--compartment" => once(&mut compartment, name, args.number(name)?)?,
                "--resolve" => once(&mut resolve, name, args.value(name)?.to_owned())?,
                "-o" | "--output" => {
                    let is_json = match args.value(name)? {
                        "json" => true,
                        "text" => false,
                        other => {
                            return Err(UsageError::new(format!(
                                "{name} {other}: expected text or json"
                            )));
                        }
                    };
                    once(&mut json, name, is_json)?;
                }
                _ => return Err(unknown(name)),
            }
        }
        Ok(Self {
            ip,
            compartment,
            resolve,
            json: json.unwrap_or(false),
        })
    }
}

/// The name of the event by which `stop` reaches the `run` of its container. In the `Global\`
/// namespace, since `run` and an exec need not be in one session; without a further backslash,
/// which an object's name may not hold, and one of its own for each container of each pod.
pub fn stop_event(pod_uid: &str, container: &str) -> String {
    let word = |text: &str| escape_but(text, |c| matches!(c, '\\' | '/' | '.'));
    format!(
        r"Global\native-host-stop-{}.{}",
        word(pod_uid),
        word(container)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::probe::tests::any_probe;
    use crate::word::is_plain_argument;
    use proptest::prelude::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn commands_are_readable() {
        let stop = Stop {
            container: "albums".to_owned(),
            drain_seconds: 5,
            grace_seconds: 30,
        };
        assert_eq!(
            stop.to_args(),
            words("stop --container albums --drain 5 --grace 30")
        );
        let action = Action::Http {
            port: 8081,
            path: "/health/liveness".to_owned(),
            https: false,
            headers: vec![("Accept".to_owned(), "a, b".to_owned())],
        };
        assert_eq!(
            ProbeCommand {
                action,
                timeout_seconds: 4
            }
            .to_args(),
            words(
                "probe http --port 8081 --path /health/liveness --header Accept:a~2C~20b --timeout 4"
            )
        );
        assert_eq!(
            ProbeCommand {
                action: Action::Tcp { port: 80 },
                timeout_seconds: 4
            }
            .to_args(),
            words("probe tcp --port 80 --timeout 4")
        );
        let install = Install {
            dir: r"C:\native-host\bin".to_owned(),
        };
        assert_eq!(install.to_args(), words(r"install C:\native-host\bin"));
    }

    #[test]
    fn every_command_is_found() {
        let parse = |line| Command::parse(&words(line)).unwrap();
        assert!(matches!(
            parse("run --container c -- a.exe"),
            Command::Run(_)
        ));
        assert!(matches!(
            parse("stop --container c --drain 0 --grace 1"),
            Command::Stop(_)
        ));
        assert!(matches!(
            parse("probe tcp --port 1 --timeout 1"),
            Command::Probe(_)
        ));
        assert!(matches!(parse(r"install C:\x"), Command::Install(_)));
        assert_eq!(parse("version"), Command::Version);
        assert_eq!(parse("--version"), Command::Version);
        assert_eq!(parse("doctor"), Command::Doctor(Doctor::default()));
        let doctor = Doctor {
            ip: Some(IpAddr::from([10, 1, 2, 3])),
            compartment: Some(5),
            resolve: Some("albums.default.svc".to_owned()),
            json: true,
        };
        let line = "doctor --ip 10.1.2.3 --compartment 5 --resolve albums.default.svc -o json";
        assert_eq!(parse(line), Command::Doctor(doctor));
        assert!(matches!(parse("--help"), Command::Help(_)));
    }

    #[test]
    fn refuses_with_the_reason() {
        for (line, reason) in [
            ("", "expected a command"),
            ("start", "`start` is no command"),
            ("stop --container c --drain 1", "--grace is missing"),
            (
                "stop --container c --drain 1s --grace 1",
                "expected a whole number",
            ),
            ("probe grpc", "expected `probe http` or `probe tcp`"),
            (
                "probe tcp --port 1 --path / --timeout 1",
                "`--path` is no option here",
            ),
            ("probe http --port 0 --timeout 1", "--port 0"),
            ("probe http --port 1 --timeout 0", "--timeout 0"),
            (
                "probe http --port 1 --timeout 1 --header a",
                "expected NAME:VALUE",
            ),
            (
                "probe http --port 1 --timeout 1 --header ~61:b",
                "expected NAME:VALUE",
            ),
            ("install", "install needs a value"),
            ("install a b", "one argument too many"),
            ("version 2", "one argument too many"),
            ("doctor --ip x", "expected an IP address"),
            ("doctor -o yaml", "expected text or json"),
            ("doctor --ip", "--ip needs a value"),
        ] {
            let error = Command::parse(&words(line)).unwrap_err().to_string();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn events_differ_and_hold_no_further_backslash() {
        let uid = "6e7e1f9e-6f4b-4b7e-8a57-0d6d8d1c2b3a";
        assert_eq!(
            stop_event(uid, "albums"),
            format!(r"Global\native-host-stop-{uid}.albums")
        );
        assert_ne!(stop_event("a.b", "c"), stop_event("a", "b.c"));
        assert_eq!(stop_event(r"a\b", "c").matches('\\').count(), 1);
    }

    proptest! {
        #[test]
        fn every_command_comes_back(
            probe in any_probe(), container in ".+", dir in ".+", drain: u32, grace: u32,
        ) {
            let stop = Stop { container, drain_seconds: drain, grace_seconds: grace };
            let action = probe.action;
            let probe = ProbeCommand { action, timeout_seconds: probe.timeout };
            let install = Install { dir };
            for args in [stop.to_args(), probe.to_args(), install.to_args()] {
                prop_assert!(args.iter().all(|arg| is_plain_argument(arg)), "{:?}", args);
            }
            prop_assert_eq!(Command::parse(&stop.to_args()), Ok(Command::Stop(stop)));
            prop_assert_eq!(Command::parse(&probe.to_args()), Ok(Command::Probe(probe)));
            prop_assert_eq!(Command::parse(&install.to_args()), Ok(Command::Install(install)));
        }
    }
}
