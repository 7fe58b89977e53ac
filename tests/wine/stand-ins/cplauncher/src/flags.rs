//! Flags, as Go's package `flag` parses them.

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Flags {
    pub compartment: u32,
    pub dll: String,
    pub export: String,
    pub self_env: bool,
    pub no_inject: bool,
    pub env_name: String,
    pub label: String,
    pub namespace: String,
    pub label_timeout: String,
    pub dry_run: bool,
    pub verbosity: String,
    pub wait_tree: bool,
    pub version: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            compartment: 0,
            dll: String::new(),
            export: "SetTargetCompartmentId".into(),
            self_env: false,
            no_inject: false,
            env_name: "COMPARTMENT_ID".into(),
            label: String::new(),
            namespace: String::new(),
            label_timeout: "20s".into(),
            dry_run: false,
            verbosity: "info".into(),
            wait_tree: false,
            version: false,
        }
    }
}

/// Why nothing was parsed.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    Help,
    Bad(String),
}

/// The names of verbosities; numbers do too.
pub const VERBOSITIES: [&str; 4] = ["debug", "info", "warn", "error"];

/// What is printed with a usage.
pub const DEFAULTS: &str = "  -compartment uint
  -dll string
  -dry-run
  -env-name string (default \"COMPARTMENT_ID\")
  -export string (default \"SetTargetCompartmentId\")
  -label string
  -label-timeout string (default \"20s\")
  -log-max-age string
  -logs-keep int (default 30)
  -namespace string
  -no-inject
  -self-env
  -v, -verbosity string (default \"info\")
  -version
  -wait-tree";

/// Parses what stands before the first word that is no flag, or `--`.
pub fn parse(arguments: &[String]) -> Result<Flags, Stop> {
    let mut flags = Flags::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(name) = argument.strip_prefix('-').filter(|name| !name.is_empty()) else {
            break;
        };
        let name = name.strip_prefix('-').unwrap_or(name);
        if name.is_empty() {
            break;
        }
        if name.starts_with(['-', '=']) {
            return Err(Stop::Bad(format!("bad flag syntax: {argument}")));
        }
        let (name, mut value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        let switch = matches!(
            name,
            "self-env" | "no-inject" | "dry-run" | "wait-tree" | "version"
        );
        if switch {
            let text = value.as_deref().unwrap_or("true");
            let on = boolean(text).ok_or_else(|| {
                Stop::Bad(format!(
                    "invalid boolean value {text:?} for -{name}: parse error"
                ))
            })?;
            match name {
                "self-env" => flags.self_env = on,
                "no-inject" => flags.no_inject = on,
                "dry-run" => flags.dry_run = on,
                "wait-tree" => flags.wait_tree = on,
                _ => flags.version = on,
            }
            continue;
        }
        let bad = |value: &str| {
            Stop::Bad(format!(
                "invalid value {value:?} for flag -{name}: parse error"
            ))
        };
        let mut take = || {
            let taken = value.take().or_else(|| arguments.next().cloned());
            taken.ok_or_else(|| Stop::Bad(format!("flag needs an argument: -{name}")))
        };
        match name {
            "compartment" => {
                let value = take()?;
                flags.compartment = value.parse().map_err(|_| bad(&value))?;
            }
            "dll" => flags.dll = take()?,
            "export" => flags.export = take()?,
            "env-name" => flags.env_name = take()?,
            "label" => flags.label = take()?,
            "namespace" => flags.namespace = take()?,
            "label-timeout" => flags.label_timeout = take()?,
            "v" | "verbosity" => flags.verbosity = take()?,
            // There are no log files.
            "log-max-age" => _ = take()?,
            "logs-keep" => {
                let value = take()?;
                value.parse::<i64>().map_err(|_| bad(&value))?;
            }
            "h" | "help" => return Err(Stop::Help),
            _ => return Err(Stop::Bad(format!("flag provided but not defined: -{name}"))),
        }
    }
    Ok(flags)
}

/// `strconv.ParseBool`.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
