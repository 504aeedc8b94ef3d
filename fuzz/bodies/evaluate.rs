//! What must hold of any query over a fixed data set. The body of the fuzz target `evaluate`; a test of the house runs it too.
//!
//! The same whole traces lie in memory and in blocks. Every answer is made in two ways that must agree: over memory with just the
//! columns that the query asks for, all traces at once; and over what blocks give back, with all columns, trace by trace or part by
//! part. What a block's zones rule out must hold no answer.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use uuid::Uuid;
use vivace::block::{self, Block, Blocks, Opening};
use vivace::columns::{
    self, Batch, EventProjection, Layout, LinkProjection, Projection, RowRef, SpanColumn, Spans,
};
use vivace::manifest::BlockEntry;
use vivace::otlp;
use vivace::runtime::Cpu;
use vivace::scan::{Attributes, Need, Scan, ScanCost, SpanSource, Unit};
use vivace::store::{Store, keys};
use vivace::tenant::TenantId;
use vivace::trace::TraceId;
use vivace::traceql::{
    Ask, Error, EvalError, MetricsAsk, MetricsQuery, Observed, Partial, Query, Rank, Series, Slots,
    TraceMatch, ValueSet, compile, compile_lenient, compile_metrics, compile_values, limit_of,
};

use super::data::{self, BEGIN, LENGTH, SECOND};
use super::sent::{self, Sent};

/// Blocks, and traces in each: few, so that a query takes about a millisecond; enough for every shape that the data has.
const BLOCKS: u64 = 6;
const BLOCK_TRACES: u64 = 7;

/// The one trace that is larger than all others together.
const LARGE_TRACE: u64 = 17;

/// Far over what the data can give.
const SAMPLES_MAX: usize = 1_000_000;

const EXEMPLARS: usize = 4;

const ALL: RangeInclusive<u64> = 0..=u64::MAX;

/// Cuts through the data, and through traces.
const CUT: RangeInclusive<u64> = BEGIN + 200 * SECOND..=BEGIN + LENGTH / 2 + SECOND;

/// What is asked for values of, one for each query.
const VALUES_OF: [&str; 12] = [
    "name",
    "span.http.method",
    ".http.status",
    "span.tags",
    "span.odd",
    "resource.service.name",
    "event.exception.message",
    "event:name",
    "link.relation",
    "instrumentation.library",
    "statusMessage",
    "rootServiceName",
];

static PARTS: LazyLock<Vec<Part>> = LazyLock::new(parts);

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
});

/// Some traces, in memory and in a block.
struct Part {
    spans: Spans,
    layout: Layout,
    block: Arc<Block>,
    /// All that the block has.
    stored: Batch,
}

/// Asks the query of all parts, as a search, as a metrics query, and as a filter of values.
///
/// # Panics
/// If something does not hold.
pub(crate) fn check(text: &str) {
    match compile(text) {
        Ok(query) => {
            search(text, &query);
            is_ordered(text, &query);
        }
        Err(error) => is_refused(text, &error),
    }
    if let Ok(Some(query)) = compile_metrics(text) {
        metrics(text, &query);
    }
    if let Ok(tree) = traceql_grammar::parse_valid(text) {
        asks_the_same(text, &tree.to_string());
    }
    values(text);
    assert!(limit_of(text).is_none_or(|limit| limit > 0 || compile(text).is_err()), "{text:?}");
}

/// Arithmetic is for metrics only; all else is refused as a search and as a metrics query.
fn is_refused(text: &str, error: &Error) {
    assert!(text.get(error.span.clone()).is_some(), "{text:?} has no {:?}", error.span);
    let is_arithmetic = error.detail.contains("arithmetic between metrics queries");
    assert!(is_arithmetic || compile_metrics(text).is_err(), "{text:?} is no search: {error}");
}

fn search(text: &str, query: &Query) {
    for part in &*PARTS {
        let memory = part.memory(query.projection());
        let found = asked(query, &memory, &ALL, &|_| true);
        assert_eq!(words(&found), words(&asked(query, &part.stored, &ALL, &|_| true)), "{text:?}");
        let cut = asked(query, &memory, &CUT, &|_| true);
        assert_eq!(words(&cut), words(&asked(query, &part.stored, &CUT, &|_| true)), "{text:?}");
        if let Ok(found) = &found {
            part.rules_out_no_answer(text, &query.need(), !found.is_empty());
            is_marked(text, query, &memory, found);
        }
        // One half of the traces, then the other.
        let halves = [0, 1].map(|half| asked(query, &memory, &ALL, &|id| id.0[15] % 2 == half));
        if let [Ok(one), Ok(other)] = halves {
            let both = Ok(one.into_iter().chain(other).collect());
            assert_eq!(words(&found), words(&both), "{text:?}");
        }
    }
}

/// Just the traces that are found have spans that match.
fn is_marked(text: &str, query: &Query, batch: &Batch, found: &[TraceMatch]) {
    let marked = query.matching_rows(batch).expect("it has been evaluated");
    assert_eq!(marked.len(), batch.rows(), "{text:?}");
    let traces = &batch.traces;
    let ids: BTreeSet<TraceId> =
        marked.set_indices().map(|row| traces.id[trace_of(batch, row)]).collect();
    // A search can be known to find nothing before it looks at spans.
    let found: BTreeSet<TraceId> = found.iter().map(|found| found.id).collect();
    assert_eq!(ids, found, "{text:?}");
}

fn trace_of(batch: &Batch, row: usize) -> usize {
    batch.traces.first_row.partition_point(|first| *first as usize <= row) - 1
}

/// Where traces stand is one order of all of them.
fn is_ordered(text: &str, query: &Query) {
    let answers = PARTS.iter().map(|part| asked(query, &part.stored, &ALL, &|_| true));
    let mut ranks: Vec<Rank> =
        answers.flat_map(Result::unwrap_or_default).map(|found| found.rank).collect();
    ranks.sort();
    for (place, rank) in ranks.iter().enumerate() {
        for later in ranks.iter().skip(place) {
            let (one, other) = (rank.cmp(later), later.cmp(rank));
            assert!(one.is_le() && one == other.reverse(), "{text:?}: {rank:?} and {later:?}");
            assert!(query.is_ordered() || one.is_eq(), "{text:?} has no order");
        }
    }
}

/// The canonical text has the same answers.
fn asks_the_same(text: &str, printed: &str) {
    // Printing adds parentheses: the text may be too deep to be read.
    if let (Ok(query), Ok(again)) = (compile(text), compile(printed)) {
        assert_eq!(query.limit(), again.limit(), "{text:?} as {printed:?}");
        for part in &*PARTS {
            let answer = |query| asked(query, &part.stored, &ALL, &|_| true);
            assert_eq!(words(&answer(&query)), words(&answer(&again)), "{text:?} as {printed:?}");
        }
    }
    if let (Ok(Some(query)), Ok(Some(again))) = (compile_metrics(text), compile_metrics(printed)) {
        let slots = Slots::of_range(BEGIN, BEGIN + LENGTH, 60 * SECOND);
        let answer = |query| observed(query, slots, PARTS.iter(), |part| part.stored.clone());
        if let (Ok(one), Ok(other)) = (answer(&query), answer(&again)) {
            are_equal(text, &one, &other);
        }
    }
}

fn asked(
    query: &Query,
    batch: &Batch,
    window: &RangeInclusive<u64>,
    is_wanted: &(dyn Fn(TraceId) -> bool + Sync),
) -> Result<Vec<TraceMatch>, EvalError> {
    let wanted = |id, _| is_wanted(id);
    let ask = Ask { window: window.clone(), spans_per_spanset: 3, wanted: &wanted };
    query.evaluate(batch, &ask)
}

/// An answer without the order of traces; NaN is equal to itself.
fn words(answer: &Result<Vec<TraceMatch>, EvalError>) -> Vec<String> {
    // What a column tells beside the query is there where the column is.
    let told = |found: &TraceMatch| format!("{:?}", TraceMatch { orphans: None, ..found.clone() });
    let mut words = match answer {
        Ok(found) => found.iter().map(told).collect(),
        Err(error) => vec![error.to_string()],
    };
    words.sort_unstable();
    words
}

fn metrics(text: &str, query: &MetricsQuery) {
    let slots = [
        Slots::of_range(BEGIN, BEGIN + LENGTH, 60 * SECOND),
        Slots::instant(BEGIN - 10 * 86_400 * SECOND, BEGIN + LENGTH),
    ];
    for slots in slots {
        let live = observed(query, slots, PARTS.iter(), |part| part.memory(query.projection()));
        // What zones rule out is left unread.
        let read = PARTS.iter().rev().filter(|part| part.may_satisfy(&query.need()));
        let stored = observed(query, slots, read, |part| part.stored.clone());
        match (live, stored) {
            (Ok(live), Ok(stored)) => {
                are_equal(text, &live, &stored);
                for samples in live.iter().map(|series| &series.samples) {
                    let is_sorted = samples.is_sorted_by(|one, other| one.0 < other.0);
                    let has_nan = samples.iter().any(|sample| sample.1.is_nan());
                    assert!(!samples.is_empty() && is_sorted && !has_nan, "{text:?}: {samples:?}");
                }
            }
            (live, stored) => assert_eq!(live, stored, "{text:?}"),
        }
    }
}

/// Each part for itself, then joined in the order given.
fn observed<'a>(
    query: &MetricsQuery,
    slots: Slots,
    parts: impl Iterator<Item = &'a Part>,
    batch: impl Fn(&'a Part) -> Batch,
) -> Result<Vec<Series>, EvalError> {
    let ask = MetricsAsk { is_wanted: &|_| true };
    let nothing = || query.partial(slots, EXEMPLARS, SAMPLES_MAX);
    let mut whole: Option<Partial> = None;
    for part in parts {
        let mut partial = nothing();
        query.observe(&batch(part), &ask, &mut partial)?;
        if query.counts_attributes()
            && let Observed::Compared(spans) = query.observe(&part.stored, &ask, &mut nothing())?
        {
            partial.observe_attributes(&part.attributes(spans.rows()), &spans)?;
        }
        match &mut whole {
            Some(whole) => whole.merge(partial)?,
            None => whole = Some(partial),
        }
    }
    Ok(query.finish(whole.unwrap_or_else(nothing)))
}

fn are_equal(text: &str, live: &[Series], stored: &[Series]) {
    let words = |all: &[Series]| all.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>();
    assert_eq!(words(live), words(stored), "{text:?}");
}

/// Any text is a filter of values: what is unfinished in it does not count.
fn values(text: &str) {
    let lenient = compile_lenient(text);
    let attribute = VALUES_OF[text.len() % VALUES_OF.len()];
    let query = compile_values(attribute, text).expect("the attribute is one");
    for part in &*PARTS {
        let all = |batch: &Batch| {
            let mut values = ValueSet::default();
            query.collect(batch, &ALL, &|_| true, &mut values);
            values
        };
        let memory = all(&part.memory(query.projection()));
        assert_eq!(memory, all(&part.stored), "{attribute} where {text:?}");
        let has_any = memory != ValueSet::default();
        part.rules_out_no_answer(text, &query.need(), has_any);
        let filtered = asked(&lenient, &part.memory(lenient.projection()), &ALL, &|_| true);
        assert!(filtered.is_ok(), "a filter of {text:?} fails");
    }
}

impl Part {
    /// Traces with these numbers.
    async fn of(numbers: &BTreeSet<u64>, all: &[Sent], everything: &Projection) -> Self {
        let ids: BTreeSet<_> = numbers.iter().map(|number| data::trace_id(*number)).collect();
        let is_here = |sent: &&Sent| ids.iter().any(|id| sent.span.trace_id == id);
        let sent: Vec<Sent> = all.iter().filter(is_here).cloned().collect();
        let decoded = otlp::decode(&sent::body(&sent)).expect("it was encoded just now");
        assert!(decoded.rejected.is_empty() && !decoded.spans.is_empty(), "all of it is in order");
        let spans = decoded.spans;
        let layout = laid_out(&spans);
        let block = stored(&spans, &layout).await;
        let scan = Scan { window: ALL, projection: everything.clone(), need: Need::Anything };
        let units = units(&block, &scan).await;
        assert_eq!(units.len(), 1, "so few spans are one unit");
        let (stored, _) = block.read(&units[0], &scan).await.expect("memory can be read");
        Self { spans, layout, block, stored }
    }

    /// All attributes of some spans, as the block gives them row by row.
    fn attributes(&self, rows: &[u32]) -> Attributes {
        let scan = Scan { window: ALL, projection: Projection::default(), need: Need::Anything };
        let units = RUNTIME.block_on(units(&self.block, &scan));
        let keys = self.stored.attributes.keys().cloned().collect();
        let read = self.block.read_attributes(&units[0], rows, &keys);
        RUNTIME.block_on(read).expect("memory can be read").0
    }

    /// The columns of a projection, out of memory.
    fn memory(&self, projection: &Projection) -> Batch {
        columns::batch(&[&self.spans], &self.layout, projection)
    }

    fn rules_out_no_answer(&self, text: &str, need: &Need, has_answer: bool) {
        assert!(self.may_satisfy(need) || !has_answer, "{text:?} needs less than {need:?}");
    }

    /// By the zones of the block.
    fn may_satisfy(&self, need: &Need) -> bool {
        let projection = Projection::default();
        let scan = Scan { window: ALL, projection, need: need.clone() };
        !RUNTIME.block_on(units(&self.block, &scan)).is_empty()
    }
}

async fn units(block: &Block, scan: &Scan) -> Vec<Unit> {
    block.units(scan, &mut ScanCost::default()).await.expect("memory can be read")
}

fn laid_out(spans: &Spans) -> Layout {
    let rows = (0..spans.next_row()).map(|row| RowRef { chunk: 0, row });
    let hash = |row: RowRef| otlp::content_hash(spans, row.row as usize);
    Layout::of(&[spans], columns::group_by_trace(&[spans], rows), &hash)
}

async fn stored(spans: &Spans, layout: &Layout) -> Arc<Block> {
    let (store, tenant, id) = (Store::memory(), TenantId::single(), Uuid::now_v7());
    let written =
        block::write(&[spans], layout, &block::Facts::default()).expect("spans are spans");
    let entry = BlockEntry { id, objects: written.object_infos(), ..BlockEntry::default() };
    for (object, bytes) in written.objects {
        let bytes: Bytes = bytes;
        store.put(&keys::block(&tenant, id, object), bytes).await.expect("memory has room");
    }
    let cpu = Cpu::new(std::num::NonZeroUsize::new(1)).expect("a thread");
    let (blocks, cost) = (Blocks::new(store, cpu, 64 << 20), &mut ScanCost::default());
    blocks.open(&tenant, &entry, Opening::Short, cost).await.expect("it was written just now")
}

fn parts() -> Vec<Part> {
    let all = data::spans();
    let everything = everything(&all);
    RUNTIME.block_on(async {
        let mut parts = Vec::new();
        for block in 0..BLOCKS {
            let numbers = block * BLOCK_TRACES..(block + 1) * BLOCK_TRACES;
            let numbers = numbers.filter(|number| *number != LARGE_TRACE).collect();
            parts.push(Part::of(&numbers, &all, &everything).await);
        }
        parts
    })
}

/// Every column and every key of the data.
fn everything(all: &[Sent]) -> Projection {
    let keys = |attributes: &mut dyn Iterator<Item = &KeyValue>| -> BTreeSet<String> {
        attributes.map(|attribute| attribute.key.clone()).collect()
    };
    let spans = || all.iter().map(|sent| &sent.span);
    let events = || spans().flat_map(|span| &span.events);
    let links = || spans().flat_map(|span| &span.links);
    Projection {
        attributes: keys(&mut spans().flat_map(|span| &span.attributes)),
        events: Some(EventProjection {
            name: true,
            time: true,
            attributes: keys(&mut events().flat_map(|event| &event.attributes)),
        }),
        links: Some(LinkProjection {
            ids: true,
            attributes: keys(&mut links().flat_map(|link| &link.attributes)),
        }),
        ..Projection::default()
    }
    .with([
        SpanColumn::SpanId,
        SpanColumn::ParentId,
        SpanColumn::Tree,
        SpanColumn::Start,
        SpanColumn::Duration,
        SpanColumn::Name,
        SpanColumn::Kind,
        SpanColumn::Status,
        SpanColumn::StatusMessage,
        SpanColumn::Resource,
    ])
}
