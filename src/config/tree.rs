//! YAML text as a tree that knows where each part stands in the file.
//!
//! Scalars are kept as they are spelled. What a spelling means is decided by the type that reads it, so `secret_key:
//! 0012` stays `0012`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::expand::{Variables, expand};
use super::problem::{Place, Problem, Warning};

/// Levels of nesting; the deepest key of Tempo is at nine.
const DEPTH_MAX: usize = 24;

/// Parts that anchors may stand for, all together: a bomb of anchors in anchors ends here.
const REPLAYED_MAX: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Text { text: String, from_environment: bool },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Node {
    /// Nothing, empty, no, 0: what a key has when its feature is not used.
    pub(super) fn is_off(&self) -> bool {
        match &self.kind {
            Kind::Null => true,
            Kind::Text { text, .. } => matches!(text.as_str(), "" | "false" | "0" | "0s"),
            Kind::List(nodes) => nodes.is_empty(),
            Kind::Map(entries) => entries.iter().all(|entry| entry.node.is_off()),
        }
    }
}

/// Reads the text; fills in `${…}` when `variables` are given, and warns about them when not.
///
/// # Errors
/// Text that is not YAML, a duplicate key, a variable that is not set.
pub(super) fn parse(
    source: &str,
    variables: Option<Variables<'_>>,
    warnings: &mut Vec<Warning>,
) -> Result<Node, Problem> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPLAYED_MAX },
        // Spellings are looked up in the source: what a number would be does not matter.
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
    };
    let raw = serde_saphyr::from_str_with_options::<Option<Spanned<Raw>>>(source, options)
        .map_err(|error| not_yaml(&error))?;
    let mut shaping = Shaping { source, variables, warnings };
    raw.map_or_else(
        || Ok(Node { place: Place::default(), kind: Kind::Null }),
        |raw| shaping.node(raw, ""),
    )
}

fn not_yaml(error: &serde_saphyr::Error) -> Problem {
    let error = error.without_snippet();
    let place = error.location().map(place).unwrap_or_default();
    match error {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            Problem::DuplicateKey { key: key.clone(), place }
        }
        error => {
            let message = error.to_string();
            let message = message.lines().next().unwrap_or_default();
            let message = message.split(" at line ").next().unwrap_or_default();
            Problem::Syntax { place, message: message.to_owned() }
        }
    }
}

fn place(location: Location) -> Place {
    Place { line: location.line(), column: location.column() }
}

/// What the YAML library gives; plain scalars are looked up in the source afterwards.
enum Raw {
    Null,
    Text(String),
    /// The library's reading of it, for where the source cannot be had.
    Plain(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Raw::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// From what the library gives to a tree with whole spellings.
struct Shaping<'a> {
    source: &'a str,
    variables: Option<Variables<'a>>,
    warnings: &'a mut Vec<Warning>,
}

impl Shaping<'_> {
    fn node(&mut self, raw: Spanned<Raw>, key: &str) -> Result<Node, Problem> {
        let here = place(raw.referenced);
        let kind = match raw.value {
            Raw::Null => Kind::Null,
            Raw::Plain(read) => {
                let text = self.spelled(raw.defined).map_or(read, ToOwned::to_owned);
                Kind::Text { text, from_environment: false }
            }
            Raw::Text(text) => self.text(text, key, here)?,
            Raw::List(nodes) => {
                let nodes = nodes.into_iter().map(|node| self.node(node, key));
                Kind::List(nodes.collect::<Result<_, _>>()?)
            }
            Raw::Map(entries) => {
                let mut map = Vec::with_capacity(entries.len());
                for (name, node) in entries {
                    let node = self.node(node, &name.value)?;
                    map.push(Entry { key: name.value, place: place(name.referenced), node });
                }
                Kind::Map(map)
            }
        };
        Ok(Node { place: here, kind })
    }

    fn spelled(&self, location: Location) -> Option<&str> {
        let start = usize::try_from(location.span().byte_offset()?).ok()?;
        let bytes = usize::try_from(location.span().byte_len()?).ok()?;
        let text = self.source.get(start..start.checked_add(bytes)?)?.trim();
        (!text.is_empty()).then_some(text)
    }

    fn text(&mut self, text: String, key: &str, place: Place) -> Result<Kind, Problem> {
        if !text.contains("${") {
            return Ok(Kind::Text { text, from_environment: false });
        }
        let Some(variables) = self.variables else {
            self.warnings.push(Warning {
                key: key.to_owned(),
                place,
                reason: "holds `${`, which is left as it is: start with `-config.expand-env` to \
                         have it filled in"
                    .to_owned(),
            });
            return Ok(Kind::Text { text, from_environment: false });
        };
        let text = expand(&text, variables, key, place)?;
        // As if the key had no value in the file.
        let nothing = text.is_empty();
        Ok(if nothing { Kind::Null } else { Kind::Text { text, from_environment: true } })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn read(source: &str) -> Node {
        parse(source, None, &mut Vec::new()).unwrap()
    }

    impl Node {
        fn get(&self, key: &str) -> Option<&Node> {
            let Kind::Map(entries) = &self.kind else { return None };
            entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
        }
    }

    fn text<'a>(node: &'a Node, key: &str) -> &'a str {
        match &node.get(key).unwrap().kind {
            Kind::Text { text, .. } => text,
            other => panic!("{key}: {other:?}"),
        }
    }

    #[test]
    fn scalars_keep_their_spelling() {
        let source = "a: 0012\nb: 12e45678\nc: 'x: y'\nd: 1_000\ne: yes\nf: True\ng: 0x10\nh: ü\ni: 007 # c\n";
        let node = read(source);
        for (key, spelled) in [
            ("a", "0012"),
            ("b", "12e45678"),
            ("c", "x: y"),
            ("d", "1_000"),
            ("e", "yes"),
            ("f", "True"),
            ("g", "0x10"),
            ("h", "ü"),
            ("i", "007"),
        ] {
            assert_eq!(text(&node, key), spelled);
        }
    }

    #[test]
    fn every_node_knows_its_place() {
        let node = read("a:\n  b:\n    - 1\n    - {c: 2}\n");
        let list = node.get("a").unwrap().get("b").unwrap();
        let Kind::List(nodes) = &list.kind else { panic!("{list:?}") };
        assert_eq!(nodes[0].place, Place { line: 3, column: 7 });
        assert_eq!(nodes[1].get("c").unwrap().place, Place { line: 4, column: 11 });
    }

    #[test]
    fn nothing_is_null_and_anchors_are_followed() {
        for empty in ["", "# only words\n", "---\n", "~"] {
            assert_eq!(read(empty).kind, Kind::Null, "{empty:?}");
        }
        let node = read("a: &x {b: 0012}\nc: *x\nd: {<<: *x, e: 1}\n");
        assert_eq!(text(node.get("c").unwrap(), "b"), "0012");
        assert_eq!(text(node.get("d").unwrap(), "b"), "0012");
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let lower = format!("*a{}, ", level - 1).repeat(10);
            writeln!(bomb, "a{level}: &a{level} [{lower}]").unwrap();
        }
        assert!(parse(&bomb, None, &mut Vec::new()).is_err());
        let mut chain = "a0: &a0 x\n".to_owned();
        for level in 1..200 {
            writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
        }
        assert!(parse(&chain, None, &mut Vec::new()).is_err());
        let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
        assert!(parse(&deep, None, &mut Vec::new()).is_err());
    }
}
