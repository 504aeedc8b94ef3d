//! An answer does not depend on how spans were cut into blocks, on what is still in memory, or on where the bucket is.
//!
//! One data set lies in a house in every [`Form`]; each is asked all of `answers/queries.txt` and for names, values and traces. What
//! the form with everything in memory answers is what all must answer; what is sent tells whether the traces are right.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers here are the tests: each runs over every form"
)]

#[path = "answers/data.rs"]
mod data;

#[path = "answers/forms.rs"]
mod forms;

mod house;
mod sent;

mod s3;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use tokio::sync::OnceCell;
use vivace::querier::{SearchRequest, TagNamesRequest, TagValuesRequest};
use vivace::runtime::blocking;
use vivace::tenant::TenantId;
use vivace::trace::TraceId;

use data::{BEGIN, LENGTH, SECOND};
use forms::Form;
use house::House;
use sent::Sent;

/// All that was sent.
static SPANS: LazyLock<Vec<Sent>> = LazyLock::new(data::spans);

/// What every form must answer.
static EXPECTED: OnceCell<Answers> = OnceCell::const_new();

/// Answers by question, as text.
type Answers = BTreeMap<String, String>;

/// Days before and after all spans.
const ALL: RangeInclusive<u64> = BEGIN - 10 * 86_400 * SECOND..=BEGIN + 86_400 * SECOND;

/// Cuts through the data.
const CUT: RangeInclusive<u64> = BEGIN + 200 * SECOND..=BEGIN + 330 * SECOND;

/// Cuts through traces.
const NARROW: RangeInclusive<u64> =
    BEGIN + LENGTH / 2 + SECOND..=BEGIN + LENGTH / 2 + SECOND + 20_000_000;

/// Asks a form one of so many questions, each kind of question among them.
async fn check(form: Form, one_in: usize) {
    let house = House::with(form, &SPANS).await;
    let expected = expected().await;
    let found = Box::pin(answers(&house, one_in)).await;
    let mut wrong = String::new();
    for (question, found) in &found {
        let expected = &expected[question];
        if found != expected {
            writeln!(wrong, "{question}").unwrap();
            let lines = expected.lines().zip(found.lines());
            for (expected, found) in lines.filter(|(one, other)| one != other).take(2) {
                writeln!(wrong, "  live:  {expected}\n  other: {found}").unwrap();
            }
            let counts = (expected.lines().count(), found.lines().count());
            if counts.0 != counts.1 {
                writeln!(wrong, "  live: {} lines, other: {}", counts.0, counts.1).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{form:?} answers otherwise than memory:\n{wrong}");
}

async fn expected() -> &'static Answers {
    let answers = async || {
        let live = House::with(Form::Live, &SPANS).await;
        Box::pin(answers(&live, 1)).await
    };
    EXPECTED.get_or_init(answers).await
}

async fn answers(house: &House, one_in: usize) -> Answers {
    let mut answers = Answers::new();
    searches(house, one_in, &mut answers).await;
    names(house, one_in.min(4), &mut answers).await;
    values(house, one_in, &mut answers).await;
    for (number, id) in trace_ids().into_iter().enumerate() {
        for (title, window) in [("", None), (" in CUT", Some(CUT))] {
            if !(number * 2 + usize::from(window.is_some())).is_multiple_of(one_in) {
                continue;
            }
            let question = format!("trace {id}{title}");
            answers.insert(question, trace(house, id, window).await);
        }
    }
    answers
}

/// The queries of the file.
fn queries() -> impl Iterator<Item = &'static str> {
    let lines = include_str!("answers/queries.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

async fn searches(house: &House, one_in: usize, answers: &mut Answers) {
    for (number, query) in queries().enumerate() {
        let asked = [
            ("ALL", ALL, 10_000, 0),
            ("CUT, 3 spans", CUT, 10_000, 3),
            ("ALL, 4 traces", ALL, 4, 2),
            ("NARROW, 7 traces", NARROW, 7, 1),
        ];
        let asked = asked.into_iter().enumerate();
        for (_, asked) in asked.filter(|(place, _)| (number + place).is_multiple_of(one_in)) {
            let (title, window, limit, spans_per_spanset) = asked;
            let query_text = query.to_owned();
            let request = SearchRequest { query: query_text, window, limit, spans_per_spanset };
            let answer = match house.querier.search(&[TenantId::single()], request).await {
                // A line for each trace.
                Ok(answer) => answer.traces.iter().fold(String::new(), |mut lines, found| {
                    writeln!(lines, "{found:?}").unwrap();
                    lines
                }),
                Err(failure) => format!("{failure:?}"),
            };
            answers.insert(format!("{query} ({title})"), answer);
        }
    }
}

async fn names(house: &House, one_in: usize, answers: &mut Answers) {
    let filters = [
        "",
        r#"{ span.http.method = "GET" }"#,
        r#"{ resource.service.name = "service-3" && span. }"#,
        r#"{ span.user.id = "user-449" }"#,
        r#"{ name = "no such name" }"#,
    ];
    for (number, filter) in filters.into_iter().enumerate() {
        let windows = [("ALL", ALL), ("CUT", CUT), ("NARROW", NARROW)].into_iter().enumerate();
        for (_, (title, window)) in windows.filter(|(place, _)| (number + place) % one_in <= 1) {
            let request = TagNamesRequest { scope: None, window, filter: filter.into(), limit: 0 };
            let found = house.querier.tag_names(&[TenantId::single()], request).await.unwrap();
            let scopes = found.scopes.iter().filter(|(_, names)| !names.is_empty());
            let lines: Vec<String> = scopes.map(|scope| format!("{scope:?}")).collect();
            answers.insert(format!("names, {filter} ({title})"), lines.join("\n"));
        }
    }
}

async fn values(house: &House, one_in: usize, answers: &mut Answers) {
    let attributes = [
        "span.http.method",
        ".http.method",
        ".http.status",
        "span.tags",
        "span.sizes",
        "span.odd",
        "span.cached",
        "span.retries",
        "span.user.id",
        "span.rare.3",
        "resource.service.name",
        ".service.name",
        "resource.zones",
        "event.exception.message",
        "event:name",
        "link.relation",
        "instrumentation:name",
        "instrumentation.library",
        "name",
        "status",
        "kind",
        "statusMessage",
        "rootName",
        "rootServiceName",
        "span.nowhere",
    ];
    let mut number = 0;
    for attribute in attributes {
        for filter in ["", r"{ span.cached = true }", "{ status = error && "] {
            for (title, window) in [("ALL", ALL), ("CUT", CUT), ("NARROW", NARROW)] {
                number += 1;
                if number % one_in != 0 {
                    continue;
                }
                let (attribute, filter) = (attribute.to_owned(), filter.to_owned());
                let question = format!("values of {attribute}, {filter} ({title})");
                let request = TagValuesRequest { attribute, window, filter, limit: 0 };
                let found = house.querier.tag_values(&[TenantId::single()], request).await.unwrap();
                let values: Vec<String> = found.values.iter().map(|v| format!("{v:?}")).collect();
                answers.insert(question, values.join("\n"));
            }
        }
    }
}

fn trace_ids() -> BTreeSet<TraceId> {
    SPANS.iter().map(|sent| TraceId::from_otlp(&sent.span.trace_id).unwrap()).collect()
}

/// A span of a trace on each line.
async fn trace(house: &House, id: TraceId, window: Option<RangeInclusive<u64>>) -> String {
    let found = house.querier.find_trace(&[TenantId::single()], id, window).await.unwrap();
    let Some(found) = found else { return "not found".to_owned() };
    let told = blocking(move || found.protobuf()).await.unwrap();
    let lines: Vec<String> = spans_of(&told).iter().map(|sent| format!("{sent:?}")).collect();
    lines.join("\n")
}

/// The spans of a trace, by id and kind, with their attributes by key.
fn spans_of(traces_data: &[u8]) -> Vec<Sent> {
    let mut spans = Vec::new();
    for group in TracesData::decode(traces_data).unwrap().resource_spans {
        for scope in group.scope_spans {
            let sent = |span| {
                sorted(Sent { resource: group.resource.clone(), scope: scope.scope.clone(), span })
            };
            spans.extend(scope.spans.into_iter().map(sent));
        }
    }
    spans.sort_by_key(|sent| (sent.span.span_id.clone(), sent.span.kind));
    spans
}

/// The order of attributes in a span is not kept.
fn sorted(mut sent: Sent) -> Sent {
    let by_key = |attributes: &mut Vec<opentelemetry_proto::tonic::common::v1::KeyValue>| {
        attributes.sort_by(|one, other| one.key.cmp(&other.key));
    };
    by_key(&mut sent.span.attributes);
    sent.span.events.iter_mut().for_each(|event| by_key(&mut event.attributes));
    sent.span.links.iter_mut().for_each(|link| by_key(&mut link.attributes));
    sent
}

#[tokio::test]
async fn one_cut_changes_no_answer() {
    check(Form::OneCut, 1).await;
}

#[tokio::test]
async fn many_cuts_change_no_answer() {
    check(Form::ManyCuts, 5).await;
}

#[tokio::test]
async fn half_in_blocks_and_half_in_memory_change_no_answer() {
    check(Form::HalfLive, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_on_s3_changes_no_answer() {
    check(Form::S3, 47).await;
}

#[tokio::test]
async fn a_restart_changes_no_answer() {
    check(Form::Restarted, 5).await;
}

#[tokio::test]
async fn a_restart_with_a_part_in_blocks_changes_no_answer() {
    check(Form::HalfRestarted, 7).await;
}

#[tokio::test]
async fn what_the_ingester_cuts_by_itself_changes_no_answer() {
    check(Form::Kept, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joined_blocks_answer_as_memory_does() {
    check(Form::Joined, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joined_blocks_later_ones_and_memory_answer_as_memory_does() {
    check(Form::HalfJoined, 5).await;
}

#[tokio::test]
async fn blocks_joined_while_the_log_has_their_spans_answer_as_memory_does() {
    check(Form::KeptJoined, 5).await;
}

/// Equal answers prove little where there is nothing to find.
#[tokio::test]
async fn all_queries_but_a_few_find_something() {
    let expected = expected().await;
    let is_empty = |query: &&str| expected[&format!("{query} (ALL)")].is_empty();
    let empty: Vec<&str> = queries().filter(is_empty).collect();
    assert_eq!(empty, ["{ false }", "{ span.nowhere = 1 }"]);
}

/// Not another form but what was sent is the judge here.
#[tokio::test]
async fn traces_come_back_as_they_were_sent() {
    let house = House::with(Form::HalfLive, &SPANS).await;
    for id in trace_ids() {
        let of_trace = SPANS.iter().filter(|sent| sent.span.trace_id == id.0);
        let mut sent: BTreeMap<(Vec<u8>, i32), Vec<String>> = BTreeMap::new();
        for span in of_trace {
            let copies = sent.entry((span.span.span_id.clone(), span.span.kind)).or_default();
            copies.push(format!("{:?}", sorted(span.clone())));
        }
        let found = house.querier.find_trace(&[TenantId::single()], id, None).await.unwrap();
        let found = found.unwrap();
        let found = spans_of(&blocking(move || found.protobuf()).await.unwrap());
        assert_eq!(found.len(), sent.len(), "every span of {id} once");
        for span in found {
            let copies = &sent[&(span.span.span_id.clone(), span.span.kind)];
            assert!(copies.contains(&format!("{span:?}")), "{span:?}\nis none of\n{copies:#?}");
        }
    }
}
