//! Every bound, default and word of refusal.

use super::*;

/// 2025-08-12 12:00:00.5 UTC.
const NOW: u64 = 1_755_000_000_500_000_000;

fn params(query: &str) -> Params {
    Params::of(&format!("/x?{query}").parse().unwrap())
}

fn searched(query: &str) -> Result<SearchRequest, String> {
    search(&params(query), &Config::default(), NOW).map_err(|failure| failure.message)
}

const fn seconds_range(start: u64, end: u64) -> RangeInclusive<u64> {
    start * NANOS_PER_SECOND..=end * NANOS_PER_SECOND
}

fn last(seconds: u64) -> RangeInclusive<u64> {
    NOW - seconds * NANOS_PER_SECOND..=NOW
}

#[test]
fn the_first_of_several_counts_and_an_empty_one_does_not() {
    let params = params("a=1&a=2&b=&c=x+y%2Fz&d");
    assert_eq!(params.get("a"), Some("1"));
    assert_eq!(params.get("b"), None);
    assert_eq!(params.get("c"), Some("x y/z"));
    assert_eq!(params.get("d"), None);
    assert_eq!(Params::of(&"/x".parse().unwrap()), Params::default());
}

#[test]
fn nothing_after_the_cutoff_is_looked_at() {
    let cutoff = Duration::from_secs(30);
    let config = Config { query_end_cutoff: cutoff, ..Config::default() };
    let (latest, now) = (NOW - 30 * NANOS_PER_SECOND, NOW / NANOS_PER_SECOND);
    let recent = latest - 900 * NANOS_PER_SECOND..=latest;
    for (query, expected) in [
        ("q={}", recent.clone()),
        ("q={}&since=1m", latest - 60 * NANOS_PER_SECOND..=latest),
        (&format!("q={{}}&start=1754999000&end={now}"), 1_754_999_000 * NANOS_PER_SECOND..=latest),
        (&format!("q={{}}&start={}&end={now}", now - 10), recent),
        ("q={}&start=1754999000&end=1754999001", seconds_range(1_754_999_000, 1_754_999_001)),
    ] {
        let params = params(query);
        assert_eq!(search(&params, &config, NOW).unwrap().window, expected, "{query}");
        assert_eq!(tags_window(&params, &config, NOW).unwrap(), expected, "{query}");
    }
}

#[test]
fn a_search_without_anything_is_for_recent_traces() {
    let expected =
        SearchRequest { query: String::new(), window: last(900), limit: 20, spans_per_spanset: 3 };
    assert_eq!(searched(""), Ok(expected));
}

#[test]
fn a_search_takes_what_it_is_given() {
    let expected = SearchRequest {
        query: "{ name = \"a\" }".to_owned(),
        window: seconds_range(100, 200),
        limit: 5,
        spans_per_spanset: 0,
    };
    let query = "q=%7B%20name%20%3D%20%22a%22%20%7D&start=100&end=200&limit=5&spss=0&unknown=1";
    assert_eq!(searched(query), Ok(expected));
    assert_eq!(searched("spss=100000").unwrap().spans_per_spanset, 100_000);
    assert_eq!(searched("limit=262144").unwrap().limit, 262_144);
}

#[test]
fn the_window_of_a_search() {
    for (query, expected) in [
        ("start=0&end=0", last(900)),
        ("start=0", last(900)),
        ("start=0&end=604800", seconds_range(0, 604_800)),
        ("since=1h&q={}", last(3600)),
        ("since=1h&q={}&start=1&end=2", last(3600)),
        ("since=1h&tags=a%3Db", last(3600)),
        ("since=1h", last(900)),
        ("since=1h&start=1&end=2", seconds_range(1, 2)),
    ] {
        assert_eq!(searched(query).map(|request| request.window), Ok(expected), "{query}");
    }
}

#[test]
fn old_searches_become_traceql() {
    for (query, expected) in [
        ("tags=a%3Db+name%3Dx", r#"{ .a = "b" && name = "x" }"#),
        ("service.name=x&limit=5", r#"{ .service.name = "x" }"#),
        ("service.name=x&start=1&end=2", ""),
        ("service.name=x&q={}", "{}"),
        ("minDuration=100ms", "{ traceDuration >= 100000000ns }"),
        (
            "tags=a%3Db&minDuration=1s&maxDuration=1.5s",
            r#"{ .a = "b" && traceDuration >= 1000000000ns && traceDuration <= 1500000000ns }"#,
        ),
    ] {
        assert_eq!(searched(query).map(|request| request.query), Ok(expected.into()), "{query}");
    }
}

#[test]
fn a_wrong_search_is_told_why() {
    for (query, expected) in [
        ("q={}&tags=a%3Db", "invalid request: can't specify tags and q in the same query"),
        ("tags=a%3D1+a%3D2", "invalid tags: tag a has been set twice"),
        ("minDuration=2s&maxDuration=1s", "invalid maxDuration: must be greater than minDuration"),
        ("minDuration=2", "invalid minDuration: \"2\" is no duration"),
        ("limit=0", "invalid limit: must be a positive number"),
        ("limit=-1", "invalid limit: must be a positive number"),
        ("limit=x", "invalid limit: \"x\" is no whole number in range"),
        ("limit=262145", "limit 262145 exceeds max limit 262144"),
        ("limit=99999999999", "limit 99999999999 exceeds max limit 262144"),
        ("spss=-1", "invalid spss: \"-1\" is no whole number in range"),
        (
            "start=5",
            "error parsing date range: only one of start and end provided: must provide both or neither",
        ),
        (
            "end=5",
            "error parsing date range: only one of start and end provided: must provide both or neither",
        ),
        ("start=5&end=5", "http parameter start must be before end. received start=5 end=5"),
        ("start=6&end=5", "http parameter start must be before end. received start=6 end=5"),
        (
            "start=1755000000000000000&end=1",
            "invalid start: \"1755000000000000000\" is no whole number in range",
        ),
        ("start=1.5&end=3", "invalid start: \"1.5\" is no whole number in range"),
        (
            "start=1&end=604802",
            "range specified by start and end exceeds 168h0m0s. received start=1 end=604802 \
             (query_frontend.search.max_duration, or overrides: read.max_search_duration)",
        ),
        (
            "q={}&since=8d",
            "range specified by start and end exceeds 168h0m0s. received start=1754308800 end=1755000000 \
             (query_frontend.search.max_duration, or overrides: read.max_search_duration)",
        ),
        ("q={}&since=x", "invalid since: \"x\" is no duration"),
    ] {
        assert_eq!(searched(query), Err(expected.to_owned()), "{query}");
    }
}

#[test]
fn a_query_that_is_too_long_names_the_setting() {
    let config = Config { max_query_expression_size_bytes: 3, ..Config::default() };
    for query in ["q=1234", "tags=a%3Db"] {
        let failure = search(&params(query), &config, NOW).unwrap_err();
        let expected = "TraceQL expression exceeds the configured maximum size of 3 bytes \
                        (max_query_expression_size_bytes), found ";
        assert!(failure.message.starts_with(expected), "{failure}");
    }
}

#[test]
fn bounds_can_be_configured() {
    let config = Config {
        max_spans_per_span_set: 100,
        max_duration: Duration::ZERO,
        default_result_limit: 7,
        ..Config::default()
    };
    let searched = |query| search(&params(query), &config, NOW).map_err(|failure| failure.message);
    assert_eq!(searched("spss=101"), Err("spans per span set exceeds 100. received 101".into()));
    assert_eq!(searched("spss=0").unwrap().spans_per_spanset, 100);
    let all = searched("start=0&end=4294967295").unwrap();
    assert_eq!((all.limit, all.window), (7, seconds_range(0, 4_294_967_295)));
}

#[test]
fn the_window_of_a_trace_is_open_where_nothing_is_said() {
    for (query, expected) in [
        ("", Ok(None)),
        ("start=0&end=0", Ok(None)),
        ("start=5&end=6", Ok(Some(seconds_range(5, 6)))),
        ("start=5", Ok(Some(5 * NANOS_PER_SECOND..=u64::MAX))),
        ("end=5", Ok(Some(seconds_range(0, 5)))),
        ("start=-5&end=5", Ok(Some(seconds_range(0, 5)))),
        ("start=6&end=5", Err("http parameter start must be before end. received start=6 end=5")),
        ("start=x", Err("invalid start: \"x\" is no whole number in range")),
    ] {
        let found = trace_window(&params(query)).map_err(|failure| failure.message);
        assert_eq!(found, expected.map_err(str::to_owned), "{query}");
    }
}

#[test]
fn the_mode_of_a_trace_is_one_of_four() {
    for mode in ["", "ingesters", "blocks", "external", "all"] {
        assert_eq!(check_mode(&params(&format!("mode={mode}"))), Ok(()));
    }
    let refused = check_mode(&params("mode=x")).unwrap_err();
    assert_eq!(refused.message, "invalid value for mode x");
}

#[test]
fn the_window_of_tags_is_written_in_any_way() {
    let only_one = "error parsing date range: only one of start and end provided: must provide both or neither";
    for (query, expected) in [
        ("", Ok(last(900))),
        ("since=1d", Ok(last(86_400))),
        ("since=1d&start=1&end=2", Ok(last(86_400))),
        ("start=100&end=200000000000", Ok(100_000_000_000..=200_000_000_000)),
        ("start=1.5&end=2025-08-12T12:00:00Z", Ok(1_500_000_000..=1_755_000_000_000_000_000)),
        ("start=100", Err(only_one)),
        ("end=100", Err(only_one)),
        ("start=2&end=1", Err("http parameter start must be before end. received start=2 end=1")),
        ("start=x&end=1", Err("invalid start: \"x\" is no time")),
        ("since=x", Err("invalid since: \"x\" is no duration")),
    ] {
        let found = tags_window(&params(query), &Config::default(), NOW);
        let found = found.map_err(|failure| failure.message);
        assert_eq!(found, expected.map_err(str::to_owned), "{query}");
    }
}

#[test]
fn scopes_are_known_by_name() {
    for (scope, expected) in [
        ("", Ok(WantedScope::All)),
        ("none", Ok(WantedScope::All)),
        ("trace", Ok(WantedScope::Trace)),
        ("resource", Ok(WantedScope::One(TagScope::Resource))),
        ("span", Ok(WantedScope::One(TagScope::Span))),
        ("event", Ok(WantedScope::One(TagScope::Event))),
        ("link", Ok(WantedScope::One(TagScope::Link))),
        ("instrumentation", Ok(WantedScope::One(TagScope::Instrumentation))),
        ("intrinsic", Ok(WantedScope::One(TagScope::Intrinsic))),
        ("x", Err("invalid scope: x")),
    ] {
        let found = tag_scope(&params(&format!("scope={scope}")));
        let found = found.map_err(|failure| failure.message);
        assert_eq!(found, expected.map_err(str::to_owned), "{scope}");
    }
}

#[test]
fn a_count_that_is_none_is_ignored() {
    for (query, expected) in [("", 0), ("limit=5", 5), ("limit=x", 0), ("limit=-1", 0)] {
        assert_eq!(params(query).lenient_count("limit"), expected, "{query}");
    }
}
