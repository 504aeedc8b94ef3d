//! TraceQL: text to a typed tree with positions, and back.

pub mod ast;
mod error;
mod expr;
mod fold;
mod lenient;
mod limits;
mod literals;
mod metrics;
mod parse;
mod print;
pub mod re2;
mod spansets;
mod syntax;
mod types;
mod validate;
mod words;

pub use error::{Error, ErrorKind};
pub use fold::{binary as fold_binary, fold, int_arithmetic, int_power, unary as fold_unary};
pub use limits::{DEPTH_MAX, NESTING_MAX, PATTERNS_MAX, QUERY_BYTES_MAX};
pub use print::{go_duration, go_float};
pub use types::Type;
pub use validate::{METRICS_BY_MAX, METRICS_QUERIES_MAX};

use ast::{Attribute, FieldExpr, Query};

/// Reads a query: its syntax, constants folded. Types and numbers are for [`validate`].
///
/// # Errors
///
/// [`ErrorKind::Syntax`] and [`ErrorKind::TooLarge`], with the text attached.
pub fn parse(text: &str) -> Result<Query, Error> {
    parse::query(text).map_err(|error| error.with_text(text))
}

/// Reads the name of an attribute or intrinsic in any of its spellings, such as `span.x` or
/// `trace:duration`.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_attribute(text: &str) -> Result<Attribute, Error> {
    parse::attribute(text).map_err(|error| error.with_text(text))
}

/// Whether a query makes sense: types, patterns, numbers in range, parts that are evaluated. The
/// first violation wins.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] and [`ErrorKind::Unsupported`]. The tree has no text: attach it by
/// [`Error::with_text`] to get a line, a column and a caret.
pub fn validate(query: &Query) -> Result<(), Error> {
    validate::query(query)
}

/// [`parse`] and [`validate`].
///
/// # Errors
///
/// Of both, with the text attached.
///
/// ```
/// let error = traceql_grammar::parse_valid("{ name = 3 }").unwrap_err();
/// assert_eq!(
///     error.message(),
///     "binary operations must operate on the same type: name is a string, 3 is an int"
/// );
/// assert_eq!((error.line, error.column), (1, 3));
/// ```
pub fn parse_valid(text: &str) -> Result<Query, Error> {
    let query = parse(text)?;
    validate(&query).map_err(|error| error.with_text(text))?;
    Ok(query)
}

/// The condition of the one filter that a half-typed query begins with, or `None` when nothing in it
/// limits the spans. For the completion of tags: comparisons without a value, connectors without a
/// neighbour and whatever is unfinished do not count.
///
/// The condition is valid. What is true of every span is left out of it, and a bare attribute counts
/// as such, being the beginning of a comparison. A text of more than 16 KiB has none.
///
/// ```
/// let condition = traceql_grammar::parse_lenient("{ span.a = 1 && span.b = ").unwrap();
/// assert_eq!(condition.to_string(), "span.a = 1");
/// ```
pub fn parse_lenient(text: &str) -> Option<FieldExpr> {
    lenient::filter(text)
}
