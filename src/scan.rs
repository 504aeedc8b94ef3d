//! What a reader is asked and how it answers: the joint between the language and the storage.
//!
//! The engine does not know Parquet and blocks do not know TraceQL: the engine writes a `Scan`, and two things answer one, a
//! block and the live spans. Both answer in `Batch`es of whole traces.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;
use traceql_grammar::go_duration;

use crate::columns::{AttributeValues, Batch, Projection, Resource};
use crate::failure::Failure;
use crate::trace::{Scalar, Value};

/// A question to a [`SpanSource`].
#[derive(Debug, Clone)]
pub struct Scan {
    /// Unix nanoseconds, both ends included. A trace is asked for if any of its spans overlaps it.
    pub window: RangeInclusive<u64>,
    pub projection: Projection,
    /// What a trace must have somewhere in it to matter.
    pub need: Need,
}

/// A test that whole pieces of storage can fail: a unit in which no span passes it can be left unread. Never exact: passing it says
/// "maybe".
#[derive(Debug, Clone, PartialEq)]
pub enum Need {
    /// Anything may matter.
    Anything,
    All(Vec<Need>),
    Any(Vec<Need>),
    /// A span that has an attribute of this key, of any type.
    HasAttribute {
        scope: NeedScope,
        key: String,
    },
    /// A span whose attribute has this value (numbers: compared as numbers, whatever their type).
    Equals {
        scope: NeedScope,
        key: String,
        value: NeedValue,
    },
    /// A span with this name.
    NameEquals(String),
    /// A span that lasts at least / at most so many nanoseconds.
    DurationAtLeast(u64),
    DurationAtMost(u64),
    /// A span with status error.
    StatusError,
    /// Only the trace with this id.
    Trace(crate::trace::TraceId),
}

/// Where an attribute may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NeedScope {
    /// The span's, else the resource's.
    SpanOrResource,
    Span,
    Resource,
    Event,
    Link,
    Instrumentation,
}

#[derive(Debug, Clone, PartialEq)]
pub enum NeedValue {
    String(String),
    Int(i64),
    Double(f64),
    Bool(bool),
}

/// What an index may have counted, so that its values are known without reading spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted {
    /// The spans of each resource, which tell the values of its and its scope's attributes.
    Resources,
    /// Values of an attribute, and of an unscoped one also the spans of each resource that have none of their own.
    Attribute {
        scope: NeedScope,
        key: String,
    },
    /// Texts.
    Name,
    StatusMessage,
    EventName,
    /// OTLP's numbers.
    Status,
    Kind,
}

/// How often each value comes; arrays are not among them. Values and resources come in no order, and may come twice.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub values: Vec<(Value, u64)>,
    pub resources: Vec<(Arc<Resource>, u64)>,
}

/// A part of a source that is read at once: some row groups of a block, or some live traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Which part: the source's own number.
    pub index: usize,
    /// Earliest and latest start of its traces, Unix nanoseconds.
    pub first_start: u64,
    pub last_start: u64,
    pub rows: u64,
}

/// What answering cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScanCost {
    pub bytes: u64,
    pub requests: u64,
    pub rows: u64,
    pub traces: u64,
    pub units_read: u64,
    pub units_skipped: u64,
}

/// Something that holds spans and answers in batches.
///
/// Contract: the units of one answer cover every trace that the source holds, overlaps the window and may satisfy the need,
/// each trace whole in one unit (as far as the source has it), without a span twice. A source does not change: it is a snapshot.
#[async_trait]
pub trait SpanSource: Send + Sync {
    /// The units that may matter. The others count as skipped.
    async fn units(&self, scan: &Scan, cost: &mut ScanCost) -> Result<Vec<Unit>, Failure>;

    /// About how many bytes a unit takes in memory while it is read.
    async fn bytes(&self, unit: &Unit, scan: &Scan) -> Result<u64, Failure>;

    /// Reads one unit and hands it over. Traces outside the window may be in it.
    async fn read_for(
        &self,
        unit: &Unit,
        scan: &Scan,
        then: Then<Batch>,
    ) -> Result<ScanCost, Failure>;

    /// As [`SpanSource::read_for`], to do more than CPU work with.
    async fn read(&self, unit: &Unit, scan: &Scan) -> Result<(Batch, ScanCost), Failure> {
        let (then, batch) = then(|batch| batch);
        let cost = self.read_for(unit, scan, then).await?;
        Ok((batch.take(), cost))
    }

    /// Reads some traces of a unit that was read before, by their ordinals in that batch, which ascend.
    async fn read_some(
        &self,
        unit: &Unit,
        traces: &[u32],
        scan: &Scan,
    ) -> Result<(Batch, ScanCost), Failure>;

    /// Reads span attributes of some rows of a unit that was read before, by their places in that batch, which ascend: one row for each.
    /// Keys that none of them has are left out.
    async fn read_attributes_for(
        &self,
        unit: &Unit,
        rows: &[u32],
        keys: &BTreeSet<String>,
        then: Then<Attributes>,
    ) -> Result<ScanCost, Failure>;

    /// As [`SpanSource::read_attributes_for`], to do more than CPU work with.
    async fn read_attributes(
        &self,
        unit: &Unit,
        rows: &[u32],
        keys: &BTreeSet<String>,
    ) -> Result<(Attributes, ScanCost), Failure> {
        let (then, attributes) = then(|attributes| attributes);
        let cost = self.read_attributes_for(unit, rows, keys, then).await?;
        Ok((attributes.take(), cost))
    }
}

/// What is done with what was read: CPU work, on the thread that has just made it, so that nobody is woken in between.
pub type Then<T> = Box<dyn FnOnce(T) + Send>;

/// Work to be done with what is read, and where its result comes out.
pub fn then<T: Send + 'static, R: Send + 'static>(
    work: impl FnOnce(T) -> R + Send + 'static,
) -> (Then<T>, Made<R>) {
    let (sender, receiver) = oneshot::channel();
    // Who waited may have gone in the meantime: nobody wants the result.
    let then = move |read| drop(sender.send(work(read)));
    (Box::new(then), Made(receiver))
}

/// The result of work that is done before a read ends.
#[derive(Debug)]
pub struct Made<R>(oneshot::Receiver<R>);

impl<R> Made<R> {
    /// After the read has succeeded.
    ///
    /// # Panics
    /// If nothing was handed over.
    pub fn take(mut self) -> R {
        self.0.try_recv().expect("a read that succeeds hands over what it read")
    }
}

/// The values of span attributes by key.
pub type Attributes = BTreeMap<String, AttributeValues>;

impl ScanCost {
    pub fn add(&mut self, other: Self) {
        let Self { bytes, requests, rows, traces, units_read, units_skipped } = other;
        self.bytes += bytes;
        self.requests += requests;
        self.rows += rows;
        self.traces += traces;
        self.units_read += units_read;
        self.units_skipped += units_skipped;
    }
}

impl Display for Need {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let duration = |nanos: u64| go_duration(i64::try_from(nanos).unwrap_or(i64::MAX));
        match self {
            Self::Anything => f.write_str("anywhere"),
            Self::All(needs) => listed(f, needs, " and "),
            Self::Any(needs) if needs.is_empty() => f.write_str("nowhere"),
            Self::Any(needs) => listed(f, needs, " or "),
            Self::HasAttribute { scope, key } => write!(f, "{}{key} != nil", scope.prefix()),
            Self::Equals { scope, key, value } => write!(f, "{}{key} = {value}", scope.prefix()),
            Self::NameEquals(name) => write!(f, "name = {name:?}"),
            Self::DurationAtLeast(nanos) => write!(f, "duration >= {}", duration(*nanos)),
            Self::DurationAtMost(nanos) => write!(f, "duration <= {}", duration(*nanos)),
            Self::StatusError => f.write_str("status = error"),
            Self::Trace(id) => write!(f, "trace:id = \"{id}\""),
        }
    }
}

fn listed(f: &mut Formatter<'_>, needs: &[Need], between: &str) -> fmt::Result {
    for (place, need) in needs.iter().enumerate() {
        if place > 0 {
            f.write_str(between)?;
        }
        match need {
            Need::All(_) | Need::Any(_) => write!(f, "({need})")?,
            need => write!(f, "{need}")?,
        }
    }
    Ok(())
}

impl NeedScope {
    /// What stands before a key in TraceQL.
    fn prefix(self) -> &'static str {
        match self {
            Self::SpanOrResource => ".",
            Self::Span => "span.",
            Self::Resource => "resource.",
            Self::Event => "event.",
            Self::Link => "link.",
            Self::Instrumentation => "instrumentation.",
        }
    }
}

impl Display for NeedValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => write!(f, "{text:?}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Double(value) => write!(f, "{value:?}"),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}

impl NeedValue {
    pub fn as_scalar(&self) -> Scalar<'_> {
        match self {
            Self::String(text) => Scalar::String(text),
            Self::Int(value) => Scalar::Int(*value),
            Self::Double(value) => Scalar::Double(*value),
            Self::Bool(value) => Scalar::Bool(*value),
        }
    }
}
