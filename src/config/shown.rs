//! The configuration as a text for people: what holds, with secrets masked.

use super::expand::Variables;
use super::problem::Problem;
use super::tree::{Entry, Kind, Node, parse};

/// Every key with its default.
const DEFAULTS: &str = include_str!("../../tempo.yaml");

/// Keys with values that nobody may see.
const SECRETS: [&str; 5] =
    ["secret_key", "session_token", "encryption_key", "storage_account_key", "access_key"];

const MASK: &str = "********";

/// The configuration in three forms, each YAML that begins with `---`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// All that holds.
    pub all: String,
    /// What the file says that is not the default.
    pub changed: String,
    /// What holds without a file.
    pub defaults: String,
}

impl Shown {
    /// Without a file.
    pub(super) fn of_defaults() -> Self {
        Self::of("", None).unwrap_or_else(|problem| unreachable!("our own file: {problem}"))
    }

    /// Of the text of a file.
    ///
    /// # Errors
    /// As reading it for use.
    pub(super) fn of(text: &str, variables: Option<Variables<'_>>) -> Result<Self, Problem> {
        let mut unused = Vec::new();
        let defaults = parse(DEFAULTS, None, &mut unused)?;
        let mine = parse(text, variables, &mut unused)?;
        let changed = difference(&mine, &defaults);
        Ok(Self {
            all: yaml(&merged(&defaults, &mine)),
            changed: changed.as_ref().map_or_else(|| "---\n{}\n".to_owned(), yaml),
            defaults: yaml(&defaults),
        })
    }
}

fn entries(node: &Node) -> Option<&[Entry]> {
    match &node.kind {
        Kind::Map(entries) => Some(entries),
        _ => None,
    }
}

fn find<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Node> {
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
}

/// `over` where it says something, else `under`. Receivers that are listed stand for themselves.
fn merged(under: &Node, over: &Node) -> Node {
    // A key without a value is as good as not there.
    if over.kind == Kind::Null {
        return under.clone();
    }
    let (Some(lower), Some(upper)) = (entries(under), entries(over)) else { return over.clone() };
    let mut all: Vec<Entry> = lower.to_vec();
    for entry in upper {
        match all.iter_mut().find(|known| known.key == entry.key) {
            Some(known) if entry.key == "receivers" => known.node = entry.node.clone(),
            Some(known) => known.node = merged(&known.node, &entry.node),
            None => all.push(entry.clone()),
        }
    }
    Node { place: under.place, kind: Kind::Map(all) }
}

/// What `mine` says that `defaults` does not; none if that is nothing.
fn difference(mine: &Node, defaults: &Node) -> Option<Node> {
    let (Some(upper), Some(lower)) = (entries(mine), entries(defaults)) else {
        return (!is_same(mine, defaults)).then(|| mine.clone());
    };
    let differing = upper.iter().filter_map(|entry| {
        let node = match find(lower, &entry.key) {
            Some(default) => difference(&entry.node, default)?,
            None => entry.node.clone(),
        };
        Some(Entry { node, ..entry.clone() })
    });
    let differing: Vec<Entry> = differing.collect();
    (!differing.is_empty()).then_some(Node { place: mine.place, kind: Kind::Map(differing) })
}

fn is_same(one: &Node, other: &Node) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Null, _) => true,
        (Kind::Text { text: one, .. }, Kind::Text { text: other, .. }) => one == other,
        (Kind::List(one), Kind::List(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Kind::Map(one), Kind::Map(other)) => {
            let same = |entry: &Entry| {
                find(other, &entry.key).is_some_and(|node| is_same(&entry.node, node))
            };
            one.len() == other.len() && one.iter().all(same)
        }
        _ => false,
    }
}

fn yaml(node: &Node) -> String {
    let mut out = "---\n".to_owned();
    write(node, 0, &mut out);
    out
}

fn write(node: &Node, depth: usize, out: &mut String) {
    let indent = "    ".repeat(depth);
    match &node.kind {
        Kind::Map(entries) => {
            for Entry { key, node, .. } in entries {
                out.push_str(&indent);
                out.push_str(&scalar(key));
                out.push(':');
                let is_secret = SECRETS.contains(&key.as_str());
                match &node.kind {
                    Kind::Text { text, .. } if is_secret && !text.is_empty() => {
                        out.push(' ');
                        out.push_str(MASK);
                        out.push('\n');
                    }
                    _ => write_value(node, depth, out),
                }
            }
        }
        Kind::List(nodes) => {
            for node in nodes {
                out.push_str(&indent);
                out.push('-');
                write_value(node, depth, out);
            }
        }
        Kind::Null | Kind::Text { .. } => write_value(node, depth, out),
    }
}

/// Behind a key or a dash.
fn write_value(node: &Node, depth: usize, out: &mut String) {
    match &node.kind {
        Kind::Null => out.push_str(" null\n"),
        Kind::Text { text, .. } => {
            out.push(' ');
            out.push_str(&scalar(text));
            out.push('\n');
        }
        Kind::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Kind::List(nodes) if nodes.is_empty() => out.push_str(" []\n"),
        Kind::Map(_) | Kind::List(_) => {
            out.push('\n');
            write(node, depth + 1, out);
        }
    }
}

/// As it is spelled, or in quotes where YAML would read something else.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_/.".contains(c));
    if begins_well && text.chars().all(is_plain) {
        return text.to_owned();
    }
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_shown_and_secrets_are_not() {
        let text = "server: {http_listen_port: 1, log_level: info}\n\
                    storage: {trace: {s3: {secret_key: hush, access_key: mine}}}\n\
                    overrides:\n";
        let shown = Shown::of(text, None).unwrap();
        let expected = "---\nserver:\n    http_listen_port: 1\nstorage:\n    trace:\n        s3:\n            \
                        secret_key: ********\n            access_key: ********\n";
        assert_eq!(shown.changed, expected);
        assert!(!shown.all.contains("hush") && !shown.all.contains("mine"));
        for part in ["http_listen_port: 1\n", "grpc_listen_port: 9095\n", "log_level: info\n"] {
            assert!(shown.all.contains(part), "{part}: {}", shown.all);
        }
        assert!(shown.defaults.contains("http_listen_port: 3200\n"));
        assert_eq!(Shown::of("", None).unwrap().changed, "---\n{}\n");
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let text = "storage: {trace: {local: {path: 'a: #b'}, s3: {bucket: '- x'}}}";
        let shown = Shown::of(text, None).unwrap();
        let (config, _) = super::super::Config::from_text(&shown.all, None).unwrap();
        assert_eq!(config.storage.trace.s3.bucket, "- x");
        assert_eq!(config.storage.trace.local.path.to_str(), Some("a: #b"));
    }
}
