//! Hostile texts: deep, long, and both. They are refused with words or read quickly, on the stack of
//! an ordinary thread.

use std::thread;
use std::time::{Duration, Instant};
use traceql_grammar::{
    DEPTH_MAX, ErrorKind, NESTING_MAX, PATTERNS_MAX, QUERY_BYTES_MAX, fold, parse, parse_attribute,
    parse_lenient, parse_valid,
};

/// What a tokio worker has, and a test too.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Far above what is needed (milliseconds), far below what one doubling a level would take.
const SLOW: Duration = Duration::from_secs(5);

/// Measures what this thread does: its CPU time where Linux tells it, so that a busy machine does not count.
struct Clock {
    cpu: Option<Duration>,
    wall: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { cpu: Self::cpu(), wall: Instant::now() }
    }

    fn cpu() -> Option<Duration> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }

    fn elapsed(&self) -> Duration {
        match (self.cpu, Self::cpu()) {
            (Some(start), Some(now)) => now.saturating_sub(start),
            _ => self.wall.elapsed(),
        }
    }
}

/// Reads the text in every way on a stack of [`STACK_BYTES`], walks and drops the tree, and returns
/// the kind of the refusal.
fn read(text: String) -> Option<ErrorKind> {
    let reader = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let started = Clock::start();
        let result = parse_valid(&text);
        drop(parse_lenient(&text));
        drop(parse_attribute(&text));
        let took = started.elapsed();
        assert!(took < SLOW, "took {took:?}");
        match result {
            Ok(query) => {
                let printed = query.to_string();
                assert_eq!(query.clone(), query);
                // Every operator brought a pair of parentheses: too deep to be read again.
                assert!(!printed.is_empty());
                None
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                Some(error.kind)
            }
        }
    });
    reader.expect("a thread").join().expect("no panic")
}

fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn the_deepest_nesting_is_read_in_every_place_where_parentheses_may_open() {
    let deep = NESTING_MAX - 1;
    assert_eq!(read(format!("{{ {} }}", nested("(", ".a", ")", deep))), None);
    assert_eq!(read(nested("(", "{ .a }", ")", deep)), None);
    assert_eq!(read(nested("(", "{} | { .a }", ")", deep)), None);
    assert_eq!(read(format!("{{}} | {} > 1", nested("(", "count()", ")", deep - 1))), None);
    assert_eq!(read(format!("{{ {} }}", nested("!(", ".a", ")", deep))), None);
    assert_eq!(read(format!("{{ {} }}", nested(".b && (", ".a", ")", deep))), None);
    // Aggregated pipelines, and texts that fail only at the end.
    let unsupported = format!("{} > 1", nested("(", "{} | count()", ")", deep));
    assert_eq!(read(unsupported), Some(ErrorKind::Unsupported));
    assert_eq!(read(nested("(", "{ .a", ")", deep)), Some(ErrorKind::Syntax));
    assert_eq!(read(format!("{{ {} }}", nested("(", ".a =", ")", deep))), Some(ErrorKind::Syntax));
}

#[test]
fn one_bracket_too_many_is_refused_before_anything_recurses() {
    let deep = NESTING_MAX + 1;
    for text in [
        nested("(", "{ .a }", ")", deep),
        format!("{{ {} }}", nested("(", ".a", ")", deep)),
        "(".repeat(QUERY_BYTES_MAX),
        "{(".repeat(QUERY_BYTES_MAX / 2),
        "{ .a = 1. (".repeat(1000),
    ] {
        assert_eq!(read(text), Some(ErrorKind::TooLarge));
    }
}

#[test]
fn brackets_in_strings_names_and_comments_do_not_nest() {
    let brackets = "(".repeat(500);
    for text in [
        format!("{{ .a = \"{brackets}\" }}"),
        format!("{{ .a = \"\\\"{brackets}\" }}"),
        format!("{{ .a = `{brackets}` }}"),
        format!("{{ .a.\"{brackets}\" = 1 }}"),
        format!("{{ span.\"\\\"{brackets}\" = 1 }}"),
        format!("{{ .a`b = 1 }} // {brackets}"),
        format!("{{ /* {brackets} */ .a }}"),
        format!("{{ .a//b = 1 }} // {brackets}"),
    ] {
        assert_eq!(read(text), None);
    }
}

#[test]
fn the_longest_chain_is_read_and_one_more_is_refused() {
    let chains = [
        ("{ .a", " && .a", " }"),
        ("{ .a", " || .a = 1", " }"),
        ("{ .a", " + 1", " = 1 }"),
        ("{ .a", " ^ .b", " = 1 }"),
        ("{ .a", " * 2 ^ .b", " = 1 }"),
        ("{ 1", " + 1", " = 1 }"),
        ("{ 2", " ^ 1", " = 1 }"),
        ("{", " !", " .a }"),
        ("{", " -", " .a = 1 }"),
        ("{", " - !", " .a }"),
        ("{", " nil = ", " .a }"),
        ("{ .a", " = nil", " }"),
        ("{}", " && {}", ""),
        ("{}", " > {}", ""),
        ("({} | {})", " || ({})", ""),
        ("({} | {})", " ~ ({} | by(.a))", ""),
        ("{} | count()", " + 1", " > 1"),
    ];
    for (before, link, after) in chains {
        // What each link adds to the depth; what stands around the chain adds at most three.
        let each = match link {
            " * 2 ^ .b" | " - !" => 2,
            _ => 1,
        };
        let text = format!("{before}{}{after}", link.repeat((DEPTH_MAX - 3) / each));
        let refused = read(text);
        assert_ne!(refused, Some(ErrorKind::TooLarge), "{link}");
        assert_ne!(refused, Some(ErrorKind::Syntax), "{link}");
        let text = format!("{before}{}{after}", link.repeat(DEPTH_MAX + 2));
        assert_eq!(read(text), Some(ErrorKind::TooLarge), "{link}");
    }
    // Many comparisons are no deep tree, and many filters are none at all.
    let ids = " || trace:id = `0af7651916cd43dd8448eb211c80319c`".repeat(DEPTH_MAX - 1);
    assert_eq!(read(format!("{{ false{ids} }}")), None);
    assert_eq!(read(format!("{{}}{}", "|{.a && .b}".repeat(DEPTH_MAX * 2))), None);
}

#[test]
fn a_long_pipeline_does_not_nest() {
    assert_eq!(read(format!("{{}}{}", "|{}".repeat(8_000))), None);
    assert_eq!(read(format!("{{}}{}", "|by(.a)".repeat(4_000))), None);
    assert_eq!(read(format!("{{}} | select(.a{})", ",.a".repeat(8_000))), None);
    assert_eq!(read(format!("{{}}{}", "with(a=1)".repeat(3_000))), None);
}

#[test]
fn a_query_holds_so_many_regular_expressions_and_no_more() {
    let query = |count| format!("{{}}{}", "|{.a=~`a.*b`}".repeat(count));
    assert_eq!(read(query(PATTERNS_MAX)), None);
    assert_eq!(read(query(PATTERNS_MAX + 1)), Some(ErrorKind::TooLarge));
}

#[test]
fn a_text_is_refused_by_its_length_alone() {
    let blanks = |count: usize| format!("{{{}}}", " ".repeat(count));
    assert_eq!(read(blanks(QUERY_BYTES_MAX - 2)), None);
    assert_eq!(read(blanks(QUERY_BYTES_MAX - 1)), Some(ErrorKind::TooLarge));
}

#[test]
fn folding_again_changes_nothing() {
    let query = parse("{ 1 + 1 = 2 && .a > 2 * 3 }").unwrap();
    let traceql_grammar::ast::Stage::Spansets(traceql_grammar::ast::SpansetExpr::Filter(expr)) =
        query.into_pipeline().unwrap().stages.into_iter().next().unwrap()
    else {
        panic!("one filter")
    };
    assert_eq!(expr.to_string(), "true && (.a > 6)");
    assert_eq!(fold(expr.clone()), expr);
}

#[test]
fn long_tokens_and_junk_take_linear_time() {
    let half = QUERY_BYTES_MAX / 8;
    for text in [
        "{".to_owned() + &".".repeat(half),
        format!("{{ .a = \"{}", "\\".repeat(half)),
        format!("{{ .a = {} }}", "1".repeat(half)),
        format!("{{ .a = 0.{} }}", "1".repeat(half)),
        format!("{{ .a = 0x{}p1 }}", "f".repeat(1000)),
        format!("{{ .a = {} }}", "1s".repeat(half / 2)),
        format!("{{ .a =~ `{}` }}", "{".repeat(half)),
        format!("{{ .a =~ `{}` }}", "[".repeat(half)),
        format!("{{ .a =~ `{}` }}", "[[:".repeat(half / 3)),
        format!("{{ .a =~ `{}` }}", "(".repeat(half)),
        format!("{{ .a =~ `{}` }}", "a{1000}".repeat(half / 7)),
        "/*".repeat(half),
        "//".repeat(half),
        "a ".repeat(half),
        "{ .a = ".repeat(NESTING_MAX),
        "span.".repeat(half / 5),
        "nil = ".repeat(half / 6),
        "{ nil ".repeat(NESTING_MAX),
        "\u{FEFF}".repeat(half / 3),
    ] {
        read(text);
    }
}

/// What hostile texts repeat: what opens, and what stands before a value; one alone, and in pairs.
const REPEATED: [&str; 16] =
    ["(", "!", "-", "{", "({", "{(", "!-", "-!", "(!", "!(", "-(", "(-", "{!", "{-", "- ", "! "];

/// How often each of them is repeated, and until the longest query is full.
const TIMES: usize = 10_000;

/// For one text, in a debug build. A release build reads and refuses it in a tenth of a second.
const REPEATED_SLOW: Duration = Duration::from_secs(1);

/// On a stack of [`STACK_BYTES`]: the kind of the refusal, and how long it took.
fn timed(text: String) -> (Option<ErrorKind>, Duration) {
    let reader = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let started = Clock::start();
        let refused = parse_valid(&text).err().map(|error| error.kind);
        drop(parse_attribute(&text));
        (refused, started.elapsed())
    });
    reader.expect("a thread").join().expect("no panic")
}

/// Refused for its size or as no query, and soon enough. Returns how long it took, and which it was.
fn refused_at_once(text: String) -> (Duration, String) {
    let start: String = text.chars().take(16).collect();
    let title = format!("{start:?}… of {} bytes", text.len());
    assert!(text.len() <= QUERY_BYTES_MAX, "{title} is refused by its length alone");
    let (refused, took) = timed(text);
    assert!(
        matches!(refused, Some(ErrorKind::Syntax | ErrorKind::TooLarge)),
        "{title}: {refused:?}"
    );
    assert!(took < REPEATED_SLOW, "{title} took {took:?}");
    (took, title)
}

#[test]
fn ten_thousand_openers_or_128_kib_of_them_are_refused_at_once_on_a_small_stack() {
    let mut slowest = (Duration::ZERO, String::new());
    for repeated in REPEATED {
        let room = QUERY_BYTES_MAX - "{ .a = 1 }".len();
        for run in [repeated.repeat(TIMES), repeated.repeat(room / repeated.len())] {
            for text in [
                run.clone(),
                format!("{{{run}"),
                format!("{{{run}.a}}"),
                format!("{{ {run}.a = 1 }}"),
                format!("{{.a = {run}1}}"),
                format!("{{}} | {run}"),
            ] {
                slowest = slowest.max(refused_at_once(text));
            }
        }
    }
    eprintln!("the slowest took {:?}: {}", slowest.0, slowest.1);
}

#[test]
fn ten_thousand_openers_leave_no_condition_and_need_a_small_stack() {
    for repeated in ["(", "!", "-", "{", "!-", "(!"] {
        let run = repeated.repeat(TIMES);
        for text in [format!("{{{run}"), format!("{{ .b = 2 && {run}.a = 1")] {
            read(text);
        }
    }
}
