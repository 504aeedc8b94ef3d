//! What is wrong with a text, where, and what would be right.

use crate::ast::Span;
use std::fmt;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The text is not TraceQL.
    Syntax,
    /// The text is TraceQL, but its types or numbers make no sense.
    Invalid,
    /// The text is TraceQL that nobody evaluates yet.
    Unsupported,
    /// The text is longer or deeper than we are willing to read.
    TooLarge,
}

/// Why a query was refused.
///
/// [`fmt::Display`] gives the message, the source line and a caret line below it;
/// [`Error::message`] the first of these only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    pub kind: ErrorKind,
    /// The reason alone, without a position.
    pub detail: String,
    /// The byte range that is to blame. Empty at `0` when the whole query is.
    pub span: Span,
    /// The line of `span.start`, from 1. Zero as long as the text is unknown.
    pub line: usize,
    /// The column of `span.start` in characters, from 1. Zero as long as the text is unknown.
    pub column: usize,
    /// The query. Empty when [`crate::validate`] was called without [`Error::with_text`].
    pub text: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, span: Span, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), span, line: 0, column: 0, text: String::new() }
    }

    pub(crate) fn syntax(span: Span, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Syntax, span, detail)
    }

    pub(crate) fn invalid(span: Span, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, span, detail)
    }

    /// `what` is the thing that nobody evaluates yet, such as `parent`.
    pub(crate) fn unsupported(span: Span, what: &str) -> Self {
        Self::new(ErrorKind::Unsupported, span, format!("{what} not yet supported"))
    }

    pub(crate) fn too_large(span: Span, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, span, detail)
    }

    /// Attaches the text that the tree was parsed from, which gives the line, the column and the
    /// caret. An error that already has its text keeps it.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Self {
        if self.line > 0 {
            return self;
        }
        let before = text.get(..self.span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.line = before.matches('\n').count() + 1;
        self.column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
        text.clone_into(&mut self.text);
        self
    }

    /// The message in one line, without the source line and the caret.
    pub fn message(&self) -> String {
        match self.kind {
            ErrorKind::Syntax if self.line > 0 => {
                format!("parse error at line {}, col {}: {}", self.line, self.column, self.detail)
            }
            ErrorKind::Syntax => format!("parse error: {}", self.detail),
            ErrorKind::Invalid | ErrorKind::Unsupported | ErrorKind::TooLarge => {
                self.detail.clone()
            }
        }
    }

    /// The line of the text that the caret stands under; control characters shown as blanks.
    fn source_line(&self) -> Option<String> {
        let line = self.text.split('\n').nth(self.line.checked_sub(1)?)?;
        Some(line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }
}

/// Longest source line that is shown, in characters: a log line, not a page.
const SOURCE_LINE_CHARS_MAX: usize = 160;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        if self.span.is_empty() && self.kind != ErrorKind::Syntax {
            return Ok(());
        }
        let Some(line) = self.source_line() else { return Ok(()) };
        let column = self.column.saturating_sub(1);
        // A window of a long line, with the column in its first half.
        let skip = column.saturating_sub(SOURCE_LINE_CHARS_MAX / 2);
        let shown: String = line.chars().skip(skip).take(SOURCE_LINE_CHARS_MAX).collect();
        let blamed = self.text.get(self.span.clone()).unwrap_or("");
        let blamed_on_line = blamed.split('\n').next().unwrap_or("").chars().count();
        let room = shown.chars().count().saturating_sub(column - skip);
        let carets = blamed_on_line.min(room).max(1);
        write!(f, "\n  {shown}\n  {:indent$}{:^<carets$}", "", "", indent = column - skip)
    }
}
