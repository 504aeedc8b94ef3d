//! The words of a line, and the values and times among them.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};

/// Units of time with their nanoseconds, the longest first.
pub(crate) const UNITS: [(&str, i64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1000),
    ("ns", 1),
];

/// Splits at blanks that are in no quotes and no brackets.
pub(crate) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in line.chars() {
        if c == ' ' && depth == 0 && !quoted {
            words.push(String::new());
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        words.last_mut().expect("never empty").push(c);
    }
    words.retain(|word| !word.is_empty());
    if quoted || depth != 0 { Err(format!("not closed: {line}")) } else { Ok(words) }
}

/// `120ms`, `-1.5s`, in nanoseconds. A unit is never missing.
pub(crate) fn time(word: &str) -> Result<i64, String> {
    let wrong = || format!("no time: {word}");
    let digits = word.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let unit = word.strip_prefix(digits).ok_or_else(wrong)?;
    let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    match digits.split_once('.') {
        None => Ok(digits.parse::<i64>().map_err(|_| wrong())? * nanos),
        Some((whole, part)) => {
            let sign = if whole.starts_with('-') { -1 } else { 1 };
            let scale = 10_i64.pow(u32::try_from(part.len()).map_err(|_| wrong())?);
            let part = part.parse::<i64>().map_err(|_| wrong())? * nanos;
            if part % scale != 0 {
                return Err(wrong());
            }
            Ok(whole.parse::<i64>().map_err(|_| wrong())? * nanos + sign * (part / scale))
        }
    }
}

/// A text in quotes, with nothing behind it.
pub(crate) fn text(word: &str) -> Result<String, String> {
    match value(word)?.value {
        Some(Any::StringValue(text)) => Ok(text),
        _ => Err(format!("no text in quotes: {word}")),
    }
}

/// A value: `"text"`, `1`, `1.5`, `NaN`, `true`, `["a", "b"]`, `{a=1, b="x"}`, `empty` for one in which nothing is set.
pub(crate) fn value(word: &str) -> Result<AnyValue, String> {
    let mut rest = word;
    let value = read(&mut rest)?;
    if rest.is_empty() { Ok(value) } else { Err(format!("no value: {word}")) }
}

/// `key=value`; the key may be in quotes.
pub(crate) fn pair(word: &str) -> Result<KeyValue, String> {
    let mut rest = word;
    let key = read_key(&mut rest)?;
    Ok(KeyValue { key, value: Some(value(rest)?), ..KeyValue::default() })
}

fn read_key(rest: &mut &str) -> Result<String, String> {
    let wrong = || format!("no key=value: {rest}");
    let (key, after) = if rest.starts_with('"') {
        let mut after = *rest;
        let Some(Any::StringValue(key)) = read(&mut after)?.value else { return Err(wrong()) };
        (key, after.strip_prefix('=').ok_or_else(wrong)?)
    } else {
        let (key, after) = rest.split_once('=').ok_or_else(wrong)?;
        (key.to_owned(), after)
    };
    *rest = after;
    Ok(key)
}

/// Takes a value from the front.
fn read(rest: &mut &str) -> Result<AnyValue, String> {
    let value = if let Some(mut after) = rest.strip_prefix('"') {
        let text = read_text(&mut after)?;
        *rest = after;
        Some(Any::StringValue(text))
    } else if let Some(mut after) = rest.strip_prefix('[') {
        let values = read_list(&mut after, ']', read)?;
        *rest = after;
        Some(Any::ArrayValue(ArrayValue { values }))
    } else if let Some(mut after) = rest.strip_prefix('{') {
        let entry = |rest: &mut &str| {
            let key = read_key(rest)?;
            Ok(KeyValue { key, value: Some(read(rest)?), ..KeyValue::default() })
        };
        let values = read_list(&mut after, '}', entry)?;
        *rest = after;
        Some(Any::KvlistValue(KeyValueList { values }))
    } else {
        let end = rest.find([',', ']', '}', ' ']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        *rest = after;
        plain(word)?
    };
    Ok(AnyValue { value })
}

fn plain(word: &str) -> Result<Option<Any>, String> {
    let wrong = |_| format!("no value: {word:?}");
    Ok(Some(match word {
        "empty" => return Ok(None),
        "true" => Any::BoolValue(true),
        "false" => Any::BoolValue(false),
        "NaN" => Any::DoubleValue(f64::NAN),
        "+Inf" => Any::DoubleValue(f64::INFINITY),
        "-Inf" => Any::DoubleValue(f64::NEG_INFINITY),
        _ if word.contains(['.', 'e']) => {
            Any::DoubleValue(word.parse().map_err(|_| format!("no value: {word:?}"))?)
        }
        _ => Any::IntValue(word.parse().map_err(|error: std::num::ParseIntError| wrong(error))?),
    }))
}

/// What stands behind the opening quote.
fn read_text(rest: &mut &str) -> Result<String, String> {
    let mut text = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next() {
            Some('"') => break,
            Some('\\') => text.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(c @ ('"' | '\\')) => c,
                other => return Err(format!("unknown escape: \\{}", other.unwrap_or(' '))),
            }),
            Some(c) => text.push(c),
            None => return Err(format!("no closing quote: {rest}")),
        }
    }
    *rest = chars.as_str();
    Ok(text)
}

/// What stands behind the opening bracket.
fn read_list<T>(
    rest: &mut &str,
    end: char,
    item: impl Fn(&mut &str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let mut items = Vec::new();
    while !rest.starts_with(end) {
        if !items.is_empty() {
            *rest = rest.strip_prefix(',').ok_or_else(|| format!("no comma: {rest}"))?;
        }
        *rest = rest.trim_start();
        items.push(item(rest)?);
    }
    *rest = rest.strip_prefix(end).unwrap_or(rest);
    Ok(items)
}
