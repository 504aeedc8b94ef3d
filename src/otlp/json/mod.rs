//! OTLP/JSON into OTLP protobuf.
//!
//! Lenient where senders differ: names in camelCase or as in the `.proto` file, 64-bit numbers as text or number, enums by
//! name or number, base64 of both alphabets, `null` for what is absent, unknown fields passed over. An id that is not hex
//! is written as its text, with a length that no id has, so that only its span is rejected and the reason shows it.

mod scalar;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::otlp::error::Error;
use crate::otlp::schema::{FieldDef, Kind, Message, REQUEST};
use crate::trace::wire::{close_message, open_message};

/// Tells an OTLP/JSON request in protobuf. Values that are the default may be left out.
///
/// # Errors
/// Names the path to what can't be read, what was found and what is expected. Nesting is bounded at 128 levels.
pub fn transcode(body: &[u8]) -> Result<Vec<u8>, Error> {
    let mut context = Context { out: Vec::with_capacity(body.len() / 2), path: Vec::new() };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = Content { message: &REQUEST, context: &mut context }
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    match read {
        Ok(()) => Ok(context.out),
        Err(error) => Err(Error::Json { path: context.shown(), message: error.to_string() }),
    }
}

/// What is written, and where in the body we are: after an error, where it was found.
struct Context {
    out: Vec<u8>,
    path: Vec<Step>,
}

enum Step {
    Field(&'static str),
    Index(usize),
}

impl Context {
    fn shown(&self) -> String {
        let mut shown = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if shown.is_empty() => shown.push_str(name),
                Step::Field(name) => shown.extend([".", name]),
                Step::Index(index) => shown.extend(["[", &index.to_string(), "]"]),
            }
        }
        if shown.is_empty() { "body".to_owned() } else { shown }
    }
}

/// The fields of a message, from a JSON object.
struct Content<'c> {
    message: &'static Message,
    context: &'c mut Context,
}

impl<'de> DeserializeSeed<'de> for Content<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Content<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as an object", self.message.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { message, context } = self;
        while let Some(field) = map.next_key_seed(Name(message))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            context.path.push(Step::Field(field.json));
            map.next_value_seed(Slot { field, message, context: &mut *context })?;
            context.path.pop();
        }
        Ok(())
    }
}

/// A field by its name; `None` if there is no such field.
struct Name(&'static Message);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static FieldDef>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static FieldDef>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name of a field of {}", self.0.name)
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.by_name(name))
    }
}

/// The value of a field: nothing, one, or a list of them.
struct Slot<'c> {
    field: &'static FieldDef,
    message: &'static Message,
    context: &'c mut Context,
}

impl<'de> DeserializeSeed<'de> for Slot<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Slot<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.repeated { f.write_str("an array") } else { f.write_str("a value") }
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { field, message, context } = self;
        if field.repeated {
            return deserializer.deserialize_seq(Items { field, context });
        }
        One { field, zero_is_written: message.oneof, context }.deserialize(deserializer)
    }
}

/// The elements of a repeated field.
struct Items<'c> {
    field: &'static FieldDef,
    context: &'c mut Context,
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { field, context } = self;
        let mut index = 0;
        context.path.push(Step::Index(index));
        while items.next_element_seed(Item { field, context: &mut *context })?.is_some() {
            index += 1;
            context.path.pop();
            context.path.push(Step::Index(index));
        }
        context.path.pop();
        Ok(())
    }
}

/// One element: `null` is an empty one, so that a list keeps its length.
struct Item<'c> {
    field: &'static FieldDef,
    context: &'c mut Context,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        // Only messages and texts are repeated: both are empty when their length is 0.
        let start = open_message(&mut self.context.out, self.field.number);
        close_message(&mut self.context.out, start);
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { field, context } = self;
        One { field, zero_is_written: true, context }.deserialize(deserializer)
    }
}

/// One value of a field, not `null`.
struct One<'c> {
    field: &'static FieldDef,
    zero_is_written: bool,
    context: &'c mut Context,
}

impl One<'_> {
    fn deserialize<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { field, zero_is_written, context } = self;
        if let Kind::Message(message) = field.kind {
            let start = open_message(&mut context.out, field.number);
            Content { message, context }.deserialize(deserializer)?;
            close_message(&mut context.out, start);
            return Ok(());
        }
        scalar::read(field, zero_is_written, &mut context.out, deserializer)
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
