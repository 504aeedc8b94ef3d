//! The words in which a text is refused.

use crate::{ErrorKind, parse};

/// The message in one line.
fn message(text: &str) -> String {
    let error = parse(text).map(|query| query.to_string()).expect_err(text);
    assert_eq!(error.kind, ErrorKind::Syntax, "{text}");
    let position = format!("parse error at line {}, col {}: ", error.line, error.column);
    assert_eq!(error.message(), position + &error.detail);
    error.detail
}

#[test]
fn a_message_says_what_where_and_what_would_be_right() {
    let cases = [
        ("", "the query is empty; { } selects every span"),
        (" \n ", "the query is empty; { } selects every span"),
        ("{", "unexpected end of query; expected `}` or an expression"),
        ("{ .a = 1", "unexpected end of query; expected `}` or an operator"),
        ("{ .a = }", "unexpected `}`; expected an attribute or a literal"),
        ("{ .a == 1 }", "== is not an operator; write ="),
        ("{ .a & .b }", "& is not an operator; write &&"),
        ("{ .a and .b }", "write && for and"),
        ("{ .a = 'x' }", "a string stands in double quotes or back quotes"),
        (
            "{ .a = \"x }",
            "the string has no end, or a line break inside; back quotes may span lines",
        ),
        ("{ .a = `x }", "the string in back quotes has no end"),
        ("{ .\"a }", "the quoted name has no end"),
        ("{ .\"a\\n\" }", "in the quoted part of a name, only \\\" and \\\\ are escapes"),
        ("{ nil }", "nil can only be compared, as in .a = nil and nil != .a"),
        ("{ .a > nil }", "nil can only be compared, as in .a = nil and nil != .a"),
        (
            "{ foo = 1 }",
            "unknown identifier `foo`; an attribute is written .foo or span.foo, a string \"foo\"",
        ),
        ("{ Status = ok }", "unknown word `Status`; did you mean status?"),
        ("{ id = `x` }", "`id` needs its scope: trace:id or span:id; an attribute is .id"),
        (
            "{ span:nope = 1 }",
            "span:nope does not exist; span: has duration, name, status, statusMessage, kind, id, parentID, childCount",
        ),
        (
            "{ spans.a = 1 }",
            "`spans.` is not a scope; attributes begin with . or span. resource. event. link. instrumentation.",
        ),
        (
            "{ resource:a = 1 }",
            "`resource:` has no intrinsics; trace: span: event: link: and instrumentation: have",
        ),
        (
            "{ duration > 3min }",
            "3min is neither a decimal number nor a duration, whose units are ns us µs ms s m h d w y",
        ),
        (
            "{ .a = 0x1F }",
            "0x1F is neither a decimal number nor a duration, whose units are ns us µs ms s m h d w y",
        ),
        (".a = 1", "unexpected `.a`; conditions stand in braces, such as { span.a = 1 }"),
        ("{ .a } /* x", "the comment has no end"),
        (
            "rate()",
            "rate() follows a pipe behind filters, outside all parentheses: { } | rate(...)",
        ),
        ("({} | rate())", "a metrics query alone stands without parentheses around it"),
        ("({} | rate()) > 3", "a metrics query alone stands without parentheses around it"),
        (
            "({} | rate()) | { .a }",
            "a metrics query in parentheses can be computed with, but not piped into or out of",
        ),
        (
            "({} | rate()) / {}",
            "/ cannot stand between a metrics query and a spanset filter; write a metrics query in parentheses, or a number",
        ),
        (
            "({} | rate()) % ({} | rate())",
            "% cannot stand between metrics queries; use + - * / or compare with a number",
        ),
        (
            "({} | rate()) > ({} | rate())",
            "> compares the samples of a metrics query with a number, not with another query",
        ),
        ("5 > ({} | rate())", "the metrics query stands on the left of >, the number on the right"),
        ("1 / 0 * ({} | rate())", "1 / 0 is no number that can be written"),
        (
            "{} | rate() | limit 3",
            "order by and limit are for searches; topk() and bottomk() choose series",
        ),
        (
            "{} | topk(3)",
            "topk(), bottomk() and comparisons of samples follow a metrics function, as in { } | rate() | topk(3)",
        ),
        ("traces()", "traces() cannot be the first stage; begin with a filter such as { }"),
        ("{} | order duration", "unexpected `duration`"),
        ("{} | limit 3 | order by duration", "unexpected `|`; expected the end or with (...)"),
        ("{} without", "unexpected end of query; expected a stage"),
        ("{} | rate() | count() > 1", "unexpected `count`; expected topk or bottomk"),
        ("{} | rate(.a)", "unexpected `.a`; expected `)`"),
        ("{} | nope()", "unexpected `nope`; expected a stage or a metrics function"),
        ("coalesce()", "coalesce() cannot be the first stage; begin with a filter such as { }"),
        ("{} | count()", "an aggregate needs a comparison, such as count() > 2"),
        ("{} | 3", "a value is not a stage; conditions stand in braces, such as { span.a = 1 }"),
        (
            "{} && ({} | {})",
            "&& cannot stand between a spanset filter and a pipeline in parentheses; write the pipeline first, or pipe instead of combining",
        ),
        (
            "({} | {}) && {}",
            "&& cannot stand between a pipeline in parentheses and a spanset filter; put the filter in parentheses",
        ),
        (
            "({} | {}) | {}",
            "pipelines in parentheses can be combined, but not piped into or out of",
        ),
        (
            "{} = {}",
            "= cannot stand between spansets; use && || or one of > >> < << ~ with ! or & before it",
        ),
        (
            "{} > 1",
            "> cannot stand between a spanset filter and a number; both sides must be spansets, such as { span.a }",
        ),
        ("{} with (name=1)", "unexpected `name`; expected a hint such as most_recent=true"),
        ("{} with (a=b)", "unknown identifier `b`; a string is written \"b\""),
        (
            "{\u{a0}}",
            "unexpected character U+00A0, which is not a blank here; expected `}` or an expression",
        ),
        ("{ .a = \"\\d\" }", "\\d is not an escape; write \\\\d, or the string in back quotes"),
        ("{ .a = \"\0\" }", "a query cannot contain a NUL character"),
    ];
    for (text, expected) in cases {
        assert_eq!(message(text), expected, "{text:?}");
    }
}

#[test]
fn the_caret_stands_under_what_is_to_blame() {
    let shown =
        |text: &str| parse(text).map(|query| query.to_string()).expect_err(text).to_string();
    assert_eq!(
        shown("{ span.é = foo }"),
        "parse error at line 1, col 12: unknown identifier `foo`; an attribute is written .foo or \
         span.foo, a string \"foo\"\n  { span.é = foo }\n             ^^^"
    );
    assert_eq!(
        shown("{ .a = 1\n  && == }"),
        "parse error at line 2, col 6: == is not an operator; write =\n    && == }\n       ^^"
    );
    assert_eq!(
        shown("{ .a = 1"),
        "parse error at line 1, col 9: unexpected end of query; expected `}` or an operator\n  \
         { .a = 1\n          ^"
    );
}

#[test]
fn a_long_line_is_shown_around_the_caret() {
    let text =
        format!("{{ {} = foo && {} }}", ".a + ".repeat(100) + ".a", ".b && ".repeat(100) + ".b");
    let error = parse(&text).unwrap_err();
    let shown = error.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].chars().count() <= 162, "{}", lines[1]);
    let caret = lines[2].find('^').unwrap();
    assert!(lines[1].get(caret..).unwrap().starts_with("foo"), "{shown}");
}
