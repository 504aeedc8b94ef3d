//! The text of numbers, strings and attribute names, and what it means.

use crate::ast::{Kind, Static, Status};

/// Nanoseconds of one second, as in every duration here.
pub(crate) const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 24 * 3600 * SECOND;

/// The calendar family of units, from large to small; each may stand once, in this order.
const CALENDAR_UNITS: [(&str, i64); 7] = [
    ("y", 365 * DAY),
    ("w", 7 * DAY),
    ("d", DAY),
    ("h", 3600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", SECOND / 1000),
];

/// The clock family of units, in any order.
const CLOCK_UNITS: [(&str, i64); 7] = [
    ("ns", 1),
    ("us", 1000),
    ("µs", 1000),
    ("ms", SECOND / 1000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

/// A word that stands for a value.
pub(crate) fn word(text: &str) -> Option<Static> {
    Some(match text {
        "true" => Static::Bool(true),
        "false" => Static::Bool(false),
        "minInt" => Static::Int(i64::MIN),
        "maxInt" => Static::Int(i64::MAX),
        "ok" => Static::Status(Status::Ok),
        "error" => Static::Status(Status::Error),
        "unset" => Static::Status(Status::Unset),
        "unspecified" => Static::Kind(Kind::Unspecified),
        "internal" => Static::Kind(Kind::Internal),
        "client" => Static::Kind(Kind::Client),
        "server" => Static::Kind(Kind::Server),
        "producer" => Static::Kind(Kind::Producer),
        "consumer" => Static::Kind(Kind::Consumer),
        _ => return None,
    })
}

/// Decimal digits; the sign is an operator.
pub(crate) fn integer(text: &str) -> Result<i64, String> {
    no_octal(text)?;
    text.parse().map_err(|_| format!("{text} is larger than the largest int, {}", i64::MAX))
}

/// Tempo reads digits behind a zero as if they were octal, but gives them their decimal value. We
/// refuse what it refuses.
fn no_octal(digits: &str) -> Result<(), String> {
    if digits.starts_with('0') && digits.contains(['8', '9']) {
        return Err(format!("{digits}: no 8 or 9 in an int that begins with 0; leave the 0 away"));
    }
    Ok(())
}

/// A decimal or hexadecimal float, as the grammar lets it through.
pub(crate) fn float(text: &str) -> Result<f64, String> {
    let plain: String = text.chars().filter(|&c| c != '_').collect();
    let value = match plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        Some(hex) => hex_float(hex),
        None => plain.parse().ok(),
    };
    match value {
        Some(value) if value.is_finite() => Ok(value),
        _ => Err(format!("{text} is out of the range of a float")),
    }
}

/// `mantissa p exponent`, the mantissa in hexadecimal digits.
fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let mut exponent: i64 = exponent.parse().ok()?;
    let (mut bits, mut seen_dot) = (0_u64, false);
    for c in mantissa.chars() {
        let Some(digit) = c.to_digit(16) else {
            seen_dot = true;
            continue;
        };
        if bits >> 59 == 0 {
            bits = bits << 4 | u64::from(digit);
            exponent = exponent.saturating_sub(if seen_dot { 4 } else { 0 });
        } else {
            // Beyond what a float can hold: one bit tells the rounding that there was more.
            bits |= u64::from(digit != 0);
            exponent = exponent.saturating_add(if seen_dot { 0 } else { 4 });
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "rounding to the nearest float is the point")]
    let mut value = bits as f64;
    // In steps that stay exact: 2^1000 is finite, and 2^-1000 is normal.
    let mut left = exponent.clamp(-3000, 3000);
    while left != 0 {
        let step = left.clamp(-1000, 1000);
        value *= 2_f64.powi(i32::try_from(step).ok()?);
        left -= step;
    }
    Some(value)
}

/// Nanoseconds. First the calendar family is tried, then the clock family; they do not mix.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    let whole = text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("");
    if !text.get(whole.len()..).unwrap_or("").starts_with('.') {
        no_octal(whole)?;
    }
    calendar(text).or_else(|| clock(text)).ok_or_else(|| {
        format!(
            "{text} is not a duration: use units y w d h m s ms from large to small, \
             or ns us µs ms s m h with fractions, up to 292y"
        )
    })
}

/// Splits `1d250ms` into `(1, d)` and the rest.
fn group(text: &str) -> Option<(&str, &str, &str)> {
    let number_len = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at_checked(number_len)?;
    let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at_checked(unit_len)?;
    Some((number, unit, rest))
}

fn calendar(text: &str) -> Option<i64> {
    let (mut rest, mut sum, mut units_left) = (text, 0_i64, &CALENDAR_UNITS[..]);
    while !rest.is_empty() {
        let (number, unit, after) = group(rest)?;
        let at = units_left.iter().position(|(name, _)| *name == unit)?;
        let nanos = number.parse::<i64>().ok()?.checked_mul(units_left.get(at)?.1)?;
        sum = sum.checked_add(nanos)?;
        units_left = units_left.get(at + 1..)?;
        rest = after;
    }
    Some(sum)
}

fn clock(text: &str) -> Option<i64> {
    let (mut rest, mut sum) = (text, 0_i64);
    while !rest.is_empty() {
        let (number, unit, after) = group(rest)?;
        let (_, scale) = CLOCK_UNITS.iter().find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(scaled(number, *scale)?)?;
        rest = after;
    }
    Some(sum)
}

/// `number` times `scale`, where the number may have a fraction; what is below one is cut off.
fn scaled(number: &str, scale: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // 18 digits: nanoseconds of an hour need 13.
    let (mut part, mut unit) = (0_i128, 1_i128);
    for digit in fraction.chars().take(18) {
        part = part * 10 + i128::from(digit.to_digit(10)?);
        unit *= 10;
    }
    let part = i64::try_from(part * i128::from(scale) / unit).ok()?;
    whole.checked_mul(scale)?.checked_add(part)
}

/// The value of a string between double quotes, the quotes included.
///
/// Bytes that are no UTF-8 become U+FFFD: no attribute value can contain them.
///
/// # Errors
///
/// The reason and the byte offset in `text` of the escape that is none.
pub(crate) fn string(text: &str) -> Result<String, (usize, String)> {
    let mut bytes = Vec::with_capacity(text.len());
    let body_end = text.len().saturating_sub(1);
    let mut at = 1;
    while at < body_end {
        let rest = text.get(at..body_end).unwrap_or("");
        let Some(c) = rest.chars().next() else { break };
        if c == '\\' {
            at += escape(rest, &mut bytes).map_err(|reason| (at, reason))?;
        } else {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            at += c.len_utf8();
        }
    }
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Reads the escape at the start of `rest` and returns its length in bytes.
fn escape(rest: &str, bytes: &mut Vec<u8>) -> Result<usize, String> {
    let letter = rest.chars().nth(1).unwrap_or(' ');
    let single = match letter {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '"' => b'"',
        '0'..='7' => return numeric(rest, 1, 3, 8, bytes),
        'x' => return numeric(rest, 2, 2, 16, bytes),
        'u' => return numeric(rest, 2, 4, 16, bytes),
        'U' => return numeric(rest, 2, 8, 16, bytes),
        other => {
            return Err(format!(
                "\\{other} is not an escape; write \\\\{other}, or the string in back quotes"
            ));
        }
    };
    bytes.push(single);
    Ok(2)
}

/// `digits` digits of `radix` from byte `skip` on. Up to three stand for a byte, more for a character.
fn numeric(
    rest: &str,
    skip: usize,
    digits: usize,
    radix: u32,
    bytes: &mut Vec<u8>,
) -> Result<usize, String> {
    let text = rest.get(skip..skip + digits).unwrap_or("");
    let shown = rest.get(..skip + digits).unwrap_or(rest);
    let no_escape = || format!("{shown} is not an escape: it takes {digits} digits");
    if text.is_empty() || !text.chars().all(|c| c.is_digit(radix)) {
        return Err(no_escape());
    }
    let value = u32::from_str_radix(text, radix).map_err(|_| no_escape())?;
    if digits <= 3 {
        bytes.push(u8::try_from(value).map_err(|_| format!("{shown} is more than one byte"))?);
    } else {
        let c = char::from_u32(value).ok_or_else(|| format!("{shown} is not a character"))?;
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(skip + digits)
}

/// The value of a string between back quotes, the quotes included.
pub(crate) fn raw_string(text: &str) -> String {
    text.chars().filter(|&c| c != '`' && c != '\r').collect()
}

/// An attribute name without the quotes around its quoted parts.
pub(crate) fn name(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    let (mut chars, mut quoted) = (text.chars(), false);
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => name.extend(chars.next()),
            c => name.push(c),
        }
    }
    name
}

#[cfg(test)]
#[path = "literals_tests.rs"]
mod tests;
