//! How large a query may be, and the scan that finds out before anything recurses.

use crate::ast::Span;
use crate::error::Error;

/// Longest text, in bytes. Tempo's default: larger ones come from generators, and they should ask
/// in parts.
pub const QUERY_BYTES_MAX: usize = 128 * 1024;

/// Deepest nesting of `(` and `{`. The parser recurses for each; in a debug build a level needs up to
/// 12 KiB, so that 100 fit a 2 MiB thread stack, and no query written by a person has 20.
pub const NESTING_MAX: usize = 100;

/// Deepest tree of operators. A chain such as `a && b && c` nests as deep as it has operators, and
/// whoever walks the tree (print, fold, validate, plan, drop) recurses: 500 levels fit a 2 MiB stack
/// with 3 KiB for each, which is what a debug build needs; a release build a fifth of it.
pub const DEPTH_MAX: usize = 500;

/// Most regular expressions in one query. Compiling one may take milliseconds, and nobody waits
/// seconds to hear that a query is valid.
pub const PATTERNS_MAX: usize = 256;

/// Checks length, forbidden characters and bracket depth.
pub(crate) fn check(text: &str) -> Result<(), Error> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(Error::too_large(
            0..0,
            format!("query of {} bytes is longer than {QUERY_BYTES_MAX} bytes", text.len()),
        ));
    }
    if let Some(at) = text.find('\0') {
        return Err(Error::syntax(at..at + 1, "a query cannot contain a NUL character"));
    }
    match too_deep(text) {
        Some(span) => Err(nested_too_deep(span)),
        None => Ok(()),
    }
}

pub(crate) fn nested_too_deep(span: Span) -> Error {
    Error::too_large(span, format!("more than {NESTING_MAX} brackets inside one another"))
}

pub(crate) fn chained_too_long(span: Span) -> Error {
    Error::too_large(span, format!("more than {DEPTH_MAX} operators in a chain"))
}

/// Where the scan is.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    /// In an attribute name, outside its quotes.
    Name,
    /// Between double quotes: of a string, or of a part of a name.
    Quoted {
        in_name: bool,
    },
    Raw,
    LineComment,
    BlockComment,
}

/// The bracket that is one too many. Every character is looked at once.
fn too_deep(text: &str) -> Option<Span> {
    let mut depth = 0_usize;
    let mut state = State::Code;
    let mut before = ' ';
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|&(_, next)| next);
        let name_ends = state == State::Name && ends_name(c);
        if name_ends {
            state = State::Code;
        }
        match state {
            State::Code => match c {
                '(' | '{' => {
                    depth += 1;
                    if depth > NESTING_MAX {
                        return Some(at..at + 1);
                    }
                }
                ')' | '}' => depth = depth.saturating_sub(1),
                '"' => state = State::Quoted { in_name: false },
                '`' => state = State::Raw,
                '/' if next == Some('/') => state = State::LineComment,
                '/' if next == Some('*') => {
                    chars.next();
                    state = State::BlockComment;
                }
                '.' if before.is_alphabetic() || !next.is_some_and(|n| n.is_ascii_digit()) => {
                    state = State::Name;
                }
                _ => {}
            },
            State::Name if c == '"' => state = State::Quoted { in_name: true },
            State::Quoted { .. } if c == '\\' => {
                chars.next();
            }
            State::Quoted { in_name } if c == '"' => {
                state = if in_name { State::Name } else { State::Code };
            }
            State::Raw if c == '`' => state = State::Code,
            State::LineComment if c == '\n' => state = State::Code,
            State::BlockComment if c == '*' && next == Some('/') => {
                chars.next();
                state = State::Code;
            }
            _ => {}
        }
        before = c;
    }
    None
}

/// Whether a bare attribute name ends before `c`.
pub(crate) fn ends_name(c: char) -> bool {
    c.is_whitespace() || "{}()=~!<>&|^,".contains(c)
}
