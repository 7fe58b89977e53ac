//! What `--help` says. Most of these command lines are written by the webhook and read by a person who wonders what
//! they mean, so each page says who writes it.

use std::fmt::Write as _;

use crate::exit::Exit;
use crate::names::{ANCHOR_DIR, ANCHOR_FILE, COMPARTMENT_ID_ATTACH, LAUNCHER_EXE, POD_UID};

/// A page of help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The launcher as a whole.
    All,
    /// `run`
    Run,
    /// `stop`
    Stop,
    /// `probe`
    Probe,
    /// `install`
    Install,
    /// `doctor`
    Doctor,
}

impl Topic {
    /// All pages.
    pub const ALL: [Self; 6] = [
        Self::All,
        Self::Run,
        Self::Stop,
        Self::Probe,
        Self::Install,
        Self::Doctor,
    ];

    /// The page that arguments ask for: `--help`, `help [COMMAND]`, `COMMAND --help`.
    pub(crate) fn asked(args: &[String]) -> Option<Self> {
        let word = |at: usize| args.get(at).map(String::as_str);
        let help = |word: Option<&str>| matches!(word, Some("--help" | "-h"));
        match (word(0), word(1)) {
            (Some("help"), None) => Some(Self::All),
            (Some("help"), Some(command)) => Self::of(command),
            (first, _) if help(first) => Some(Self::All),
            (Some("version" | "--version"), second) if help(second) => Some(Self::All),
            (Some(command), second) if help(second) => Self::of(command),
            // `probe http --help`
            (Some("probe"), _) if help(word(2)) => Some(Self::Probe),
            _ => None,
        }
    }

    fn of(command: &str) -> Option<Self> {
        Some(match command {
            "run" => Self::Run,
            "stop" => Self::Stop,
            "probe" => Self::Probe,
            "install" => Self::Install,
            "doctor" => Self::Doctor,
            _ => return None,
        })
    }

    /// The page.
    pub fn text(self) -> String {
        match self {
            Self::All => all(),
            Self::Run => run(),
            Self::Stop => stop(),
            Self::Probe => probe(),
            Self::Install => install(),
            Self::Doctor => doctor(),
        }
    }
}

fn all() -> String {
    let mut text = format!(
        r"{LAUNCHER_EXE} {}

Starts a native Windows program in the network compartment of its anchor pod, so that the program
has the pod's IP, its ports and its DNS. native-host writes these command lines into pods; a
person needs `doctor`.

  run        start a program in its anchor's compartment, probe it, and end with its exit code
  stop       drain and stop it: a container's preStop hook
  probe      probe once, in the compartment: an exec probe under plain cplauncher
  install    copy this program to where containers find it: an init container
  doctor     tell what this node looks like: compartments, addresses, calls, name resolution
  version    say which version this is

`{LAUNCHER_EXE} COMMAND --help` tells more.

A program's own exit code is passed on. The launcher's own, each with one line on stderr that says why:
",
        env!("CARGO_PKG_VERSION")
    );
    for exit in Exit::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}  {}", exit.code(), exit.meaning());
    }
    text
}

fn run() -> String {
    format!(
        r"Usage: {LAUNCHER_EXE} run --container NAME [OPTION]... (-- PROGRAM ARG... | --argv64 WORD)

Waits for {ANCHOR_DIR}\{ANCHOR_FILE}, finds the one compartment that holds the anchor's IP,
makes a Job object in it, has a process of its own check that the job really is there, and only
then starts the program in it. The program gets no standard input; its output goes where this
one's goes. When the program ends, so do all processes that it started, and its exit code is this
one's. If the anchor gets another IP or starts anew, the program is ended at once.

  --container NAME         the container's name; `stop` finds this by it and by {POD_UID}
  --timeout 180s           how long to wait for the anchor
  --ip-env VARIABLE        put the anchor's IP into this variable; may be given several times
  --liveness PROBE         probe the program, in its compartment, and end it when it fails
  --startup PROBE          the same, before the liveness probe, until it succeeds once
  --grace SECONDS          how long a program that failed a probe has to stop
  --cplauncher PATH        have K2s's cplauncher start the program in the compartment
  --cplauncher-dll PATH    with that: the DLL that it injects
  --cplauncher-no-inject   with that: none; the program attaches itself
  --var NAME               a variable of the container that an encoded argument refers to
  --argv64 WORD            program and arguments as a JSON array in base64url, where one of them holds other
                           characters than letters, digits and -_./\:@+,=~#

{COMPARTMENT_ID_ATTACH} is set for programs that attach themselves.

PROBE is one word, its numbers those of the pod's YAML, in seconds and attempts; other characters
as ~XX:

  http:8081/health/liveness,delay=0,period=10,timeout=1,failures=3,successes=1[,grace=30][,header=NAME:VALUE]...
  https:8443/live,...      TLS, its certificate not verified
  tcp:8080,...
"
    )
}

fn stop() -> String {
    format!(
        r"Usage: {LAUNCHER_EXE} stop --container NAME --drain SECONDS --grace SECONDS

A container's preStop hook. Tells the `run` of the same pod and container that the end is near,
waits for the drain while the program serves on, then asks the program to stop (CTRL_BREAK to its
processes, WM_CLOSE to its windows), and ends it when the grace is over. It returns when the
program is gone. The pod is known by the variable {POD_UID}.

  --container NAME    the container's name
  --drain SECONDS     for how long the program serves on
  --grace SECONDS     how long it has to stop after that
"
    )
}

fn probe() -> String {
    format!(
        r"Usage: {LAUNCHER_EXE} probe http --port N --timeout SECONDS [OPTION]...
       {LAUNCHER_EXE} probe tcp --port N --timeout SECONDS

Probes a program once, at its anchor's IP, as the kubelet would: GET succeeds on 200 to 399,
redirects are followed on the same host only, certificates are not verified. It goes into the
anchor's compartment first; if it cannot, it fails, and asks nobody else.

  --port N               the port
  --path PATH            path and query; other characters as ~XX
  --https                TLS
  --header NAME:VALUE    a header; may be given several times
  --timeout SECONDS      for all of it
"
    )
}

fn install() -> String {
    format!(
        r"Usage: {LAUNCHER_EXE} install DIR

Copies this program to DIR\{LAUNCHER_EXE}. Nobody ever finds half a program there.
The same one is left alone; one that is running is moved aside and runs on.
"
    )
}

fn doctor() -> String {
    format!(
        r"Usage: {LAUNCHER_EXE} doctor [--ip IP] [--compartment N] [--resolve NAME] [-o text|json]

Tells what this node looks like to the launcher, and what is wrong: Windows' version, the account,
which calls there are, the anchor's status file, all compartments and their addresses, every way
from the anchor's IP to its compartment, and from within that compartment whether the IP can be
bound and a name resolved. It changes nothing.

In a pod:      kubectl exec POD -c CONTAINER -- C:\native-host\bin\{LAUNCHER_EXE} doctor
On a node:     {LAUNCHER_EXE} doctor --ip IP-OF-AN-ANCHOR      as an administrator

  --ip IP            look this IP up, not the anchor's
  --compartment N    look into this compartment, not that of the IP
  --resolve NAME     resolve this name there (kubernetes.default.svc)
  -o text|json       text for people, or JSON for programs
"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Command;

    fn asked(line: &str) -> Option<Topic> {
        let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Topic::asked(&args)
    }

    #[test]
    fn help_is_found_where_people_look_for_it() {
        for (line, topic) in [
            ("--help", Some(Topic::All)),
            ("-h", Some(Topic::All)),
            ("help", Some(Topic::All)),
            ("help run", Some(Topic::Run)),
            ("run --help", Some(Topic::Run)),
            ("stop -h", Some(Topic::Stop)),
            ("probe --help", Some(Topic::Probe)),
            ("probe http --help", Some(Topic::Probe)),
            ("install --help", Some(Topic::Install)),
            ("doctor -h", Some(Topic::Doctor)),
            ("", None),
            ("help me", None),
            // A program's own.
            ("run --container c -- a.exe --help", None),
            ("version", None),
        ] {
            assert_eq!(asked(line), topic, "{line}");
        }
    }

    /// Every option that a page names is one, and fits on a screen.
    #[test]
    fn pages_tell_of_what_there_is() {
        for topic in Topic::ALL {
            let text = topic.text();
            assert!(
                text.lines().all(|line| line.chars().count() <= 112),
                "{text}"
            );
            let (command, example) = match topic {
                Topic::All => continue,
                Topic::Run => ("run", "run --container c -- a.exe"),
                Topic::Stop => ("stop", "stop --container c --drain 1 --grace 1"),
                Topic::Probe => ("probe http", "probe http --port 1 --timeout 1"),
                Topic::Install => ("install", "install d"),
                Topic::Doctor => ("doctor", "doctor"),
            };
            let words = |line: &str| {
                line.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            assert!(Command::parse(&words(example)).is_ok(), "{example}");
            let options = text.lines().filter_map(|line| line.strip_prefix("  --"));
            for option in options {
                let name = format!("--{}", option.split(' ').next().unwrap());
                let error = Command::parse(&words(&format!("{command} {name}"))).err();
                let error = error.map(|error| error.to_string()).unwrap_or_default();
                assert!(!error.contains("no option"), "{topic:?}: {name}: {error}");
            }
        }
        let all = Topic::All.text();
        assert!(
            Exit::ALL
                .iter()
                .all(|exit| all.contains(&exit.code().to_string()))
        );
    }
}
