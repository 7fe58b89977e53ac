//! The one line by which the launcher says that it failed. It is the last thing on stderr, so that a pod's
//! `terminationMessagePolicy: FallbackToLogsOnError` shows it in `kubectl describe`:
//!
//! ```text
//! native-host-launcher error=CompartmentNotFound exit=7703 container=albums anchor=6e7e… ip=10.244.1.7
//!     compartment=- by=- program=C:\apps\albums.exe after=180.0s why="hcn: no endpoint has 10.244.1.7"
//! ```
//!
//! (one line). `key=value`, always the same keys in the same order, `-` for what is not known. A value with
//! spaces, `=` or quotes stands in quotes, a quote in it doubled; a backslash is a backslash, for paths'
//! sake.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use crate::compartment::Way;
use crate::exit::Exit;

/// What is known when something fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The container's name.
    pub container: Option<String>,
    /// The anchor pod's UID.
    pub anchor: Option<String>,
    /// Its IP.
    pub ip: Option<IpAddr>,
    /// Its compartment.
    pub compartment: Option<u32>,
    /// By which way that was found.
    pub by: Option<Way>,
    /// The program that was to run or ran.
    pub program: Option<String>,
    /// Since the launcher's start.
    pub after: Duration,
}

/// The line for one failure.
pub fn line(exit: Exit, known: &Circumstances, why: &str) -> String {
    let mut line = format!("native-host-launcher error={exit:?} exit={}", exit.code());
    put(&mut line, "container", known.container.as_ref());
    put(&mut line, "anchor", known.anchor.as_ref());
    put(&mut line, "ip", known.ip.as_ref());
    put(&mut line, "compartment", known.compartment.as_ref());
    put(&mut line, "by", known.by.as_ref());
    put(&mut line, "program", known.program.as_ref());
    let tenths = known.after.as_millis() / 100;
    let after = format!("{}.{}s", tenths / 10, tenths % 10);
    put(&mut line, "after", Some(&after));
    put(&mut line, "why", Some(&why));
    line
}

fn put<T: fmt::Display>(line: &mut String, key: &str, value: Option<&T>) {
    let value = value.map_or_else(|| "-".to_owned(), T::to_string);
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=');
    // Writing to a String cannot fail.
    let _ = if !value.is_empty() && value.chars().all(plain) {
        write!(line, " {key}={value}")
    } else {
        // One line, whatever a program's name or Windows' words hold.
        let value = value.replace(char::is_control, " ").replace('"', "\"\"");
        write!(line, " {key}=\"{value}\"")
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_line_says_it_all() {
        let known = Circumstances {
            container: Some("albums".to_owned()),
            anchor: Some("6e7e-1".to_owned()),
            ip: Some(IpAddr::from([10, 244, 1, 7])),
            program: Some(r"C:\Program Files\a.exe".to_owned()),
            after: Duration::from_millis(180_040),
            ..Circumstances::default()
        };
        assert_eq!(
            line(Exit::CompartmentNotFound, &known, "hcn: \"x\" =\r\ny"),
            "native-host-launcher error=CompartmentNotFound exit=7703 container=albums anchor=6e7e-1 \
             ip=10.244.1.7 compartment=- by=- program=\"C:\\Program Files\\a.exe\" after=180.0s \
             why=\"hcn: \"\"x\"\" =  y\""
        );
    }

    proptest! {
        #[test]
        fn it_is_one_line_whatever_happened(program: String, why: String) {
            let known = Circumstances { program: Some(program), ..Circumstances::default() };
            let line = line(Exit::System, &known, &why);
            prop_assert!(!line.contains(char::is_control));
            // Outside quotes there are exactly the keys.
            let outside: String = line.split('"').step_by(2).collect();
            prop_assert_eq!(outside.matches('=').count(), 10);
        }
    }
}
