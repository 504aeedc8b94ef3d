//! Times and durations as they are written in a query string.

use std::time::{Duration, SystemTime};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Reads a time in any of Tempo's forms: whole seconds (up to ten digits), whole nanoseconds (more), seconds with a fraction
/// (rounded to milliseconds), or RFC 3339. Gives unix nanoseconds. `None` if it is none of them, or out of range.
pub(crate) fn flexible(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse::<u64>().ok()?;
        return if text.len() <= 10 { number.checked_mul(NANOS_PER_SECOND) } else { Some(number) };
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let seconds = Duration::try_from_secs_f64(seconds).ok()?;
        let micros = seconds.as_micros();
        let millis = u64::try_from((micros + 500) / 1000).ok()?;
        return millis.checked_mul(1_000_000);
    }
    rfc3339(text)
}

/// With an offset, which the parser used does not read itself.
fn rfc3339(text: &str) -> Option<u64> {
    let (local, offset_minutes) = if let Some(local) = text.strip_suffix(['Z', 'z']) {
        (local, 0)
    } else {
        let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
        let (hours, minutes) = offset.get(1..)?.split_once(':')?;
        let minutes =
            i64::from(hours.parse::<u8>().ok()?) * 60 + i64::from(minutes.parse::<u8>().ok()?);
        match offset.chars().next()? {
            '+' => (local, minutes),
            '-' => (local, -minutes),
            _ => return None,
        }
    };
    let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let offset = Duration::from_secs(offset_minutes.unsigned_abs() * 60);
    let unix = if offset_minutes < 0 {
        since_epoch.checked_add(offset)?
    } else {
        since_epoch.checked_sub(offset)?
    };
    u64::try_from(unix.as_nanos()).ok()
}

/// Reads a duration as Prometheus writes it: `1h30m`, `1d`, `500ms`; units from large to small, each once; or `0`.
pub(super) fn since(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 24 * 3_600_000),
        ("w", 7 * 24 * 3_600_000),
        ("d", 24 * 3_600_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut allowed = &UNITS[..];
    let mut millis = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, unit, behind) = number_and_unit(rest)?;
        let place = allowed.iter().position(|(name, _)| *name == unit)?;
        let part = number.parse::<u64>().ok()?.checked_mul(allowed[place].1)?;
        millis = millis.checked_add(part)?;
        allowed = &allowed[place + 1..];
        rest = behind;
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
}

/// Reads a duration as Go writes it: `1.5s`, `1h2m`, `100ms`, `20us`; or `0`. Not negative.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, unit, behind) = number_and_unit(rest)?;
        let nanos: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1000,
            "ms" => 1_000_000,
            "s" => NANOS_PER_SECOND,
            "m" => 60 * NANOS_PER_SECOND,
            "h" => 3600 * NANOS_PER_SECOND,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
        total = total.checked_add(Duration::from_nanos(whole.checked_mul(nanos)?))?;
        if !fraction.is_empty() {
            let part = format!("0.{fraction}").parse::<f64>().ok()?;
            total = total.checked_add(Duration::from_nanos(nanos).mul_f64(part))?;
        }
        rest = behind;
    }
    (!text.is_empty()).then_some(total)
}

/// The digits and points at the beginning, the letters behind them, and the rest.
fn number_and_unit(text: &str) -> Option<(&str, &str, &str)> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (number, rest) = text.split_at(text.find(|c| !is_number(c))?);
    let end = rest.find(is_number).unwrap_or(rest.len());
    let (unit, behind) = rest.split_at(end);
    (!number.is_empty()).then_some((number, unit, behind))
}

/// As Go prints a duration of whole seconds: `168h0m0s`, `15m0s`, `30s`.
pub(super) fn print_go(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1755000000", Some(1_755_000_000_000_000_000)),
            ("1755000000123456789", Some(1_755_000_000_123_456_789)),
            ("17550000001", Some(17_550_000_001)),
            ("1755000000.1236", Some(1_755_000_000_124_000_000)),
            ("2025-08-12T12:00:00Z", Some(1_755_000_000_000_000_000)),
            ("2025-08-12T12:00:00.5Z", Some(1_755_000_000_500_000_000)),
            ("2025-08-12T14:00:00+02:00", Some(1_755_000_000_000_000_000)),
            ("2025-08-12T06:30:00-05:30", Some(1_755_000_000_000_000_000)),
            ("99999999999999999999", None),
            ("-5", None),
            ("1e400", None),
            ("NaN", None),
            ("2025-08-12", None),
            ("2025-08-12T12:00:00", None),
            ("2025-08-12T12:00:00ü02:00", None),
            ("yesterday", None),
        ] {
            assert_eq!(flexible(text), expected, "{text}");
        }
    }

    #[test]
    fn prometheus_durations_go_from_large_to_small() {
        for (text, expected) in [
            ("0", Some(0)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("1w", Some(604_800_000)),
            ("1d2h3m4s5ms", Some(93_784_005)),
            ("", None),
            ("30", None),
            ("30m1h", None),
            ("1h1h", None),
            ("1.5h", None),
            ("-1h", None),
            ("h", None),
            ("99999999999999999y", None),
        ] {
            assert_eq!(since(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn go_durations_have_fractions() {
        for (text, expected) in [
            ("0", Some(0)),
            ("100ms", Some(100_000_000)),
            ("1.5s", Some(1_500_000_000)),
            (".5s", Some(500_000_000)),
            ("1h2m", Some(3_720_000_000_000)),
            ("20us", Some(20_000)),
            ("20µs", Some(20_000)),
            ("7ns", Some(7)),
            ("", None),
            ("5", None),
            ("1d", None),
            (".s", None),
            ("1.2.3s", None),
            ("-1s", None),
        ] {
            assert_eq!(go_duration(text), expected.map(Duration::from_nanos), "{text}");
        }
    }

    #[test]
    fn durations_are_printed_as_go_does() {
        for (seconds, expected) in [(604_800, "168h0m0s"), (900, "15m0s"), (30, "30s")] {
            assert_eq!(print_go(Duration::from_secs(seconds)), expected);
        }
    }
}
