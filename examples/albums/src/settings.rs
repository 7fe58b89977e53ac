//! Arguments and environment in, what to do out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
albums: serves a list of record albums over HTTP.

  albums                                    serve
  albums --exit-after 2s [--exit-code 3]    end by itself after that time, as a batch job does
  albums --print-args FILE ARG...           write the ARGs to FILE (- for stdout) as a JSON list

Environment:
  BIND_ADDRESS           the address it listens on (0.0.0.0)
  PORT                   its port (8080)
  HEALTH_BIND_ADDRESS    the address of the health port (BIND_ADDRESS)
  HEALTH_PORT            the health port (8081)
  COMPARTMENT_ID_ATTACH  the network compartment it moves itself into before it listens
  RESOURCE               the list's path (albums-win)
  INSTANCE               a name that every answer carries in the header Albums-Instance
  STARTUP_TIME           how long /health/startup says that it is starting (0s)
  MAX_CONNECTION_AGE     the first answer after that time closes its connection (off)
  MAX_CONNECTIONS        how many connections a port has at once; more wait (256)
  STOP_TIMEOUT           how long requests may take once it is told to stop (20s)
  ALBUMS_TEST_KNOBS      1: /admin/... makes it fail, for tests

GET /RESOURCE, /RESOURCE/ID, both with ?delay=4s where the answer is to take its time;
GET /health/startup, /health/readiness, /health/liveness, on both ports.

CTRL_BREAK and CTRL_CLOSE end it in good order: what is being answered is answered, each
connection is closed after its next answer, and the exit code is 0.
";

/// What it was started for.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    /// Print the help.
    Help,
    /// End after a time.
    Batch {
        /// That time.
        after: Duration,
        /// The exit code then.
        code: i32,
    },
    /// Serve.
    Serve(Box<Settings>),
}

/// How it serves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Where albums are.
    pub(crate) address: SocketAddr,
    /// Where health is, and nothing else.
    pub(crate) health_address: SocketAddr,
    /// The compartment to be in.
    pub(crate) compartment: Option<u32>,
    /// The path of the list, without its slash.
    pub(crate) resource: String,
    /// What answers carry.
    pub(crate) instance: Option<String>,
    /// How long starting takes.
    pub(crate) startup_time: Duration,
    /// How old a connection gets.
    pub(crate) max_connection_age: Option<Duration>,
    /// Connections at once, on each port.
    pub(crate) max_connections: usize,
    /// How long stopping takes at most.
    pub(crate) stop_timeout: Duration,
    /// Whether `/admin/...` is there.
    pub(crate) knobs: bool,
}

/// Reads the command line and the environment. What is wrong is said with its name, its value and what
/// was expected.
pub(crate) fn parse(
    arguments: &[String],
    env: impl Fn(&str) -> Option<String>,
) -> Result<Command, String> {
    let (mut after, mut exit_code) = (None, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--help" | "-h" | "/?" => return Ok(Command::Help),
            "--exit-after" => after = Some(duration(argument, value()?)?),
            "--exit-code" => {
                exit_code = Some(number(argument, value()?, "a number, e.g. 3")?);
            }
            _ => return Err(format!("{argument}: no such argument")),
        }
    }
    match (after, exit_code) {
        (Some(after), code) => Ok(Command::Batch {
            after,
            code: code.unwrap_or(0),
        }),
        (None, Some(_)) => Err("--exit-code needs --exit-after".into()),
        (None, None) => serve(&env).map(|settings| Command::Serve(Box::new(settings))),
    }
}

fn serve(env: &impl Fn(&str) -> Option<String>) -> Result<Settings, String> {
    // An empty variable is one that is not set: that is what Windows makes of it, too.
    let get = |name: &str| env(name).filter(|value| !value.is_empty());
    let ip = |name: &str, default: IpAddr| match get(name) {
        Some(value) => number(name, &value, "an IP address"),
        None => Ok(default),
    };
    let port = |name: &str, default: u16| match get(name) {
        Some(value) => number(name, &value, "a port, 0 to 65535"),
        None => Ok(default),
    };
    let time = |name: &str, default: Duration| match get(name) {
        Some(value) => duration(name, &value),
        None => Ok(default),
    };
    let bind = ip("BIND_ADDRESS", IpAddr::V4(Ipv4Addr::UNSPECIFIED))?;
    let age = time("MAX_CONNECTION_AGE", Duration::ZERO)?;
    let compartment = get("COMPARTMENT_ID_ATTACH")
        .map(|value| number("COMPARTMENT_ID_ATTACH", &value, "a compartment's number"))
        .transpose()?;
    let max_connections = get("MAX_CONNECTIONS")
        .map(|value| number("MAX_CONNECTIONS", &value, "a number of 1 or more"))
        .transpose()?;
    Ok(Settings {
        address: SocketAddr::new(bind, port("PORT", 8080)?),
        health_address: SocketAddr::new(
            ip("HEALTH_BIND_ADDRESS", bind)?,
            port("HEALTH_PORT", 8081)?,
        ),
        compartment,
        resource: resource(get("RESOURCE"))?,
        instance: get("INSTANCE").map(instance).transpose()?,
        startup_time: time("STARTUP_TIME", Duration::ZERO)?,
        max_connection_age: (age > Duration::ZERO).then_some(age),
        max_connections: max_connections.unwrap_or(256).max(1),
        stop_timeout: time("STOP_TIMEOUT", Duration::from_secs(20))?,
        knobs: get("ALBUMS_TEST_KNOBS").as_deref() == Some("1"),
    })
}

fn resource(value: Option<String>) -> Result<String, String> {
    let value = value.unwrap_or_else(|| "albums-win".into());
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    if value.chars().all(plain) {
        Ok(value)
    } else {
        Err(format!(
            "RESOURCE={value}: expected letters, digits and -_.~"
        ))
    }
}

/// It goes into a header, so it must not end it.
fn instance(value: String) -> Result<String, String> {
    if value.chars().all(|c| c.is_ascii_graphic()) {
        Ok(value)
    } else {
        Err(format!("INSTANCE={value:?}: expected ASCII without spaces"))
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str, expected: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("{name}={value}: expected {expected}"))
}

/// `250ms`, `4s`, `2m`.
pub(crate) fn duration(name: &str, value: &str) -> Result<Duration, String> {
    let wrong = || format!("{name}={value}: expected a time such as 250ms, 4s or 2m");
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = value.split_at(digits);
    let count: u32 = count.parse().map_err(|_| wrong())?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err(wrong()),
    };
    Ok(unit * count)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn with(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Command, String> {
        let arguments: Vec<String> = arguments.iter().map(|&one| one.to_owned()).collect();
        parse(&arguments, |name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn served(variables: &[(&str, &str)]) -> Settings {
        match with(&[], variables) {
            Ok(Command::Serve(settings)) => *settings,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unset_and_empty_variables_have_the_defaults_of_k2s() {
        for variables in [&[][..], &[("PORT", ""), ("BIND_ADDRESS", "")]] {
            let settings = served(variables);
            assert_eq!(settings.address, "0.0.0.0:8080".parse().unwrap());
            assert_eq!(settings.health_address, "0.0.0.0:8081".parse().unwrap());
            assert_eq!(settings.resource, "albums-win");
            assert_eq!(settings.compartment, None);
            assert!(!settings.knobs);
        }
    }

    #[test]
    fn the_health_port_follows_the_bind_address_unless_it_has_its_own() {
        let settings = served(&[("BIND_ADDRESS", "10.244.1.5"), ("PORT", "80")]);
        assert_eq!(settings.address, "10.244.1.5:80".parse().unwrap());
        assert_eq!(settings.health_address, "10.244.1.5:8081".parse().unwrap());
        let settings = served(&[
            ("BIND_ADDRESS", "fd00::5"),
            ("HEALTH_BIND_ADDRESS", "127.0.0.1"),
            ("HEALTH_PORT", "9000"),
            ("COMPARTMENT_ID_ATTACH", "7"),
        ]);
        assert_eq!(settings.address, "[fd00::5]:8080".parse().unwrap());
        assert_eq!(settings.health_address, "127.0.0.1:9000".parse().unwrap());
        assert_eq!(settings.compartment, Some(7));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value() {
        for (variable, value) in [
            ("BIND_ADDRESS", "localhost"),
            ("PORT", "80800"),
            ("HEALTH_PORT", "http"),
            ("COMPARTMENT_ID_ATTACH", "-1"),
            ("RESOURCE", "a/b"),
            ("INSTANCE", "a\r\nb"),
            ("STARTUP_TIME", "3"),
            ("MAX_CONNECTIONS", "many"),
        ] {
            let error = with(&[], &[(variable, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{variable}=")), "{error}");
            assert!(error.contains("expected"), "{error}");
        }
    }

    #[test]
    fn batch_jobs_end_with_the_code_they_are_told() {
        let batch = |after, code| Command::Batch {
            after: Duration::from_millis(after),
            code,
        };
        assert_eq!(with(&["--exit-after", "2s"], &[]), Ok(batch(2000, 0)));
        let arguments = ["--exit-after", "250ms", "--exit-code", "3"];
        assert_eq!(with(&arguments, &[]), Ok(batch(250, 3)));
        for wrong in [
            &["--exit-after"][..],
            &["--exit-code", "3"],
            &["--exit-after", "2"],
            &["--exit-after", "99999999999s"],
            &["--port"],
        ] {
            assert!(with(wrong, &[]).is_err(), "{wrong:?}");
        }
    }
}
