//! OTLP protobuf into the JSON that Tempo answers with: protobuf's JSON mapping as Go prints it.
//!
//! Zero scalars are left out, also empty lists; a message that is there but empty is `{}`; 64-bit numbers are text; enums
//! go by name; ids and bytes are base64; `<`, `>` and `&` are escaped in texts. Fields that Tempo does not have are left
//! out, since Grafana refuses them.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::{Error, Place};
use super::schema::{BATCHES, FieldDef, Kind, Message, REQUEST};
use crate::trace::wire::{DEPTH_MAX, Field, Fields, WireError};

/// What the list of resources is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonStyle {
    /// `batches`: the body of `/api/traces/{id}`.
    V1,
    /// `resourceSpans`: the value of `trace` in the body of `/api/v2/traces/{id}`.
    V2,
    /// OTLP/JSON: as the second, with ids in hex and enums as numbers.
    Otlp,
}

/// A trace as one JSON object: `{"batches":[…]}` or `{"resourceSpans":[…]}`, `{}` without pieces. The pieces are those of
/// [`trace_pieces`](super::trace_pieces), each is told in one of about twice its bytes. For the second style the caller writes the object as the value of
/// `"trace"`.
///
/// A piece is an error when it was one, or, by `fails`, when columns hold bytes that are not protobuf, which [`super::decode()`] never puts there.
pub fn pieces_json<E>(
    pieces: impl Iterator<Item = Result<Vec<u8>, E>>,
    style: JsonStyle,
    fails: impl Fn(Error) -> E,
) -> impl Iterator<Item = Result<Vec<u8>, E>> {
    let message: &'static Message = match style {
        JsonStyle::V1 => &BATCHES,
        JsonStyle::V2 | JsonStyle::Otlp => &REQUEST,
    };
    let mut pieces = pieces.peekable();
    let mut is_first = true;
    std::iter::from_fn(move || {
        let was_first = std::mem::take(&mut is_first);
        let piece = match pieces.next() {
            None => return was_first.then(|| Ok(b"{}".to_vec())),
            Some(Err(error)) => return Some(Err(error)),
            Some(Ok(piece)) => piece,
        };
        let mut out = Vec::with_capacity(piece.len() * 2);
        let is_last = pieces.peek().is_none();
        let printed = print_piece(&mut out, (message, style), &piece, (was_first, is_last));
        Some(printed.map(|()| out).map_err(&fails))
    })
}

/// The list of a piece, which goes on with that of the piece before unless it is the first, and is open unless it is the last.
fn print_piece(
    out: &mut Vec<u8>,
    (message, style): (&'static Message, JsonStyle),
    piece: &[u8],
    (is_first, is_last): (bool, bool),
) -> Result<(), Error> {
    let of_wire = |error| Error::Wire { place: Place::default(), error };
    let begin = out.len();
    print_message(out, message, piece, At { style, depth: 0 }).map_err(of_wire)?;
    if !is_first {
        // `{"batches":[` of this piece is a comma in the whole.
        let opening = out.iter().position(|byte| *byte == b'[').map_or(0, |place| place + 1);
        out.splice(begin..opening, [b',']);
    }
    if !is_last {
        out.truncate(out.len() - "]}".len());
    }
    Ok(())
}

/// Two messages for each level of a value, and what is around it.
const PRINT_DEPTH_MAX: usize = 2 * DEPTH_MAX + 10;

/// How deep in the whole a message stands, and how all of it is printed.
#[derive(Clone, Copy)]
struct At {
    style: JsonStyle,
    depth: usize,
}

impl At {
    fn below(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

fn print_message(
    out: &mut Vec<u8>,
    message: &'static Message,
    bytes: &[u8],
    at: At,
) -> Result<(), WireError> {
    if at.depth > PRINT_DEPTH_MAX {
        return Err(WireError::TooDeep);
    }
    out.push(b'{');
    let begin = out.len();
    if message.oneof {
        let mut last = None;
        for field in Fields::of(bytes) {
            let field = field?;
            last = message.by_number(field.number).map(|def| (def, field)).or(last);
        }
        if let Some((def, field)) = last {
            print_name(out, def, begin);
            print_value(out, def, field, at)?;
        }
    } else {
        for def in message.fields.iter().filter(|def| def.printed) {
            print_field(out, def, bytes, (begin, at))?;
        }
    }
    out.push(b'}');
    Ok(())
}

/// A field of the message `bytes`, whose printed fields start at `begin`.
fn print_field(
    out: &mut Vec<u8>,
    def: &'static FieldDef,
    bytes: &[u8],
    (begin, at): (usize, At),
) -> Result<(), WireError> {
    if def.repeated {
        return print_list(out, def, bytes, (begin, at));
    }
    let mut last: Option<Field<'_>> = None;
    let mut joined: Option<Cow<'_, [u8]>> = None;
    for field in Fields::of(bytes) {
        let field = field?;
        if field.number != def.number {
            continue;
        }
        last = Some(field);
        if let Kind::Message(_) = def.kind {
            match &mut joined {
                Some(joined) => joined.to_mut().extend_from_slice(field.bytes()?),
                None => joined = Some(Cow::Borrowed(field.bytes()?)),
            }
        }
    }
    if let (Kind::Message(message), Some(joined)) = (def.kind, joined) {
        print_name(out, def, begin);
        return print_message(out, message, &joined, at.below());
    }
    match last {
        Some(field) if !is_zero(def, field)? => {
            print_name(out, def, begin);
            print_value(out, def, field, at)
        }
        _ => Ok(()),
    }
}

fn print_list(
    out: &mut Vec<u8>,
    def: &'static FieldDef,
    bytes: &[u8],
    (begin, at): (usize, At),
) -> Result<(), WireError> {
    let mut any = false;
    for field in Fields::of(bytes) {
        let field = field?;
        if field.number != def.number {
            continue;
        }
        if any {
            out.push(b',');
        } else {
            print_name(out, def, begin);
            out.push(b'[');
            any = true;
        }
        print_value(out, def, field, at)?;
    }
    if any {
        out.push(b']');
    }
    Ok(())
}

fn print_name(out: &mut Vec<u8>, def: &FieldDef, begin: usize) {
    if out.len() > begin {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(def.json.as_bytes());
    out.extend_from_slice(b"\":");
}

fn is_zero(def: &FieldDef, field: Field<'_>) -> Result<bool, WireError> {
    Ok(match def.kind {
        Kind::Message(_) => false,
        Kind::Text | Kind::Id | Kind::Bytes => field.bytes()?.is_empty(),
        Kind::Bool | Kind::Int64 => field.varint()? == 0,
        Kind::Uint32 | Kind::Enum(_) => field.varint32()? == 0,
        Kind::Fixed32 => field.fixed32()? == 0,
        Kind::Fixed64 | Kind::Double => field.fixed64()? == 0,
    })
}

fn print_value(
    out: &mut Vec<u8>,
    def: &'static FieldDef,
    field: Field<'_>,
    at: At,
) -> Result<(), WireError> {
    match def.kind {
        Kind::Message(message) => print_message(out, message, field.bytes()?, at.below())?,
        Kind::Text => print_text(out, &String::from_utf8_lossy(field.bytes()?)),
        Kind::Id if at.style == JsonStyle::Otlp => {
            print(out, format_args!("\"{}\"", const_hex::encode(field.bytes()?)));
        }
        Kind::Id | Kind::Bytes => {
            print(out, format_args!("\"{}\"", STANDARD.encode(field.bytes()?)));
        }
        Kind::Bool => print(out, format_args!("{}", field.varint()? != 0)),
        Kind::Uint32 => print(out, format_args!("{}", field.varint32()?)),
        Kind::Fixed32 => print(out, format_args!("{}", field.fixed32()?)),
        Kind::Fixed64 => print(out, format_args!("\"{}\"", field.fixed64()?)),
        Kind::Int64 => print(out, format_args!("\"{}\"", field.varint()?.cast_signed())),
        Kind::Double => print_double(out, f64::from_bits(field.fixed64()?)),
        Kind::Enum(names) => {
            let number = field.varint32()?.cast_signed();
            match usize::try_from(number).ok().and_then(|index| names.get(index)) {
                Some(name) if at.style != JsonStyle::Otlp => print(out, format_args!("\"{name}\"")),
                _ => print(out, format_args!("{number}")),
            }
        }
    }
    Ok(())
}

fn print(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("memory takes all that is written");
}

/// As Go prints a double: shortest, with an exponent below 1e-6 and from 1e21.
fn print_double(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    } else if size == 0.0 || (1e-6..1e21).contains(&size) {
        print(out, format_args!("{value}"));
    } else if size >= 1e21 {
        print(out, format_args!("{}", format!("{value:e}").replace('e', "e+")));
    } else {
        print(out, format_args!("{value:e}"));
    }
}

/// A JSON string with Go's escapes, which make it safe inside HTML.
fn print_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                print(out, format_args!("\\u{:04x}", u32::from(character)));
            }
            _ => {
                let mut bytes = [0; 4];
                out.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{decode, trace_pieces, transcode};

    fn printed(body: &str, style: JsonStyle) -> String {
        let spans = decode(&transcode(body.as_bytes()).unwrap()).unwrap().spans;
        let rows: Vec<_> = (0..spans.len()).map(|row| (&spans, row)).collect();
        let whole = |piece_bytes| {
            let pieces = trace_pieces(&rows, piece_bytes).map(Ok);
            let pieces: Result<Vec<_>, _> = pieces_json(pieces, style, |error| error).collect();
            String::from_utf8(pieces.unwrap().concat()).unwrap()
        };
        whole(usize::MAX)
    }

    #[test]
    fn a_trace_in_pieces_is_one_object() {
        let spans: Vec<String> = (1..=5)
            .map(|number| format!(r#"{{"traceId":"01020304050607080102030405060708","spanId":"010203040506070{number}"}}"#))
            .collect();
        let body = format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
            spans.join(",")
        );
        let spans = decode(&transcode(body.as_bytes()).unwrap()).unwrap().spans;
        let rows: Vec<_> = (0..spans.len()).map(|row| (&spans, row)).collect();
        let pieces: Vec<Vec<u8>> =
            pieces_json(trace_pieces(&rows, 1).map(Ok), JsonStyle::V1, |error| error)
                .collect::<Result<_, _>>()
                .unwrap();
        assert_eq!(pieces.len(), 5);
        let whole: serde_json::Value = serde_json::from_slice(&pieces.concat()).unwrap();
        let batches = whole["batches"].as_array().unwrap();
        let ids: Vec<_> =
            batches.iter().map(|batch| &batch["scopeSpans"][0]["spans"][0]["spanId"]).collect();
        assert_eq!(
            ids,
            ["AQIDBAUGBwE=", "AQIDBAUGBwI=", "AQIDBAUGBwM=", "AQIDBAUGBwQ=", "AQIDBAUGBwU="]
        );
    }

    #[test]
    fn a_trace_looks_as_tempo_prints_it() {
        let body = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}}],
            "entityRefs":[{"type":"service"}]},"scopeSpans":[{"scope":{"name":"demo-lib","version":"1.4.0"},"spans":[
            {"traceId":"00000000000123456789abcdef000000","spanId":"aabbccddeeff0011","parentSpanId":"1122334455667788",
            "name":"GET /cart","kind":2,"startTimeUnixNano":1755000000000000000,"endTimeUnixNano":1755000000120500000,
            "attributes":[{"key":"http.response.status_code","value":{"intValue":503}}],
            "events":[{"timeUnixNano":1755000000010000000,"name":"retry"}],"flags":1,
            "status":{"code":2,"message":"upstream timeout"}}]}]},
            {"scopeSpans":[{"scope":{},"spans":[
            {"traceId":"00000000000123456789abcdef000000","spanId":"aabbccddeeff0012","kind":9,"status":{}}]}]}]}"#;
        let expected = r#"{"batches":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}}]},"#
            .to_owned()
            + r#""scopeSpans":[{"scope":{"name":"demo-lib","version":"1.4.0"},"spans":["#
            + r#"{"traceId":"AAAAAAABI0VniavN7wAAAA==","spanId":"qrvM3e7/ABE=","parentSpanId":"ESIzRFVmd4g=","flags":1,"#
            + r#""name":"GET /cart","kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1755000000000000000","#
            + r#""endTimeUnixNano":"1755000000120500000","#
            + r#""attributes":[{"key":"http.response.status_code","value":{"intValue":"503"}}],"#
            + r#""events":[{"timeUnixNano":"1755000000010000000","name":"retry"}],"#
            + r#""status":{"message":"upstream timeout","code":"STATUS_CODE_ERROR"}}]}]},"#
            + r#"{"scopeSpans":[{"scope":{},"spans":["#
            + r#"{"traceId":"AAAAAAABI0VniavN7wAAAA==","spanId":"qrvM3e7/ABI=","kind":9,"status":{}}]}]}]}"#;
        assert_eq!(printed(body, JsonStyle::V1), expected);
        let second = expected.replacen("batches", "resourceSpans", 1);
        assert_eq!(printed(body, JsonStyle::V2), second);
        let otlp = [
            ("\"AAAAAAABI0VniavN7wAAAA==\"", "\"00000000000123456789abcdef000000\""),
            ("\"qrvM3e7/ABE=\"", "\"aabbccddeeff0011\""),
            ("\"qrvM3e7/ABI=\"", "\"aabbccddeeff0012\""),
            ("\"ESIzRFVmd4g=\"", "\"1122334455667788\""),
            ("\"SPAN_KIND_SERVER\"", "2"),
            ("\"STATUS_CODE_ERROR\"", "2"),
        ];
        let otlp = otlp.iter().fold(second, |text, (tempo, otlp)| text.replace(tempo, otlp));
        assert_eq!(printed(body, JsonStyle::Otlp), otlp);
        assert_eq!(printed("{}", JsonStyle::V2), "{}");
    }

    #[test]
    fn values_are_printed_by_their_type() {
        let attributes = [
            (r#"{"stringValue":""}"#, None),
            (r#"{"intValue":"0"}"#, None),
            (r#"{"boolValue":false}"#, None),
            (r#"{"doubleValue":"NaN"}"#, None),
            (r#"{"doubleValue":5.0}"#, Some(r#"{"doubleValue":5}"#)),
            (r#"{"bytesValue":"-_8"}"#, Some(r#"{"bytesValue":"+/8="}"#)),
            (r#"{"arrayValue":{"values":[]}}"#, Some(r#"{"arrayValue":{}}"#)),
            (r#"{"arrayValue":{"values":[{"intValue":"1"},{}]}}"#, None),
            (r#"{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":true}}]}}"#, None),
            ("{}", None),
        ];
        for (value, expected) in attributes {
            let body = format!(
                r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"01020304050607080102030405060708","spanId":"0102030405060708","attributes":[{{"key":"a","value":{value}}}]}}]}}]}}]}}"#
            );
            let wanted = format!(r#"{{"key":"a","value":{}}}"#, expected.unwrap_or(value));
            let found = printed(&body, JsonStyle::V2);
            assert!(found.contains(&wanted), "{found}");
        }
    }

    #[test]
    fn doubles_are_printed_as_go_does() {
        let table = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (1e-6, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ];
        for (value, expected) in table {
            let mut out = Vec::new();
            print_double(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn texts_are_escaped_for_html() {
        let mut out = Vec::new();
        print_text(&mut out, "<a href=\"x\">&\u{2028}\\\n\u{8}\u{1}\u{7f}ü😀");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"\\u003ca href=\\\"x\\\"\\u003e\\u0026\\u2028\\\\\\n\\b\\u0001\u{7f}ü😀\""
        );
    }
}
