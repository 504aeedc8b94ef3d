//! The search of old clients, by tags and durations, as TraceQL.

use std::fmt::Write;
use std::time::Duration;

use crate::failure::Failure;

/// A search as TraceQL has not always been there: all tags must match, and the trace's duration.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Legacy {
    /// Key and value; `None` = the key alone.
    pub(super) tags: Vec<(String, Option<String>)>,
    pub(super) min_duration: Option<Duration>,
    pub(super) max_duration: Option<Duration>,
}

impl Legacy {
    /// The same as TraceQL. A value that reads as a number or a truth value finds attributes of those types too, since a tag has no type.
    ///
    /// # Errors
    /// A key that comes twice, or a status that does not exist.
    pub(super) fn to_traceql(&self) -> Result<String, Failure> {
        let Self { tags, min_duration, max_duration } = self;
        let mut conditions = Vec::new();
        for (index, (key, value)) in tags.iter().enumerate() {
            if tags.iter().take(index).any(|(earlier, _)| earlier == key) {
                return Err(Failure::invalid(format!(
                    "invalid tags: tag {key} has been set twice"
                )));
            }
            conditions.push(condition(key, value.as_deref())?);
        }
        let bounds = [(">=", min_duration), ("<=", max_duration)];
        conditions.extend(bounds.into_iter().filter_map(|(operator, bound)| {
            bound.map(|bound| format!("traceDuration {operator} {}ns", bound.as_nanos()))
        }));
        Ok(format!("{{ {} }}", conditions.join(" && ")))
    }
}

fn condition(key: &str, value: Option<&str>) -> Result<String, Failure> {
    let Some(value) = value else { return Ok(format!("{} != nil", attribute(key))) };
    let text = quoted(value);
    match key {
        "name" => Ok(format!("name = {text}")),
        "root.name" => Ok(format!("rootName = {text}")),
        "root.service.name" => Ok(format!("rootServiceName = {text}")),
        "status.code" if matches!(value, "ok" | "error" | "unset") => {
            Ok(format!("status = {value}"))
        }
        "status.code" => {
            let text = format!("invalid tags: status.code {value:?}, allowed: ok, error, unset");
            Err(Failure::invalid(text))
        }
        _ => {
            let attribute = attribute(key);
            Ok(match typed(value) {
                Some(typed) => format!("({attribute} = {text} || {attribute} = {typed})"),
                None => format!("{attribute} = {text}"),
            })
        }
    }
}

/// A number or truth value in TraceQL, if the text is one.
pub(crate) fn typed(value: &str) -> Option<String> {
    if matches!(value, "true" | "false") {
        return Some(value.to_owned());
    }
    if !value.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-')) {
        return None;
    }
    let number = value.parse::<i64>().map(|number| number.to_string());
    number.ok().or_else(|| value.parse::<f64>().ok().map(|number| format!("{number:?}")))
}

/// An unscoped attribute, in quotes if its name needs them.
pub(crate) fn attribute(key: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    if !key.is_empty() && key.chars().all(plain) {
        return format!(".{key}");
    }
    format!(".\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A text in TraceQL's quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("memory takes all");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Reads tags as `logfmt` writes them: `k=v k2="v 2" k3`.
///
/// # Errors
/// Names the character, from 1, that cannot stand where it is.
pub(super) fn logfmt(text: &str) -> Result<Vec<(String, Option<String>)>, Failure> {
    let mut tags = Vec::new();
    let mut rest = Cursor { chars: text.chars().collect(), next: 0 };
    loop {
        while rest.peek().is_some_and(char::is_whitespace) {
            rest.next += 1;
        }
        if rest.peek().is_none() {
            return Ok(tags);
        }
        let key = rest.bare();
        if key.is_empty() {
            return Err(rest.unexpected());
        }
        let value = match rest.peek() {
            Some('=') => {
                rest.next += 1;
                Some(if rest.peek() == Some('"') { rest.quoted()? } else { rest.bare() })
            }
            _ => None,
        };
        if rest.peek().is_some_and(|c| !c.is_whitespace()) {
            return Err(rest.unexpected());
        }
        tags.push((key, value));
    }
}

struct Cursor {
    chars: Vec<char>,
    next: usize,
}

impl Cursor {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.next).copied()
    }

    fn bare(&mut self) -> String {
        let begin = self.next;
        while self.peek().is_some_and(|c| !c.is_whitespace() && c != '=' && c != '"') {
            self.next += 1;
        }
        self.chars[begin..self.next].iter().collect()
    }

    /// Behind the opening quote that is next.
    fn quoted(&mut self) -> Result<String, Failure> {
        let mut text = String::new();
        self.next += 1;
        while let Some(c) = self.peek() {
            self.next += 1;
            match c {
                '"' => return Ok(text),
                '\\' => match self.peek() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c @ ('"' | '\\')) => text.push(c),
                    _ => return Err(self.unexpected()),
                },
                c => text.push(c),
            }
            if c == '\\' {
                self.next += 1;
            }
        }
        Err(Failure::invalid(format!("invalid tags: unterminated quote at pos {}", self.next)))
    }

    fn unexpected(&self) -> Failure {
        let what = self.peek().map_or_else(|| "end".to_owned(), |c| format!("{c:?}"));
        Failure::invalid(format!("invalid tags: unexpected {what} at pos {}", self.next + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traceql(tags: &str) -> Result<String, String> {
        let tags = logfmt(tags).map_err(|failure| failure.message)?;
        Legacy { tags, ..Legacy::default() }.to_traceql().map_err(|failure| failure.message)
    }

    #[test]
    fn tags_become_conditions() {
        for (tags, expected) in [
            ("", "{  }"),
            ("a=b", r#"{ .a = "b" }"#),
            (r#" a="x \"y\" \\ \n"  b=c "#, r#"{ .a = "x \"y\" \\ \u000a" && .b = "c" }"#),
            (
                "http.status_code=500",
                r#"{ (.http.status_code = "500" || .http.status_code = 500) }"#,
            ),
            ("a=0.5", r#"{ (.a = "0.5" || .a = 0.5) }"#),
            ("a=true", r#"{ (.a = "true" || .a = true) }"#),
            ("a=1-2", r#"{ .a = "1-2" }"#),
            ("a", "{ .a != nil }"),
            ("a=", r#"{ .a = "" }"#),
            ("a{b=c", r#"{ ."a{b" = "c" }"#),
            ("a//b=c", r#"{ ."a//b" = "c" }"#),
            ("name=x root.name=y", r#"{ name = "x" && rootName = "y" }"#),
            ("root.service.name=x", r#"{ rootServiceName = "x" }"#),
            ("status.code=error", "{ status = error }"),
        ] {
            assert_eq!(traceql(tags).as_deref(), Ok(expected), "{tags}");
        }
    }

    #[test]
    fn what_is_wrong_with_tags_is_told() {
        for (tags, expected) in [
            ("a=1 a=2", "invalid tags: tag a has been set twice"),
            ("=b", "invalid tags: unexpected '=' at pos 1"),
            ("a=b=c", "invalid tags: unexpected '=' at pos 4"),
            ("a=\"b\"c", "invalid tags: unexpected 'c' at pos 6"),
            ("a=\"b", "invalid tags: unterminated quote at pos 4"),
            ("a=\"\\x\"", "invalid tags: unexpected 'x' at pos 5"),
            ("a\"b", "invalid tags: unexpected '\"' at pos 2"),
            ("status.code=2", "invalid tags: status.code \"2\", allowed: ok, error, unset"),
        ] {
            assert_eq!(traceql(tags).unwrap_err(), expected, "{tags}");
        }
    }

    #[test]
    fn durations_bound_the_trace() {
        let legacy = Legacy {
            min_duration: Some(Duration::from_millis(100)),
            max_duration: Some(Duration::from_secs(2)),
            ..Legacy::default()
        };
        assert_eq!(
            legacy.to_traceql().unwrap(),
            "{ traceDuration >= 100000000ns && traceDuration <= 2000000000ns }"
        );
    }
}
