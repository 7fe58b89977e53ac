//! The cluster's policy: every policy key is a flag, read by the parser of the annotations.

use clap::{Arg, ArgMatches, Command, error::ErrorKind};

use crate::policy::{KEYS, Policy};

/// One flag for each policy key. Flatten it into a subcommand's arguments.
#[derive(Clone, Debug)]
pub struct PolicyArgs {
    // Boxed: a subcommand's arguments are moved about by value.
    policy: Box<Policy>,
}

impl PolicyArgs {
    /// The built-in policy with what the flags say; what a Namespace without annotations has.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The same, to keep.
    pub fn into_policy(self) -> Policy {
        *self.policy
    }
}

impl clap::Args for PolicyArgs {
    fn augment_args(command: Command) -> Command {
        let builtin = Policy::builtin();
        KEYS.iter().fold(command, |command, key| {
            let default = key.show(&builtin).unwrap_or_else(|| key.unset.to_owned());
            let help = format!("{} Takes {}. [default: {default}]", key.doc, key.expected);
            command.arg(
                Arg::new(key.name)
                    .long(key.flag())
                    .value_name("VALUE")
                    .help(help.replace('`', ""))
                    .help_heading("Policy defaults")
                    .hide_short_help(true),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for PolicyArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let pairs = KEYS.iter().filter_map(|key| {
            let value = matches.get_one::<String>(key.name)?;
            Some((key.name, value.as_str()))
        });
        let policy = Policy::builtin().with_flags(pairs).map_err(|errors| {
            let lines = errors.to_string().replace('\n', "\nerror: ");
            clap::Error::raw(ErrorKind::ValueValidation, format!("{lines}\n"))
        })?;
        Ok(Self {
            policy: Box::new(policy),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
