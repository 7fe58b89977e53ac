//! The check process: the launcher itself, started in the target's job before the target is. It says by its
//! exit code whether the job really is in the anchor's compartment. A program whose job is not would run on
//! the host's network, so without a good answer none is started.

use std::fmt;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::compartment::HOST;

/// The subcommand. It is no part of the contract: no pod's command line holds it.
pub const COMMAND: &str = "check-compartment";

/// For how long an address that cannot be bound is tried again: Windows takes a moment until a new address
/// is no longer tentative (duplicate address detection, RFC 5227 and RFC 4862).
pub const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// What the check process found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the compartment, and the anchor's IP can be bound there.
    Inside,
    /// It is in another compartment.
    Elsewhere(u32),
    /// It is in the compartment, but the IP cannot be bound: a Windows sockets error.
    NoAddress(u32),
    /// Its arguments were none.
    Unasked,
    /// It ended with a code that is none of these.
    Unknown(u32),
}

// Exit codes: a kind in the upper half, a number in the lower. Compartments and socket errors are small.
const ELSEWHERE: u32 = 0x0001_0000;
const NO_ADDRESS: u32 = 0x0002_0000;
const UNASKED: u32 = 0x0003_0000;

impl Verdict {
    /// As an exit code.
    pub fn code(self) -> u32 {
        match self {
            Self::Inside => 0,
            Self::Elsewhere(compartment) => ELSEWHERE | compartment & 0xffff,
            Self::NoAddress(error) => NO_ADDRESS | error & 0xffff,
            Self::Unasked => UNASKED,
            Self::Unknown(code) => code,
        }
    }

    /// The meaning of an exit code.
    pub fn from_code(code: u32) -> Self {
        match (code & 0xffff_0000, code & 0xffff) {
            (0, 0) => Self::Inside,
            (ELSEWHERE, compartment) => Self::Elsewhere(compartment),
            (NO_ADDRESS, error) => Self::NoAddress(error),
            (UNASKED, 0) => Self::Unasked,
            _ => Self::Unknown(code),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inside => f.write_str("the check process is in the compartment"),
            Self::Elsewhere(HOST) => write!(
                f,
                "the check process found itself in compartment {HOST}, the host's own"
            ),
            Self::Elsewhere(other) => {
                write!(f, "the check process found itself in compartment {other}")
            }
            Self::NoAddress(error) => write!(
                f,
                "the check process could not bind the anchor's IP in the compartment (Windows sockets \
                 error {error})"
            ),
            Self::Unasked => f.write_str("the check process did not understand its arguments"),
            Self::Unknown(code) => write!(f, "the check process ended with exit code {code:#x}"),
        }
    }
}

/// The launcher's arguments for a check.
pub fn to_args(compartment: u32, ip: IpAddr) -> [String; 3] {
    [COMMAND.to_owned(), compartment.to_string(), ip.to_string()]
}

/// What [`to_args`] wrote.
pub fn parse(args: &[String]) -> Option<(u32, IpAddr)> {
    match args {
        [command, compartment, ip] if command == COMMAND => {
            Some((compartment.parse().ok()?, ip.parse().ok()?))
        }
        _ => None,
    }
}

/// In the check process: compares the compartment it is in, and binds the IP.
pub fn carry_out(
    args: &[String],
    own_compartment: impl Fn() -> u32,
    patience: Duration,
) -> Verdict {
    let Some((compartment, ip)) = parse(args) else {
        return Verdict::Unasked;
    };
    let own = own_compartment();
    if own != compartment || own <= HOST {
        return Verdict::Elsewhere(own);
    }
    let start = Instant::now();
    loop {
        match TcpListener::bind((ip, 0)) {
            Ok(_) => return Verdict::Inside,
            Err(error) if retry(&error) && start.elapsed() < patience => std::thread::sleep(PAUSE),
            Err(error) => {
                let code = error
                    .raw_os_error()
                    .and_then(|code| u32::try_from(code).ok());
                return Verdict::NoAddress(code.unwrap_or(0));
            }
        }
    }
}

fn retry(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 20, 3, 4));

    #[test]
    fn only_the_very_compartment_is_inside() {
        let args = to_args(5, HERE);
        let check = |args: &[String], own| carry_out(args, || own, PATIENCE);
        assert_eq!(check(&args, 5), Verdict::Inside);
        assert_eq!(check(&args, 1), Verdict::Elsewhere(1));
        assert_eq!(check(&args, 6), Verdict::Elsewhere(6));
        // The host's is never right, even when asked for.
        assert_eq!(check(&to_args(1, HERE), 1), Verdict::Elsewhere(1));
        assert_eq!(check(&to_args(0, HERE), 0), Verdict::Elsewhere(0));
        assert_eq!(check(&args[..2], 5), Verdict::Unasked);
    }

    #[test]
    fn an_address_of_another_machine_is_tried_for_a_while() {
        // Of the networks for documentation (RFC 5737): nobody has it.
        let args = to_args(5, IpAddr::from([192, 0, 2, 1]));
        let patience = Duration::from_millis(250);
        let start = Instant::now();
        let verdict = carry_out(&args, || 5, patience);
        assert!(
            matches!(verdict, Verdict::NoAddress(code) if code != 0),
            "{verdict}"
        );
        assert!(start.elapsed() >= patience);
    }

    proptest! {
        #[test]
        fn every_code_has_one_meaning(code: u32) {
            prop_assert_eq!(Verdict::from_code(code).code(), code);
            prop_assert_eq!(Verdict::from_code(code) == Verdict::Inside, code == 0);
        }
    }
}
