//! JSON as Go writes protobuf: `<`, `>` and `&` escaped, floats in Go's notation.

use std::io::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

/// Writes a message compactly.
pub(super) fn to_json(message: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    put_json(message, &mut out);
    out
}

/// Appends a message.
pub(super) fn put_json(message: &impl Serialize, out: &mut Vec<u8>) {
    let mut serializer = serde_json::Serializer::with_formatter(out, GoFormatter);
    message.serialize(&mut serializer).expect("messages have text keys, and memory takes all");
}

/// Appends a text with its quotes. Most have nothing to escape.
pub(super) fn put_text(text: &str, out: &mut Vec<u8>) {
    // The first byte of U+2028 and U+2029 is 0xe2.
    let is_plain =
        |byte: u8| byte >= b' ' && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
    if !text.bytes().all(is_plain) {
        return put_json(&text, out);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends a number, or as a text what JSON has no number for.
pub(super) fn put_number(value: f64, out: &mut Vec<u8>) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    if (1.0..WHOLE_MAX).contains(&value) && value.fract() == 0.0 {
        return put_integer(value as u64, out);
    }
    let mut serializer = serde_json::Serializer::with_formatter(out, GoFormatter);
    double(&value, &mut serializer).expect("memory takes all");
}

/// Below it whole numbers have a double of their own.
const WHOLE_MAX: f64 = 9e15;

/// Appends the digits of a number.
pub(super) fn put_integer(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
        if rest == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((plain, escape, behind)) = split_at_escape(rest) {
            writer.write_all(plain.as_bytes())?;
            writer.write_all(escape.as_bytes())?;
            rest = behind;
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let size = value.abs();
        if size != 0.0 && !(1e-6..1e21).contains(&size) {
            let text = format!("{value:e}");
            // Go writes the sign of a large exponent, too.
            let text = if size >= 1e21 { text.replace('e', "e+") } else { text };
            return writer.write_all(text.as_bytes());
        }
        write!(writer, "{value}")
    }
}

/// What comes before the first character that Go escapes and JSON does not, its escape, and what comes behind.
fn split_at_escape(text: &str) -> Option<(&str, &'static str, &str)> {
    let special = ['<', '>', '&', '\u{2028}', '\u{2029}'];
    let (plain, rest) = text.split_at(text.find(special)?);
    let mut behind = rest.chars();
    let escape = match behind.next()? {
        '<' => "\\u003c",
        '>' => "\\u003e",
        '&' => "\\u0026",
        '\u{2028}' => "\\u2028",
        _ => "\\u2029",
    };
    Some((plain, escape, behind.as_str()))
}

/// 64-bit integers are texts.
pub(super) fn integer<S: Serializer>(
    value: &impl ToString,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

/// Doubles that JSON has no number for are texts.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
pub(super) fn double<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match *value {
        value if value.is_nan() => serializer.serialize_str("NaN"),
        f64::INFINITY => serializer.serialize_str("Infinity"),
        f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
        value => serializer.serialize_f64(value),
    }
}

/// Bytes are base64 with padding.
pub(super) fn bytes<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    use base64::Engine as _;
    serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &impl Serialize) -> String {
        String::from_utf8(to_json(value)).unwrap()
    }

    #[test]
    fn html_is_escaped_as_go_does() {
        assert_eq!(
            text(&"<a>&\u{2028}\u{2029}\"\\\nü"),
            r#""\u003ca\u003e\u0026\u2028\u2029\"\\\nü""#
        );
    }

    #[test]
    fn floats_are_written_as_go_does() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (123_456_789.5, "123456789.5"),
            (1e20, "100000000000000000000"),
            (1.5e21, "1.5e+21"),
        ] {
            assert_eq!(text(&value), expected);
        }
    }
}
