//! The command line, in Tempo's style: one dash or two, `-flag=value` or `-flag value`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Parser};

use crate::telemetry;

use super::Target;

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "vivace", bin_name = "vivace", version = telemetry::version_and_revision(), disable_version_flag = true,
    about = "A trace database: OTLP in, Parquet blocks in object storage, TraceQL out over Grafana Tempo's API")]
#[command(after_help = "Flags may have one dash or two, and a value after a space or `=`.\n\n\
    Tools for operators, which only read: vivace blocks list | view | check (see `vivace blocks --help`).")]
pub struct Flags {
    /// The config; without it every key has its default
    #[arg(long = "config.file", value_name = "PATH")]
    pub config_file: Option<PathBuf>,
    /// Fill in `${NAME}` and `${NAME:-default}` in the config from the environment
    #[arg(long = "config.expand-env", value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    pub config_expand_env: bool,
    /// Check the config, print what is wrong with it, and exit with 0 or 1
    #[arg(long = "config.verify", value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    pub config_verify: bool,
    /// Which parts run; rules over the config [allowed: all]
    #[arg(long, value_parser = target)]
    pub target: Option<Target>,
    /// Print the version and exit
    #[arg(long, action = ArgAction::Version)]
    version: Option<bool>,
}

impl Flags {
    /// Reads the arguments; the first is the program's name.
    ///
    /// # Errors
    /// An unknown flag or a wrong value; also `-help` and `-version`, whose "error" is the text to print. It says itself
    /// with which code to exit and to which stream it goes.
    pub fn parse_from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(args.into_iter().map(two_dashes))
    }
}

/// `-config.file` is `--config.file`; `-h` and `-` stay.
pub(crate) fn two_dashes(arg: OsString) -> OsString {
    let one_dash = arg.to_str().is_some_and(|text| {
        let mut letters = text.chars();
        letters.next() == Some('-')
            && letters.next().is_some_and(|c| c.is_ascii_alphabetic())
            && letters.next().is_some()
    });
    if !one_dash {
        return arg;
    }
    let mut longer = OsString::from("-");
    longer.push(arg);
    longer
}

fn target(name: &str) -> Result<Target, String> {
    match name {
        "all" => Ok(Target::All),
        _ => Err("every part runs in every process; leave it out or say `all`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, clap::Error> {
        let args = std::iter::once("vivace").chain(line.split_whitespace());
        Flags::parse_from_args(args.map(OsString::from))
    }

    #[test]
    fn flags_are_written_as_tempos() {
        for line in [
            "-config.file=a.yaml -config.expand-env -target=all",
            "-config.file a.yaml -config.expand-env=true -target all",
            "--config.file=a.yaml --config.expand-env=true --target=all",
            "--config.expand-env --config.file a.yaml --target all",
        ] {
            let flags = parse(line).unwrap();
            assert_eq!(flags.config_file, Some(PathBuf::from("a.yaml")), "{line}");
            assert!(flags.config_expand_env && !flags.config_verify, "{line}");
            assert_eq!(flags.target, Some(Target::All), "{line}");
        }
        let flags = parse("").unwrap();
        assert_eq!((flags.config_file, flags.config_expand_env, flags.target), (None, false, None));
        assert!(!parse("-config.verify=false").unwrap().config_verify);
        assert!(parse("-config.verify").unwrap().config_verify);
    }

    #[test]
    fn help_and_version_are_texts_with_exit_code_0() {
        for line in ["-help", "--help", "-h"] {
            let text = parse(line).unwrap_err();
            assert_eq!((text.exit_code(), text.use_stderr()), (0, false), "{line}");
            assert!(text.to_string().contains("config.expand-env"), "{text}");
        }
        let text = parse("-version").unwrap_err();
        assert_eq!(text.exit_code(), 0);
        let version = format!("vivace {}", env!("CARGO_PKG_VERSION"));
        assert!(text.to_string().starts_with(&version), "{text}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, part) in [
            ("-target=querier", "every part runs in every process"),
            ("-config.fil=a", "-config.fil"),
            ("-config.expand-env=maybe", "maybe"),
            ("stray", "stray"),
        ] {
            let error = parse(line).unwrap_err();
            assert_ne!(error.exit_code(), 0, "{line}");
            assert!(error.to_string().contains(part), "{line}: {error}");
        }
    }
}
