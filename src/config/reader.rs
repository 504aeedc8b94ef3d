//! From the tree to the rooms' own types, by serde.
//!
//! Why not straight from the YAML library: a key that only Tempo needs has to become a warning, a wrong one an error with
//! the nearest name, a `Duration` and a number of bytes a text with a unit in every room without annotations, a key
//! without a value its default, and a secret must not show.

use std::cell::RefCell;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::problem::{Problem, Warning, nearest, one_of};
use super::tempo::{self, Verdict};
use super::tree::{Entry, Kind, Node};

/// Structs of these names take a key without a value as "on, with its defaults", as a Collector does. In all others such
/// a key is as good as not there.
const NULL_IS_ON: [&str; 2] = ["Receivers", "Protocols"];

/// Second names of keys: nothing is absent where they are.
const SECOND_NAMES: [&str; 1] = ["backend_worker"];

/// What is learned on the way, beside the values.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) warnings: Vec<Warning>,
    pub(super) problems: Vec<Problem>,
    /// Keys that Vivace has and the file has not.
    pub(super) absent: Vec<String>,
}

/// One node on its way into a type.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    node: &'a Node,
    notes: &'a RefCell<Notes>,
    /// The whole key, with dots.
    path: String,
    null_is_on: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(root: &'a Node, notes: &'a RefCell<Notes>) -> Self {
        Self { node: root, notes, path: String::new(), null_is_on: false }
    }

    /// Of a node that is read as if it were elsewhere: `path` is a whole key, with dots.
    pub(super) fn below_path(node: &'a Node, notes: &'a RefCell<Notes>, path: &str) -> Self {
        Self { node, notes, path: path.to_owned(), null_is_on: false }
    }

    fn key(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    fn below(&self, key: &str, node: &'a Node) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        let path = format!("{}{dot}{key}", self.path);
        Self { node, notes: self.notes, path, null_is_on: false }
    }

    fn read<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, Problem> {
        let placed = self.clone();
        placed.placed(seed.deserialize(self))
    }

    fn wrong(&self, allowed: impl Display) -> Problem {
        Problem::Value {
            key: self.key().to_owned(),
            place: self.node.place,
            found: self.found(),
            allowed: allowed.to_string(),
        }
    }

    fn found(&self) -> String {
        match &self.node.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
            Kind::Text { .. } if self.is_secret() => "a value that is not shown".to_owned(),
            Kind::Text { text, .. } => format!("`{text}`"),
        }
    }

    fn is_secret(&self) -> bool {
        let from_environment = matches!(self.node.kind, Kind::Text { from_environment: true, .. });
        from_environment || is_secret(self.key())
    }

    /// The scalar's spelling.
    fn text(&self, allowed: &str) -> Result<&'a str, Problem> {
        match &self.node.kind {
            Kind::Text { text, .. } => Ok(text),
            _ => Err(self.wrong(allowed)),
        }
    }

    /// A number; with a unit where the key says that it is bytes.
    fn number<T: FromStr + TryFrom<u64>>(&self, allowed: &str) -> Result<T, Problem> {
        let text = self.text(allowed)?;
        if let Some(number) = text.parse().ok().or_else(|| whole(text)?.parse().ok()) {
            return Ok(number);
        }
        if self.key().split('_').any(|word| word == "bytes") {
            let allowed = "bytes as a whole number or with a unit, as in `64MiB`";
            let size: ByteSize = text.parse().map_err(|_| self.wrong(allowed))?;
            return T::try_from(size.0).map_err(|_| self.wrong(allowed));
        }
        Err(self.wrong(allowed))
    }

    fn duration(&self) -> Result<Duration, Problem> {
        let allowed = "a time with its unit, as in `30s`, `1h30m` or `7d`";
        humantime::parse_duration(self.text(allowed)?).map_err(|_| self.wrong(allowed))
    }

    /// Gives what the type says a place, and hides what must not be seen.
    fn placed<T>(&self, result: Result<T, Problem>) -> Result<T, Problem> {
        result.map_err(|problem| match problem {
            Problem::Value { place, allowed, .. } if place.line == 0 => self.wrong(allowed),
            Problem::Refused { place, .. } if place.line == 0 && self.is_secret() => {
                self.wrong("another value")
            }
            problem => problem.placed(self.key(), self.node.place),
        })
    }

    /// Keeps the entries that the struct has; the others become warnings and problems.
    fn sort_out(&self, entries: &'a [Entry], fields: &[&str]) -> Vec<&'a Entry> {
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            if fields.contains(&entry.key.as_str()) {
                kept.push(entry);
            } else {
                self.stray(entry, fields);
            }
        }
        let absent = |field: &&&str| {
            !SECOND_NAMES.contains(field) && !entries.iter().any(|entry| entry.key == ***field)
        };
        let absent = fields.iter().filter(absent).map(|field| self.below(field, self.node).path);
        self.notes.borrow_mut().absent.extend(absent);
        kept
    }

    fn stray(&self, entry: &Entry, fields: &[&str]) {
        let mut notes = self.notes.borrow_mut();
        let Entry { key, place, node } = entry;
        let (key, place) = (key.clone(), *place);
        let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
        match tempo::verdict(&path) {
            Some(Verdict::NotNeeded(reason)) => {
                notes.warnings.push(Warning { key: path, place, reason: reason.to_owned() });
            }
            Some(Verdict::Missing(reason)) if node.is_off() => {
                let reason = format!("{reason}; it is off here too");
                notes.warnings.push(Warning { key: path, place, reason });
            }
            Some(Verdict::Missing(reason)) => {
                notes.problems.push(Problem::Refused {
                    key: path,
                    place,
                    reason: reason.to_owned(),
                });
            }
            None => {
                let nearest = nearest(&key, fields.iter().copied()).map(ToOwned::to_owned);
                notes.problems.push(Problem::UnknownKey { key, place, nearest });
            }
        }
    }
}

/// Whether a key's value is kept out of errors and dumps.
pub(super) fn is_secret(key: &str) -> bool {
    ["secret", "password", "token", "access_key", "account_key", "encryption_key"]
        .iter()
        .any(|word| key.contains(word))
}

macro_rules! numbers {
    ($($deserialize:ident $visit:ident $number:ty, $allowed:literal;)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            let number = self.number::<$number>($allowed)?;
            visitor.$visit(number)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::List(_) => self.deserialize_seq(visitor),
            Kind::Map(_) => self.deserialize_map(visitor),
            Kind::Text { text, .. } => {
                if let Ok(number) = text.parse::<u64>() {
                    visitor.visit_u64(number)
                } else if let Ok(number) = text.parse::<i64>() {
                    visitor.visit_i64(number)
                } else if let Some(switch) = switch(text) {
                    visitor.visit_bool(switch)
                } else {
                    visitor.visit_borrowed_str(text)
                }
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let allowed = "`true` or `false`";
        let switch = switch(self.text(allowed)?).ok_or_else(|| self.wrong(allowed))?;
        visitor.visit_bool(switch)
    }

    numbers! {
        deserialize_u8 visit_u8 u8, "a whole number from 0 to 255";
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number from 0 to 4294967295";
        deserialize_u64 visit_u64 u64, "a whole number, not negative";
        deserialize_i8 visit_i8 i8, "a whole number from -128 to 127";
        deserialize_i16 visit_i16 i16, "a whole number from -32768 to 32767";
        deserialize_i32 visit_i32 i32, "a whole number of at most 32 bits";
        deserialize_i64 visit_i64 i64, "a whole number of at most 64 bits";
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let allowed = "a number";
        let number: f64 = self.text(allowed)?.parse().map_err(|_| self.wrong(allowed))?;
        let finite = Some(number).filter(|number| number.is_finite());
        visitor.visit_f64(finite.ok_or_else(|| self.wrong(allowed))?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let text = self.text("a text")?;
        visitor.visit_borrowed_str(text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let none = self.node.kind == Kind::Null && !self.null_is_on;
        if none { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let nodes: &[Node] = match &self.node.kind {
            Kind::List(nodes) => nodes,
            Kind::Null => &[],
            _ => return Err(self.wrong("a list")),
        };
        visitor.visit_seq(List { reader: &self, nodes: nodes.iter() })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let entries: Vec<&Entry> = match &self.node.kind {
            Kind::Map(entries) => entries.iter().collect(),
            Kind::Null => Vec::new(),
            _ => return Err(self.wrong("a map")),
        };
        visitor.visit_map(Map {
            reader: &self,
            entries: entries.into_iter(),
            value: None,
            null_is_on: false,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        if name == "Duration" && fields == ["secs", "nanos"] {
            let duration = self.duration()?;
            let parts = [("secs", duration.as_secs()), ("nanos", duration.subsec_nanos().into())];
            return visitor.visit_map(MapDeserializer::new(parts.into_iter()));
        }
        let entries: &[Entry] = match &self.node.kind {
            Kind::Map(entries) => entries,
            Kind::Null => &[],
            _ => return Err(self.wrong(format_args!("a map with {}", one_of(fields)))),
        };
        let mut kept = self.sort_out(entries, fields);
        let null_is_on = NULL_IS_ON.contains(&name);
        if !null_is_on {
            kept.retain(|entry| entry.node.kind != Kind::Null);
        }
        visitor.visit_map(Map { reader: &self, entries: kept.into_iter(), value: None, null_is_on })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let text: StrDeserializer<'de, Problem> = self.text(&one_of(variants))?.into_deserializer();
        visitor.visit_enum(text)
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// `1.5e+07` in digits: charts print large whole numbers so.
fn whole(text: &str) -> Option<String> {
    /// Above it not every whole number is a `f64`.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let number: f64 = text.parse().ok()?;
    let exact = number.fract() == 0.0 && number.abs() <= EXACT_MAX;
    exact.then(|| format!("{number:.0}"))
}

/// YAML 1.1's words too: Tempo's reader takes them.
fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

struct List<'r, 'de> {
    reader: &'r Reader<'de>,
    nodes: std::slice::Iter<'de, Node>,
}

impl<'de> SeqAccess<'de> for List<'_, 'de> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Problem> {
        let Some(node) = self.nodes.next() else { return Ok(None) };
        let Reader { notes, path, .. } = self.reader;
        Reader { node, notes, path: path.clone(), null_is_on: false }.read(seed).map(Some)
    }
}

struct Map<'r, 'de> {
    reader: &'r Reader<'de>,
    entries: std::vec::IntoIter<&'de Entry>,
    value: Option<&'de Entry>,
    null_is_on: bool,
}

impl<'de> MapAccess<'de> for Map<'_, 'de> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Problem> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'_, Problem> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let entry = self.value.take().expect("serde asks for a key first");
        let below = self.reader.below(&entry.key, &entry.node);
        Reader { null_is_on: self.null_is_on, ..below }.read(seed)
    }
}
