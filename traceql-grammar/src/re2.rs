//! Regular expressions in the syntax of Go's RE2, compiled for Rust's `regex`.
//!
//! The two differ in little: here `\d \w \s \b` are ASCII only, `[a&&b]` and `[[]` have no set
//! operations, `\Q..\E` quotes, and repetitions end at 1000.

use regex::{Regex, RegexBuilder};
use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

/// Compiled size of one pattern, in bytes: room for a hundred `\pL`, and a query may hold hundreds of
/// patterns.
const COMPILED_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Largest count in a repetition, as in RE2.
const REPEAT_MAX: u32 = 1000;

/// Whether `pattern` is one. Costs a tenth of compiling it; only [`compile`] finds out that one is too large.
///
/// # Errors
///
/// What is wrong with the pattern, in words.
pub fn check(pattern: &str) -> Result<(), String> {
    syntax(&translate(pattern)?)
}

/// Compiles `pattern` so that it must match a whole string; `.` matches line ends too.
///
/// # Errors
///
/// What is wrong with the pattern, in words.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let translated = translate(pattern)?;
    // Alone first: `a)(b` must not find its missing parentheses in ours.
    syntax(&translated)?;
    regex(&format!("\\A(?s:{translated})\\z"))
}

fn syntax(pattern: &str) -> Result<(), String> {
    match regex_syntax::parse(pattern) {
        Ok(_) => Ok(()),
        Err(error) => Err(reason(&error.to_string())),
    }
}

fn regex(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build();
    built.map_err(|error| reason(&error.to_string()))
}

/// The last line of an error's text.
fn reason(text: &str) -> String {
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
    last.trim_start_matches("error: ").trim().to_owned()
}

/// The same pattern in Rust's syntax.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut repeated = false;
    while let Some(c) = chars.next() {
        let mut repeats = matches!(c, '*' | '+' | '?');
        match c {
            '\\' => {
                escape(&mut chars, &mut out, false)?;
            }
            '[' => class(&mut chars, &mut out)?,
            '{' => repeats = repetition(&mut chars, &mut out)?,
            '(' => {
                out.push('(');
                if chars.next_if_eq(&'?').is_some() {
                    out.push('?');
                    flags(&chars)?;
                }
            }
            c => out.push(c),
        }
        if repeats && repeated {
            return Err(format!("{c} behind another repetition"));
        }
        repeated = repeats;
        if let Some(lazy) = chars.next_if(|next| repeats && *next == '?') {
            out.push(lazy);
        }
    }
    Ok(out)
}

/// Refuses flags that RE2 does not have.
fn flags(rest: &Peekable<Chars<'_>>) -> Result<(), String> {
    let flags: String = rest.clone().take_while(|c| c.is_ascii_alphabetic() || *c == '-').collect();
    match flags.chars().find(|flag| !"imsU-P".contains(*flag)) {
        Some(flag) => Err(format!("(?{flag} is not a flag; there are i, m, s and U")),
        None => Ok(()),
    }
}

/// What follows a backslash. Tells whether that stands for a whole class of characters.
fn escape(
    chars: &mut Peekable<Chars<'_>>,
    out: &mut String,
    in_class: bool,
) -> Result<bool, String> {
    let letter = chars.next().ok_or("a backslash at the end")?;
    let (open, close) = if in_class { ("", "") } else { ("[", "]") };
    match letter {
        'd' => out.extend([open, "0-9", close]),
        'D' => out.push_str("[^0-9]"),
        'w' => out.extend([open, "0-9A-Za-z_", close]),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.extend([open, r"\t\n\f\r ", close]),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'b' if !in_class => out.push_str(r"(?-u:\b)"),
        'B' if !in_class => out.push_str(r"(?-u:\B)"),
        'Q' if !in_class => quoted(chars, out),
        'A' | 'z' if !in_class => out.extend(['\\', letter]),
        'a' | 'f' | 'n' | 'r' | 't' | 'v' => out.extend(['\\', letter]),
        'p' | 'P' => argument(letter, 1, chars, out),
        'x' => argument(letter, 2, chars, out),
        '0'..='7' => octal(letter, chars, out)?,
        // A backslash before any other ASCII sign means the sign.
        c if c.is_ascii_punctuation() => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        c => return Err(format!("\\{c} is not an escape of regular expressions")),
    }
    Ok(matches!(letter, 'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'p' | 'P'))
}

/// `\pL`, `\p{Greek}`, `\x41`, `\x{1F600}`: the letter and what belongs to it.
fn argument(letter: char, count: usize, chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.extend(['\\', letter]);
    if chars.peek() != Some(&'{') {
        out.extend(chars.by_ref().take(count));
        return;
    }
    for c in chars.by_ref() {
        out.push(c);
        if c == '}' {
            return;
        }
    }
}

/// Up to `\E`, every character stands for itself.
fn quoted(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            return;
        }
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

/// `\0` to `\377`; a single digit from 1 on would refer back to a group, which RE2 cannot.
fn octal(first: char, chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    let mut digits = String::from(first);
    while digits.len() < 3 {
        let Some(digit) = chars.next_if(|c| ('0'..='7').contains(c)) else { break };
        digits.push(digit);
    }
    if first != '0' && digits.len() == 1 {
        return Err(format!("\\{first} refers back to a group, which is not supported"));
    }
    let value = u32::from_str_radix(&digits, 8).map_err(|error| error.to_string())?;
    write!(out, "\\x{{{value:x}}}").map_err(|error| error.to_string())
}

/// What a `-` in a class would be next.
#[derive(Clone, Copy, PartialEq)]
enum Dash {
    /// Itself: nothing before it can begin a range.
    Plain,
    /// The middle of a range.
    Range,
    /// The end of a range.
    End,
}

/// A class from behind its `[` to its `]`. Whatever Rust gives a second meaning is escaped.
fn class(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    let mut dash = Dash::Plain;
    loop {
        let c = chars.next().ok_or("a [ without its ]")?;
        let mut many = false;
        match c {
            ']' if !first => break,
            '\\' => many = escape(chars, out, true)?,
            '[' if chars.peek() == Some(&':') => many = posix(chars, out),
            '-' if dash == Dash::Range && chars.peek() != Some(&']') => {
                out.push('-');
                dash = Dash::End;
                continue;
            }
            '[' | ']' | '&' | '~' | '^' | '-' => out.extend(['\\', c]),
            c => out.push(c),
        }
        if many && dash == Dash::End {
            return Err("a range in [ ] that ends in a class".to_owned());
        }
        dash = if many || dash == Dash::End { Dash::Plain } else { Dash::Range };
        first = false;
    }
    out.push(']');
    Ok(())
}

/// `[:alpha:]` inside a class, or a plain `[` when there is no such end. Tells which.
fn posix(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> bool {
    // The longest name, `^xdigit:`, has eight characters.
    let rest: String = chars.clone().skip(1).take_while(|c| *c != ']').take(9).collect();
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '^');
    let Some(name) = rest.strip_suffix(':').filter(|name| is_name(name)) else {
        out.push_str("\\[");
        return false;
    };
    out.extend(["[:", name, ":]"]);
    for _ in 0..rest.len() + 2 {
        chars.next();
    }
    true
}

/// `{2}`, `{2,}`, `{2,5}`, copied to behind the `}`; any other `{` is a plain character. Tells which.
fn repetition(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<bool, String> {
    // Two numbers and a comma; longer ones are too large anyway, and this keeps the work linear.
    let window: String = chars.clone().take(24).collect();
    let body = window.split_once('}').map_or("", |(body, _)| body);
    let (low, high) = body.split_once(',').unwrap_or((body, ""));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if low.is_empty() || !digits(low) || !digits(high) {
        out.push_str("\\{");
        return Ok(false);
    }
    for count in [low, high].into_iter().filter(|count| !count.is_empty()) {
        if !count.parse::<u32>().is_ok_and(|count| count <= REPEAT_MAX) {
            return Err(format!("a repetition of {count}; there may be {REPEAT_MAX}"));
        }
    }
    out.extend(["{", body, "}"]);
    for _ in 0..=body.len() {
        chars.next();
    }
    Ok(true)
}

#[cfg(test)]
#[path = "re2_tests.rs"]
mod tests;
