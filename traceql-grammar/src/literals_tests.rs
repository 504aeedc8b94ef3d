//! What the text of a literal means, and which texts mean nothing.

use super::{SECOND, duration, float, integer, name, raw_string, string};

#[test]
fn ints_are_decimal_and_fit_64_bits() {
    for (text, value) in
        [("0", 0), ("7", 7), ("007", 7), ("010", 10), ("9223372036854775807", i64::MAX)]
    {
        assert_eq!(integer(text), Ok(value), "{text}");
    }
    for text in ["9223372036854775808", "99999999999999999999", "08", "09", "0009"] {
        assert!(integer(text).is_err(), "{text}");
    }
}

#[test]
fn floats_are_decimal_or_hexadecimal() {
    let cases = [
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.e-3", 0.001),
        ("2E+2", 200.0),
        ("08.5", 8.5),
        ("1_000.5", 1000.5),
        ("1e-999", 0.0),
        ("0x1p-2", 0.25),
        ("0X1.8p1", 3.0),
        ("0x.8p0", 0.5),
        ("0x_f_fp0", 255.0),
        ("0x1p-1074", f64::from_bits(1)),
        ("0x1.fffffffffffffp1023", f64::MAX),
        ("0xffffffffffffffffffffp0", 1_208_925_819_614_629_174_706_175.0),
    ];
    for (text, value) in cases {
        assert_eq!(float(text), Ok(value), "{text}");
    }
    for text in ["1e999", "0x1p1024", "0xffp99999"] {
        assert!(float(text).is_err(), "{text}");
    }
}

#[test]
fn durations_are_of_one_of_two_families() {
    const MINUTE: i64 = 60 * SECOND;
    const HOUR: i64 = 60 * MINUTE;
    let cases = [
        ("0s", 0),
        ("10ns", 10),
        ("10us", 10_000),
        ("10µs", 10_000),
        ("10ms", 10_000_000),
        ("1s", SECOND),
        ("1m", MINUTE),
        ("1h", HOUR),
        ("1d", 24 * HOUR),
        ("1w", 7 * 24 * HOUR),
        ("1y", 365 * 24 * HOUR),
        ("292y", 292 * 365 * 24 * HOUR),
        ("1d12h", 36 * HOUR),
        ("1h30m", 90 * MINUTE),
        ("5m30s100ms", 5 * MINUTE + 30 * SECOND + 100_000_000),
        ("1d250ms", 24 * HOUR + 250_000_000),
        ("1y2w3d4h5m6s7ms", ((365 + 17) * 24 + 4) * HOUR + 5 * MINUTE + 6 * SECOND + 7_000_000),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("2.s", 2 * SECOND),
        ("08.5s", 8_500_000_000),
        ("1s2h", SECOND + 2 * HOUR),
        ("1s1s", 2 * SECOND),
        ("90m30s", 90 * MINUTE + 30 * SECOND),
        ("1ms500us", 1_500_000),
        ("1.9ns", 1),
        ("0.1h", 6 * MINUTE),
    ];
    for (text, nanos) in cases {
        assert_eq!(duration(text), Ok(nanos), "{text}");
    }
    let none = [
        "293y",
        "1d250us",
        "1.5d",
        "1h1d",
        "1d1w",
        "2h1d1h",
        "1d1d",
        "1sm",
        "1.5.5s",
        "1s.",
        ".s",
        "09s",
        "1s09",
        "1u",
        "9999999999h",
        "1s5",
    ];
    for text in none {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn strings_know_the_escapes_of_go() {
    let cases = [
        (r#""""#, ""),
        (r#""plain""#, "plain"),
        (r#""\a\b\f\n\r\t\v\\\"""#, "\x07\x08\x0c\n\r\t\x0b\\\""),
        (r#""\101\x41A\U00000041""#, "AAAA"),
        (r#""é你🚀""#, "é你🚀"),
        (r#""\xc3\xa9""#, "é"),
        (r#""\377""#, "\u{FFFD}"),
    ];
    for (text, value) in cases {
        assert_eq!(string(text).as_deref(), Ok(value), "{text}");
    }
}

#[test]
fn a_wrong_escape_is_named_with_its_place() {
    let cases = [
        (r#""\d""#, 1),
        (r#""ab\'""#, 3),
        (r#""\8""#, 1),
        (r#""\12""#, 1),
        (r#""\400""#, 1),
        (r#""\x4""#, 1),
        (r#""\xgg""#, 1),
        (r#""\u004""#, 1),
        (r#""\ud800""#, 1),
        (r#""é\U00110000""#, 3),
    ];
    for (text, at) in cases {
        assert_eq!(string(text).map_err(|(offset, _)| offset), Err(at), "{text}");
    }
}

#[test]
fn raw_strings_keep_all_but_carriage_returns() {
    assert_eq!(raw_string("`a\\d\"\r\nb`"), "a\\d\"\nb");
}

#[test]
fn names_lose_the_quotes_of_their_parts() {
    let cases = [
        ("a.b", "a.b"),
        ("\"a b\"", "a b"),
        ("a.\"b c\".d", "a.b c.d"),
        ("a\"b\"", "ab"),
        ("\"\"", ""),
        ("\"q\\\"s\\\\\"", "q\"s\\"),
        ("a\\b", "a\\b"),
    ];
    for (text, expected) in cases {
        assert_eq!(name(text), expected, "{text}");
    }
}
