//! Metrics queries over batches built by hand.

use super::super::testing::{TestSpan, batch, projected, span, text, texts};
use super::*;
use crate::trace::Value;

const S: u64 = 1_000_000_000;

/// Three slots that end at 10, 20 and 30 seconds.
fn slots() -> Slots {
    Slots::of_range(10 * S, 30 * S, 10 * S)
}

/// A span that starts so many seconds in, and lasts so many milliseconds.
fn at(id: u64, second: u64, millis: u64) -> TestSpan {
    span(id, 0).at(second * S, millis * 1_000_000)
}

fn observed(query: &MetricsQuery, traces: &[Vec<TestSpan>], samples_max: usize) -> Partial {
    let mut partial = query.partial(slots(), 10, samples_max);
    let batch = projected(&batch(traces), query.projection());
    let ask = MetricsAsk { is_wanted: &|_| true };
    query.observe(&batch, &ask, &mut partial).unwrap();
    partial
}

fn series(query: &str, traces: &[Vec<TestSpan>]) -> Vec<Series> {
    let query = compile_metrics(query).unwrap().expect("a metrics query");
    query.finish(observed(&query, traces, 10_000))
}

/// Labels, and the value of each slot; `-` where there is none.
fn told(query: &str, traces: &[Vec<TestSpan>]) -> Vec<String> {
    series(query, traces).iter().map(tell).collect()
}

fn tell(series: &Series) -> String {
    let value = |value: &Value| match value {
        Value::String(text) => format!("{text:?}"),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => format!("{value:?}"),
        other => format!("{other:?}"),
    };
    let labels = series.labels.iter().map(|(key, of)| format!("{key}={}", value(of)));
    let samples = [10_000, 20_000, 30_000].map(|stamp| {
        let sample = series.samples.iter().find(|(at, _)| *at == stamp);
        sample.map_or("-".to_owned(), |(_, value)| value.to_string())
    });
    format!("{} {}", labels.collect::<Vec<_>>().join(","), samples.join(" "))
}

fn numbers() -> Vec<Vec<TestSpan>> {
    vec![
        vec![
            at(1, 1, 500).with("x", Value::Int(4)).with("g", text("a")).named("one"),
            at(2, 2, 1500).with("x", Value::Double(0.5)).with("g", text("b")).named("one"),
            at(3, 3, 1).with("g", text("a")).named("two"),
        ],
        vec![
            at(4, 10, 250).with("x", text("no number")).with("g", text("a")).status(2),
            at(5, 11, 250).with("x", Value::Int(-2)).with("g", Value::Int(7)),
            // Not in any slot.
            at(6, 31, 10_000).with("x", Value::Int(1000)),
        ],
    ]
}

#[test]
fn functions_by_table() {
    for (query, expected) in [
        ("{} | rate()", &[r#"__name__="rate" 0.4 0.1 0"#][..]),
        ("{} | count_over_time()", &[r#"__name__="count_over_time" 4 1 0"#]),
        ("{ false } | rate()", &[r#"__name__="rate" 0 0 0"#]),
        ("{ false } | rate() by (name)", &[]),
        ("{ status = error } | count_over_time()", &[r#"__name__="count_over_time" 1 0 0"#]),
        ("{} | min_over_time(span.x)", &[r#"__name__="min_over_time" 0.5 -2 -"#]),
        ("{} | max_over_time(span.x)", &[r#"__name__="max_over_time" 4 -2 -"#]),
        ("{} | sum_over_time(span.x)", &[r#"__name__="sum_over_time" 4.5 -2 -"#]),
        ("{} | avg_over_time(.x)", &[r#"__name__="avg_over_time" 2.25 -2 -"#]),
        ("{} | sum_over_time(name)", &[]),
        ("{} | max_over_time(duration)", &[r#"__name__="max_over_time" 1.5 0.25 -"#]),
        ("{} | max_over_time(traceDuration)", &[r#"__name__="max_over_time" 31 31 -"#]),
        ("{} | min_over_time(parent.a)", &[]),
        (
            "{ name != `` } | histogram_over_time(duration)",
            &[
                "__bucket=0.001048576 1 0 0",
                "__bucket=0.536870912 1 0 0",
                "__bucket=2.147483648 1 0 0",
            ],
        ),
        // Only whole numbers from 2 on.
        ("{} | histogram_over_time(span.x)", &["__bucket=4.0 1 0 0"]),
        ("{} | quantile_over_time(span.x, 1, .5, 1.0)", &["p=0.5 4 0 0", "p=1.0 4 0 0"]),
        ("{} | quantile_over_time(name, .5)", &[]),
        ("{} >> {} | rate()", &[r#"__name__="rate" 0 0 0"#]),
    ] {
        assert_eq!(told(query, &numbers()), expected, "{query}");
    }
}

#[test]
fn labels_by_table() {
    let traces = vec![vec![
        at(1, 1, 1).with("a", text("x")).service("shop").kind(3),
        at(2, 2, 2).with("a", text("x")).with("b", Value::Int(1)).service("shop").kind(2),
        at(3, 3, 3).with("a", text("nil")).resource("a", text("r")),
        at(4, 4, 1).with("b", text("1")).service("pay").resource("a", text("r")),
        at(5, 5, 1).with("b", Value::Bool(true)).with("a", texts(&["p", "q"])),
        at(6, 6, 1).with("b", Value::Double(1.0)).with("a", texts(&["x"])),
    ]];
    let count = |by: &str| told(&format!("{{}} | count_over_time() by ({by})"), &traces);
    assert_eq!(
        count("resource.service.name"),
        [
            r#"resource.service.name="" 3 0 0"#,
            r#"resource.service.name="pay" 1 0 0"#,
            r#"resource.service.name="shop" 2 0 0"#,
        ]
    );
    assert_eq!(
        count("span.b"),
        [
            "span.b=1 1 0 0",
            "span.b=1.0 1 0 0",
            "span.b=Bool(true) 1 0 0",
            r#"span.b="1" 1 0 0"#,
            r#"span.b="nil" 2 0 0"#,
        ]
    );
    // A text `nil` and a missing value are told as the same. An array of one is its element.
    assert_eq!(
        count("span.a"),
        [
            r#"span.a=Array([String("p"), String("q")]) 1 0 0"#,
            r#"span.a="nil" 2 0 0"#,
            r#"span.a="x" 3 0 0"#,
        ]
    );
    assert_eq!(
        count(".a"),
        [
            r#".a=Array([String("p"), String("q")]) 1 0 0"#,
            r#".a="nil" 1 0 0"#,
            r#".a="r" 1 0 0"#,
            r#".a="x" 3 0 0"#,
        ]
    );
    assert_eq!(
        count("span.no, kind"),
        [r#"kind="client" 1 0 0"#, r#"kind="server" 1 0 0"#, r#"kind="unspecified" 4 0 0"#]
    );
    assert_eq!(count("span.no, parent.x"), [r#"span.no="nil" 6 0 0"#]);
    assert_eq!(
        count("duration"),
        [r#"duration="1ms" 4 0 0"#, r#"duration="2ms" 1 0 0"#, r#"duration="3ms" 1 0 0"#]
    );
    assert_eq!(count("rootName, span.no"), [r#"rootName="" 6 0 0"#]);
    // Other labels: none of `nil`, the own one last.
    assert_eq!(
        told("{ span.b != nil } | quantile_over_time(duration, 1) by (span.a, span.no)", &traces),
        [
            "p=1.0 0.001048576 0 0",
            r#"span.a=Array([String("p"), String("q")]),p=1.0 0.001048576 0 0"#,
            r#"span.a="x",p=1.0 0.002097152 0 0"#,
        ]
    );
}

#[test]
fn a_value_that_no_counted_span_has_makes_no_series() {
    let array = r#"span.a=Array([String("p"), String("q")])"#;
    let traces = vec![vec![at(1, 1, 1).with("a", texts(&["p", "q"])), at(2, 2, 1)]];
    let told = told("{ span.a = \"q\" } | count_over_time() by (span.a)", &traces);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with(array), "{told:?}");
}

#[test]
fn second_stages_run_over_the_whole_answer() {
    for (query, expected) in [
        ("{} | count_over_time() by (span.g) > 1", &[r#"span.g="a" 3 - -"#][..]),
        (
            "{} | count_over_time() by (span.g) | topk(1)",
            &["span.g=7 - 1 0", r#"span.g="a" 3 - -"#],
        ),
        ("{} | count_over_time() by (span.g) | topk(1) > 1", &[r#"span.g="a" 3 - -"#]),
        (
            "{} | max_over_time(duration) by (name) >= 250ms | bottomk(1)",
            &[r#"name="" 0.25 0.25 -"#],
        ),
    ] {
        let kept = told(query, &numbers());
        assert_eq!(kept, expected, "{query}");
    }
}

#[test]
fn an_answer_does_not_depend_on_how_spans_come() {
    let traces = [
        numbers().remove(0),
        numbers().remove(1),
        vec![at(7, 15, 3).with("x", Value::Double(0.1)).with("g", text("c"))],
        vec![at(8, 15, 4).with("x", Value::Double(0.2)).with("g", text("c"))],
        vec![at(9, 15, 4).with("x", Value::Double(0.3)).with("g", text("a"))],
    ];
    for query in [
        "{} | rate() by (span.g, name)",
        "{} | sum_over_time(span.x)",
        "{} | avg_over_time(span.x) by (span.g)",
        "{} | min_over_time(span.x) by (span.g)",
        "{} | max_over_time(span.x) by (span.g)",
        "{} | quantile_over_time(duration, .3, .9) by (span.g)",
        "{} | histogram_over_time(duration)",
        "{} | compare({ span.g = `a` })",
    ] {
        let query = compile_metrics(query).unwrap().unwrap();
        // The ids of traces come from their place: here all have the first.
        let of = |order: &[usize]| {
            let mut whole = query.partial(slots(), 10, 10_000);
            for index in order {
                let part = observed(&query, std::slice::from_ref(&traces[*index]), 10_000);
                whole.merge(part).unwrap();
            }
            query.finish(whole)
        };
        let forth = of(&[0, 1, 2, 3, 4]);
        assert_eq!(forth, of(&[4, 3, 2, 1, 0]));
        assert_eq!(forth, of(&[2, 0, 4, 1, 3]));
        assert!(!forth.is_empty());
    }
}

#[test]
fn exemplars_have_the_value_that_is_measured_or_that_of_their_sample() {
    let exemplars = |query: &str| -> Vec<(u64, f64)> {
        let found = series(query, &numbers());
        let all = found.iter().flat_map(|series| &series.exemplars);
        all.map(|one| (one.timestamp_ms, one.value)).collect()
    };
    assert_eq!(exemplars("{} | count_over_time()"), [(1000, 4.0), (11_000, 1.0)]);
    assert_eq!(exemplars("{ name = `one` } | max_over_time(duration)"), [(1000, 0.5)]);
    assert_eq!(exemplars("{} | sum_over_time(span.x)"), [(1000, 4.0), (11_000, -2.0)]);
    assert_eq!(exemplars("{} | count_over_time() > 1"), [(1000, 4.0)]);
    assert_eq!(exemplars("{} | histogram_over_time(span.x)"), [(1000, 1.0)]);
    for (hint, expected) in [("2", Some(2)), ("false", Some(0)), ("true", None)] {
        let query = format!("{{}} | rate() with (exemplars={hint})");
        assert_eq!(compile_metrics(&query).unwrap().unwrap().exemplars(), expected, "{hint}");
    }
}

#[test]
fn compare_counts_each_value_on_both_sides() {
    let traces = [vec![
        at(1, 1, 1).named("a").with("x", Value::Int(1)).service("shop").status(2),
        at(2, 2, 1).named("a").with("x", Value::Int(2)).service("shop"),
        at(3, 12, 1).named("b").with("x", Value::Int(2)).service("shop").resource("n", text("1")),
        at(4, 13, 1).named("c").with("y", texts(&["p"])).scope("lib", "2"),
    ]];
    let of = |query: &str| {
        let query = compile_metrics(query).unwrap().unwrap();
        let mut partial = query.partial(slots(), 10, 10_000);
        let keys: std::collections::BTreeSet<String> = ["x", "y", "z"].map(str::to_owned).into();
        let mut projection = query.projection().clone();
        projection.attributes.extend(keys.iter().cloned());
        let batch = projected(&batch(&traces), &projection);
        let ask = MetricsAsk { is_wanted: &|_| true };
        let seen = query.observe(&batch, &ask, &mut partial).unwrap();
        let Observed::Compared(spans) = seen else { panic!("{seen:?}") };
        assert_eq!(spans.rows(), [0, 1, 2, 3]);
        partial.observe_attributes(&batch.attributes, &spans).unwrap();
        let told: Vec<String> = query.finish(partial).iter().map(tell).collect();
        told.into_iter().map(|line| line.replace("__meta_type=", "")).collect::<Vec<_>>()
    };
    let all = of("{} | compare({ status = error }, 1)");
    for expected in [
        r#""baseline",name="a" 1 0 0"#,
        r#""baseline_total",name="nil" 1 2 0"#,
        r#""selection",name="a" 1 0 0"#,
        r#""selection_total",name="nil" 1 0 0"#,
        r#""baseline",span.x=2 1 1 0"#,
        r#""baseline_total",span.x="nil" 1 1 0"#,
        r#""selection",span.x=1 1 0 0"#,
        r#""baseline",span.y="p" 0 1 0"#,
        r#""baseline",resource.n="1" 0 1 0"#,
        r#""baseline",resource.service.name="shop" 1 1 0"#,
        r#""baseline_total",resource.service.name="nil" 1 2 0"#,
        r#""selection",status="error" 1 0 0"#,
        r#""baseline",instrumentation:name="" 1 1 0"#,
    ] {
        assert!(all.contains(&expected.to_owned()), "{expected} of {all:#?}");
    }
    assert!(!all.iter().any(|line| line.contains("name=\"b\"") || line.contains("span.z")));
    // Only spans that start in the window can be selected.
    let later = of("{} | compare({ true }, 10, 2000000000, 12000000000)");
    assert!(later.contains(&r#""selection_total",name="nil" 0 1 0"#.to_owned()), "{later:#?}");
}

#[test]
fn too_many_samples_are_refused() {
    let query = compile_metrics("{} | rate() by (span.g)").unwrap().unwrap();
    let mut partial = query.partial(slots(), 0, 8);
    let batch = projected(&batch(&numbers()), query.projection());
    let ask = MetricsAsk { is_wanted: &|_| true };
    let refused = query.observe(&batch, &ask, &mut partial).unwrap_err();
    assert_eq!(refused, EvalError::TooManySamples { max: 8 });
    assert!(refused.to_string().contains("more than 8 samples"));
}

#[test]
fn unwanted_traces_do_not_count() {
    let query = compile_metrics("{} | count_over_time()").unwrap().unwrap();
    let mut partial = query.partial(slots(), 0, 100);
    let batch = projected(&batch(&numbers()), query.projection());
    let second = batch.traces.id[1];
    let ask = MetricsAsk { is_wanted: &|id| id != second };
    assert!(matches!(query.observe(&batch, &ask, &mut partial).unwrap(), Observed::Counted));
    let told: Vec<String> = query.finish(partial).iter().map(tell).collect();
    assert_eq!(told, [r#"__name__="count_over_time" 3 0 0"#]);
}

#[test]
fn other_queries_are_none() {
    assert!(compile_metrics("{} | count() > 1").unwrap().is_none());
    assert!(compile_metrics("{} | rate() by (").is_err());
    assert!(compile_metrics("{} | quantile_over_time(duration)").is_err());
}
