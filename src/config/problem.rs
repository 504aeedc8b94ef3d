//! What can be wrong with a config, said so that it can be mended: the key, the place, what was found, what is allowed.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A place in the file, both counted from 1. Line 0: not from a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u64,
    /// In characters.
    pub column: u64,
}

/// Something that the operator should know; the process starts all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The whole key, with dots: `ingester.lifecycler`.
    pub key: String,
    pub place: Place,
    pub reason: String,
}

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// All that was found wrong, one a line.
    #[error("{}", lines(.0))]
    Wrong(Vec<Problem>),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("unknown key `{key}`{place}{}", suggestion(nearest.as_deref()))]
    UnknownKey { key: String, place: Place, nearest: Option<String> },
    #[error("duplicate key `{key}`{place}")]
    DuplicateKey { key: String, place: Place },
    #[error("`{key}`{place}: {reason}")]
    Refused { key: String, place: Place, reason: String },
    #[error("`{key}`{place}: found {found}, allowed is {allowed}")]
    Value { key: String, place: Place, found: String, allowed: String },
    #[error("the variable `{name}` in `{key}`{place} {reason}")]
    Variable { key: String, place: Place, name: String, reason: String },
    #[error("not YAML{place}: {message}")]
    Syntax { place: Place, message: String },
    /// Each value is good, together they are not.
    #[error("`{key}`: {message}")]
    Check { key: String, message: String },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column } = self;
        if *line == 0 { Ok(()) } else { write!(f, " at line {line}, column {column}") }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, place, reason } = self;
        write!(f, "`{key}`{place}: {reason}")
    }
}

impl Problem {
    pub(super) fn check(key: &str, message: impl fmt::Display) -> Self {
        Self::Check { key: key.to_owned(), message: message.to_string() }
    }

    /// Where it is, if it is in the file.
    pub fn place(&self) -> Place {
        match self {
            Self::UnknownKey { place, .. }
            | Self::DuplicateKey { place, .. }
            | Self::Refused { place, .. }
            | Self::Value { place, .. }
            | Self::Variable { place, .. }
            | Self::Syntax { place, .. } => *place,
            Self::Check { .. } => Place::default(),
        }
    }

    /// Says where, unless that is known already.
    pub(super) fn placed(mut self, at: &str, here: Place) -> Self {
        if let Self::Value { key, place, .. } | Self::Refused { key, place, .. } = &mut self
            && place.line == 0
        {
            at.clone_into(key);
            *place = here;
        }
        self
    }
}

/// What serde and hand-written `Deserialize`s report; the reader adds key and place.
impl serde::de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let reason = message.to_string();
        Self::Refused { key: String::new(), place: Place::default(), reason }
    }

    fn invalid_type(found: serde::de::Unexpected<'_>, allowed: &dyn serde::de::Expected) -> Self {
        value(found.to_string(), allowed.to_string())
    }

    fn invalid_value(found: serde::de::Unexpected<'_>, allowed: &dyn serde::de::Expected) -> Self {
        value(found.to_string(), allowed.to_string())
    }

    fn unknown_variant(found: &str, allowed: &'static [&'static str]) -> Self {
        value(format!("`{found}`"), one_of(allowed))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("`{field}` is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom(format_args!("`{field}` is given twice, the second time by another name"))
    }
}

fn value(found: String, allowed: String) -> Problem {
    Problem::Value { key: String::new(), place: Place::default(), found, allowed }
}

/// "`a`", "`a` or `b`", "one of `a`, `b`, `c`".
pub(super) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] | [_] => quoted.concat(),
        [one, other] => format!("{one} or {other}"),
        _ => format!("one of {}", quoted.join(", ")),
    }
}

/// The name that was probably meant: at most a third of the letters are different.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = (name.chars().count() / 3).max(1);
    let (distance, known) =
        known.into_iter().map(|known| (distance(name, known), known)).min_by_key(|(d, _)| *d)?;
    (distance <= far).then_some(known)
}

/// Letters to add, drop, change, or swap with a neighbour to make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let known = ["http_listen_port", "grpc_listen_port", "log_level"];
        for (wrong, meant) in [
            ("htp_listen_port", Some("http_listen_port")),
            ("http_listen_prot", Some("http_listen_port")),
            ("loglevel", Some("log_level")),
            ("colour", None),
        ] {
            assert_eq!(nearest(wrong, known), meant, "{wrong}");
        }
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn swapped_neighbours_are_one_mistake() {
        for (a, b, d) in [("ab", "ba", 1), ("", "abc", 3), ("abc", "abc", 0), ("wal", "wall", 1)] {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }
}
