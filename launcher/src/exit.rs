//! The launcher's own exit codes. A target's code is passed on untouched, so these lie where a
//! program's own hardly do.
//!
//! They begin at 7700. Windows programs often end with a system error code, and those leave out
//! 7100 to 7999 (Terminal Services end at 7070, File Replication begins at 8001: "System Error
//! Codes (6000-8199)" of the Windows documentation). Shells, signals and `sysexits.h` stay below
//! 256, installers (1600s, 3010) and `NTSTATUS` crashes (0xC0000000 and up) are elsewhere. The
//! lowest eight bits differ too, for whoever sees only those.

/// Why the launcher ended, where it was not for its target's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Exit {
    /// The command line is not one of the launcher's.
    Usage = 7700,
    /// The anchor's status did not come in time.
    AnchorTimeout = 7701,
    /// The anchor's status file cannot be read or holds something else.
    AnchorStatus = 7702,
    /// No compartment, or more than one, holds the anchor's IP.
    CompartmentNotFound = 7703,
    /// The job could not be put into the compartment.
    CompartmentRefused = 7704,
    /// The check process did not find itself in the compartment: the target was not started.
    FailClosed = 7705,
    /// The target could not be started.
    TargetNotStarted = 7706,
    /// The anchor's IP or start changed: the target's network is gone, it was ended.
    AnchorChanged = 7707,
    /// The liveness probe failed, the target was ended.
    LivenessFailed = 7708,
    /// The startup probe failed, the target was ended.
    StartupFailed = 7709,
    /// `stop`: no `run` of this container was there to stop.
    NothingToStop = 7710,
    /// `stop`: the target was still there at the end of the grace, and was ended.
    StopTimeout = 7711,
    /// `probe`: the attempt failed.
    ProbeFailed = 7712,
    /// `install`: the launcher could not be copied.
    InstallFailed = 7713,
    /// A Windows call that should not fail did.
    System = 7714,
}

impl Exit {
    /// All of them, in order.
    pub const ALL: [Self; 15] = [
        Self::Usage,
        Self::AnchorTimeout,
        Self::AnchorStatus,
        Self::CompartmentNotFound,
        Self::CompartmentRefused,
        Self::FailClosed,
        Self::TargetNotStarted,
        Self::AnchorChanged,
        Self::LivenessFailed,
        Self::StartupFailed,
        Self::NothingToStop,
        Self::StopTimeout,
        Self::ProbeFailed,
        Self::InstallFailed,
        Self::System,
    ];

    /// The code that the process ends with.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// What it means, for the person who sees it in a pod's status.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Usage => "its command line is not one of the launcher's",
            Self::AnchorTimeout => "the anchor's status did not come in time",
            Self::AnchorStatus => "the anchor's status file cannot be read or holds something else",
            Self::CompartmentNotFound => {
                "no network compartment, or more than one, holds the anchor's IP"
            }
            Self::CompartmentRefused => "the job could not be put into the network compartment",
            Self::FailClosed => {
                "the check process did not find itself in the network compartment, so the program \
                 was not started"
            }
            Self::TargetNotStarted => "the program could not be started",
            Self::AnchorChanged => {
                "the anchor's IP or start changed, so the program's network was gone and it was ended"
            }
            Self::LivenessFailed => "the liveness probe failed, so the program was ended",
            Self::StartupFailed => "the startup probe failed, so the program was ended",
            Self::NothingToStop => "`stop` found no `run` of its container",
            Self::StopTimeout => {
                "the program was still there at the end of its grace period, and was ended"
            }
            Self::ProbeFailed => "the probe's attempt failed",
            Self::InstallFailed => "the launcher could not be copied to where containers find it",
            Self::System => "a Windows call failed that should not",
        }
    }

    /// Which of them a container's exit code is.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| exit.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_their_own_and_in_the_documented_range() {
        for (i, exit) in Exit::ALL.into_iter().enumerate() {
            assert!((7700..7800).contains(&exit.code()));
            assert_eq!(Exit::from_code(exit.code()), Some(exit));
            let low = |exit: Exit| exit.code() & 0xff;
            assert!(low(exit) != 0);
            assert!(
                Exit::ALL[..i]
                    .iter()
                    .all(|&other| other.meaning() != exit.meaning())
            );
            assert!(Exit::ALL[..i].iter().all(|&other| low(other) != low(exit)));
        }
        assert_eq!(Exit::from_code(1), None);
    }
}
