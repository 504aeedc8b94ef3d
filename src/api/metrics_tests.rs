//! Parameters to requests, and series to JSON, by table.

use super::*;
use crate::api::json::to_json;
use crate::trace::TraceId;

const NOW: u64 = 1_755_000_000 * SECOND;

fn range(query: &str) -> Result<MetricsRequest, Failure> {
    let uri = format!("/?q={{}}|rate()&{query}").parse().unwrap();
    range_request(&Params::of(&uri), &Config::default(), NOW)
}

fn instant(query: &str) -> Result<MetricsRequest, Failure> {
    let uri = format!("/?query={{}}|rate()&{query}").parse().unwrap();
    instant_request(&Params::of(&uri), &Config::default(), NOW)
}

#[test]
fn the_step_follows_the_range() {
    for (range, step) in [
        (1, 50_000_000),
        (48, 200_000_000),
        (59, 200_000_000),
        (60, SECOND),
        (300, SECOND),
        (3600, 15 * SECOND),
        (3 * 3600, 45 * SECOND),
        (6 * 3600, 60 * SECOND),
        (24 * 3600, 300 * SECOND),
        (30 * 24 * 3600, 3 * 3600 * SECOND),
    ] {
        assert_eq!(default_step(range * SECOND), step, "{range}");
    }
}

#[test]
fn steps_are_durations_or_seconds() {
    for (text, step) in [
        ("15", Some(15 * SECOND)),
        ("0.5", Some(SECOND / 2)),
        ("30s", Some(30 * SECOND)),
        ("1m30s", Some(90 * SECOND)),
        ("1d", Some(86_400 * SECOND)),
        ("0", None),
        ("-5", None),
        ("-5s", None),
        ("NaN", None),
        ("x", None),
    ] {
        assert_eq!(step_of(text).ok(), step, "{text}");
    }
}

#[test]
fn ranges_by_table() {
    let all = range("start=1754990007&end=1754990037&step=10").unwrap();
    let expected = Slots::of_range(1_754_990_007 * SECOND, 1_754_990_037 * SECOND, 10 * SECOND);
    assert_eq!((all.slots, all.exemplars, all.max_series), (expected, 100, 0));
    // Without a range the last hour, without the step that is still running.
    let last = range("step=7").unwrap().slots;
    assert_eq!(last, Slots::of_range_until(NOW - 3600 * SECOND, NOW, 7 * SECOND, NOW));
    assert!(*last.window().end() <= NOW);
    let since = instant("since=5m&end=1754990000").unwrap().slots;
    assert_eq!(since, Slots::instant((1_754_990_000 - 300) * SECOND, 1_754_990_000 * SECOND));
    assert_eq!(range("exemplars=7&maxSeries=3").unwrap().exemplars, 7);
    assert_eq!(range("exemplars=700&maxSeries=3").unwrap().exemplars, 100);
    assert_eq!(range("maxSeries=3").unwrap().max_series, 3);
    assert_eq!(instant("exemplars=7").unwrap().exemplars, 0);
}

#[test]
fn refusals_say_why() {
    for (query, text) in [
        ("start=2000&end=1000", "end must be greater than start"),
        ("start=1000&end=1000", "end must be greater than start"),
        ("start=yesterday", r#"invalid start: "yesterday" is no time"#),
        ("since=1", r#"invalid since: "1" is no duration"#),
        ("step=0s", "invalid step: must be greater than 0"),
        ("step=x", r#"invalid step: "x" is no duration"#),
        (
            "start=1000&end=90000",
            "metrics query time range exceeds the maximum allowed duration of 24h0m0s \
             (query_frontend.metrics.max_duration, or overrides: read.max_metrics_duration)",
        ),
        (
            "start=1000&end=87400&step=1s",
            "step of 1s is too small, minimum step for given range is 8.64s",
        ),
    ] {
        assert_eq!(range(query).unwrap_err().message, text, "{query}");
    }
    assert!(instant("start=1000&end=90000").is_err());
}

fn series() -> Series {
    Series {
        labels: vec![
            ("span.a".into(), Value::String("x".into())),
            ("span.b".into(), Value::Int(1)),
            ("p".into(), Value::Double(0.5)),
        ],
        samples: vec![(10_000, 1.5), (20_000, 0.0), (30_000, f64::INFINITY)],
        exemplars: vec![crate::traceql::Exemplar {
            trace: TraceId(0xab12_u128.to_be_bytes()),
            timestamp_ms: 10_123,
            value: 0.5,
        }],
    }
}

const LABELS: &str = concat!(
    r#"[{"key":"span.a","value":{"stringValue":"x"}},{"key":"span.b","value":{"intValue":"1"}},"#,
    r#"{"key":"p","value":{"doubleValue":0.5}}]"#,
);

#[test]
fn series_are_written_by_the_protobuf_json_rules() {
    let cost = Cost { inspected_spans: 20_113, jobs: 2, ..Cost::default() };
    let answer = MetricsAnswer { series: vec![series()], is_cut: true, cost };
    let (status, message) = status(&answer, 1);
    let metrics = metrics_of_all(&cost);
    let message = QueryRangeResponse { series: Vec::new(), metrics, status, message };
    let written = range_json(answer.series, &message);
    let expected = format!(
        "{}{LABELS}{}",
        r#"{"series":[{"labels":"#,
        concat!(
            r#","samples":[{"timestampMs":"10000","value":1.5},{"timestampMs":"20000"},"#,
            r#"{"timestampMs":"30000","value":"Infinity"}],"exemplars":[{"labels":[{"key":"trace:id","#,
            r#""value":{"stringValue":"ab12"}}],"value":0.5,"timestampMs":"10123"}]}],"#,
            r#""metrics":{"completedJobs":2,"totalJobs":2,"inspectedSpans":"20113"},"status":"PARTIAL","#,
            r#""message":"Response exceeds maximum series limit of 1, a partial response is returned."}"#,
        )
    );
    assert_eq!(String::from_utf8(written).unwrap(), expected);
}

#[test]
fn series_are_written_as_their_messages_are() {
    let label = |key: &str, value| (key.to_owned(), value);
    let text = |text: &str| Value::String(text.to_owned());
    let labels = [
        vec![],
        vec![label("a", text("")), label("b", text("plain"))],
        vec![label("", text("no key")), label("<é>", text("\u{2028}\"\\\n&"))],
        vec![label("i", Value::Int(-1)), label("d", Value::Double(1e-9)), label("n", Value::Empty)],
    ];
    let samples = [
        vec![],
        vec![(0, 0.0)],
        vec![(0, 7.0), (1, -0.0), (10, -3.0), (123_456_789_012_345, 0.1)],
        vec![(1, f64::INFINITY), (2, f64::NEG_INFINITY), (3, 1e22), (4, 9e15), (5, 8_999_999e9)],
    ];
    let with = |labels: &Vec<_>, samples: &Vec<_>, exemplars| Series {
        labels: labels.clone(),
        samples: samples.clone(),
        exemplars,
    };
    let mut all: Vec<Series> = labels
        .iter()
        .flat_map(|labels| samples.iter().map(|samples| with(labels, samples, Vec::new())))
        .collect();
    all.push(series());
    for count in [0, 1, all.len()] {
        let series = &all[..count];
        let mut message = QueryRangeResponse { status: 1, ..QueryRangeResponse::default() };
        let written = range_json(series.to_vec(), &message);
        message.series = series.iter().cloned().map(TimeSeries::from).collect();
        assert_eq!(String::from_utf8(written), String::from_utf8(to_json(&message)));
    }
}

#[test]
fn an_instant_series_has_one_value() {
    let told = |series| String::from_utf8(to_json(&instant_series(series).unwrap())).unwrap();
    assert_eq!(told(series()), format!(r#"{{"labels":{LABELS},"value":1.5}}"#));
    let zero = Series { labels: Vec::new(), samples: vec![(1, 0.0)], exemplars: Vec::new() };
    assert_eq!(told(zero.clone()), r#"{"labels":[]}"#);
    assert_eq!(instant_series(Series { samples: Vec::new(), ..zero }), None);
}
