//! The command line of the tools. Flags may have one dash or two, as those of the server.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};
use uuid::Uuid;

use crate::config::flags::two_dashes;
use crate::telemetry;
use crate::tenant::TenantId;

/// The first word of a command line that is for a tool, and not for the server.
const TOOLS: [&str; 1] = ["blocks"];

/// What a tool is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "vivace", bin_name = "vivace", version = telemetry::version_and_revision(), disable_help_subcommand = true,
    about = "Tools for operators. They read the bucket that the config names, and write nothing")]
pub struct Tool {
    #[command(subcommand)]
    pub(super) command: Command,
    /// The server's config, of which `storage.trace` is read; without it every key has its default
    #[arg(long = "config.file", value_name = "PATH", global = true)]
    pub(super) config_file: Option<PathBuf>,
    /// Fill in `${NAME}` and `${NAME:-default}` in the config from the environment
    #[arg(long = "config.expand-env", value_name = "BOOL", num_args = 0..=1, require_equals = true, global = true)]
    #[arg(default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    pub(super) config_expand_env: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(super) enum Command {
    /// What is in the bucket
    #[command(subcommand)]
    Blocks(Blocks),
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(super) enum Blocks {
    /// The blocks of all tenants or of one, oldest first
    List {
        #[arg(long, value_parser = tenant)]
        tenant: Option<TenantId>,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// One block: its objects, the sections of its index, units, keys, services
    View {
        #[arg(value_parser = tenant)]
        tenant: TenantId,
        block: Uuid,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Reads everything and says what is wrong and where; exit code 1 if anything is
    Check {
        #[arg(long, value_parser = tenant)]
        tenant: Option<TenantId>,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
}

impl Tool {
    /// Reads the arguments, of which the first is the program's name; `None` if they are for the server.
    ///
    /// # Errors
    /// A wrong command line, or a text that was asked for: it says itself with which code to exit.
    pub fn parse(args: &[OsString]) -> Option<Result<Self, clap::Error>> {
        let first = args.get(1)?.to_str()?;
        let two_dashed = || args.iter().cloned().map(two_dashes);
        TOOLS.contains(&first).then(|| Self::try_parse_from(two_dashed()))
    }
}

fn tenant(name: &str) -> Result<TenantId, String> {
    TenantId::parse(name).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Result<Tool, clap::Error>> {
        let args: Vec<OsString> =
            std::iter::once("vivace").chain(line.split_whitespace()).map(OsString::from).collect();
        Tool::parse(&args)
    }

    #[test]
    fn what_is_not_for_a_tool_is_for_the_server() {
        for line in ["", "-config.file=a.yaml", "-config.file blocks", "-help"] {
            assert!(parse(line).is_none(), "{line}");
        }
    }

    #[test]
    fn flags_stand_anywhere_and_have_one_dash_or_two() {
        for line in [
            "blocks check --config.file=a.yaml --tenant=acme",
            "blocks check -tenant acme -config.file a.yaml",
            "blocks -config.file=a.yaml check -tenant=acme",
        ] {
            let tool = parse(line).unwrap().unwrap();
            assert_eq!(tool.config_file, Some(PathBuf::from("a.yaml")), "{line}");
            let tenant = Some(TenantId::parse("acme").unwrap());
            let wanted = Command::Blocks(Blocks::Check { tenant, json: false });
            assert_eq!(tool.command, wanted, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, part) in [
            ("blocks", "check"),
            ("blocks delete", "delete"),
            ("blocks view acme", "<BLOCK>"),
            ("blocks view acme 12", "12"),
            ("blocks list --tenant=a/b", "a/b"),
        ] {
            let error = parse(line).unwrap().unwrap_err();
            assert_ne!(error.exit_code(), 0, "{line}");
            assert!(error.to_string().contains(part), "{line}: {error}");
        }
    }
}
