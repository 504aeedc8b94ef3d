//! What a trace is: its spans without duplicates, who is whose parent, and what spans have by themselves and by their place.

use traceql_grammar::ast::{Attribute, Intrinsic, Scope};

use crate::evaluate_value::Val;
use crate::model::{Any, Event, Link, Span};

/// A whole trace.
pub(crate) struct Trace {
    pub(crate) id: u128,
    /// By start, then span id, then kind.
    pub(crate) spans: Vec<Span>,
    /// Index of the parent.
    pub(crate) parent: Vec<Option<usize>>,
    /// Left, right and parent's left; all zero for what is below no root.
    nested: Vec<[i64; 3]>,
}

/// The traces of all that was sent.
pub(crate) fn traces(sent: &[Span]) -> Vec<Trace> {
    let mut ids: Vec<u128> = sent.iter().map(|span| span.trace).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(|id| trace(id, sent)).collect()
}

fn trace(id: u128, sent: &[Span]) -> Trace {
    let mut spans: Vec<Span> = Vec::new();
    // Spans with equal id and kind are one: the one that starts first. If they start together they are equal here.
    for span in sent.iter().filter(|span| span.trace == id) {
        match spans.iter_mut().find(|known| (known.id, known.kind) == (span.id, span.kind)) {
            None => spans.push(span.clone()),
            Some(known) if span.start < known.start => *known = span.clone(),
            Some(_) => {}
        }
    }
    spans.sort_by_key(|span| (span.start, span.id, span.kind));
    let parent = parents(&spans);
    let mut trace = Trace { id, nested: vec![[0; 3]; spans.len()], spans, parent };
    // Depth first, one counter up at each coming and each going.
    let mut counter = 0;
    for place in 0..trace.spans.len() {
        if trace.spans[place].parent == 0 {
            number(&mut trace, place, -1, &mut counter);
        }
    }
    trace
}

fn number(trace: &mut Trace, place: usize, parent_left: i64, counter: &mut i64) {
    *counter += 1;
    let left = *counter;
    for child in trace.children(place) {
        number(trace, child, left, counter);
    }
    *counter += 1;
    trace.nested[place] = [left, *counter, parent_left];
}

/// The span with the parent's id; of several the server's, or the client's if the child is a server itself; of two of which neither
/// is that, none; of more, the earliest. Then each cycle is cut at its earliest span.
fn parents(spans: &[Span]) -> Vec<Option<usize>> {
    const SERVER: i32 = 2;
    const CLIENT: i32 = 3;
    let mut parents = Vec::new();
    for child in spans {
        let wanted = if child.kind == SERVER { CLIENT } else { SERVER };
        let named: Vec<usize> = (0..spans.len())
            .filter(|place| child.parent != 0 && spans[*place].id == child.parent)
            .collect();
        let fitting = named.iter().copied().find(|place| spans[*place].kind == wanted);
        parents.push(match named.len() {
            0 => None,
            1 => Some(named[0]),
            2 => fitting,
            _ => fitting.or(Some(named[0])),
        });
    }
    for place in 0..spans.len() {
        // Spans come in order, so the first that is found on a cycle is its earliest.
        let mut above = parents[place];
        for _ in 0..spans.len() {
            if above == Some(place) {
                parents[place] = None;
            }
            above = above.and_then(|above| parents[above]);
        }
    }
    parents
}

impl Trace {
    pub(crate) fn children(&self, place: usize) -> Vec<usize> {
        (0..self.spans.len()).filter(|other| self.parent[*other] == Some(place)).collect()
    }

    /// Depth first, from top to top.
    pub(crate) fn depth_first(&self) -> Vec<usize> {
        let mut all = Vec::new();
        for top in (0..self.spans.len()).filter(|place| self.parent[*place].is_none()) {
            self.add_below(top, &mut all);
        }
        all
    }

    fn add_below(&self, place: usize, all: &mut Vec<usize>) {
        all.push(place);
        for child in self.children(place) {
            self.add_below(child, all);
        }
    }

    /// The span above all others that are above this one, or itself.
    fn top(&self, place: usize) -> usize {
        self.parent[place].map_or(place, |parent| self.top(parent))
    }

    /// Whether structural operators see it: only below a root, or below any top if rootless traces are asked for.
    pub(crate) fn is_placed(&self, place: usize, rootless: bool) -> bool {
        rootless || self.spans[self.top(place)].parent == 0
    }

    /// The first without a parent id.
    pub(crate) fn root(&self) -> Option<&Span> {
        self.spans.iter().find(|span| span.parent == 0)
    }

    pub(crate) fn start(&self) -> u64 {
        self.spans[0].start
    }

    pub(crate) fn duration(&self) -> u64 {
        // A span that ends before it starts ends where it starts.
        let end = self.spans.iter().map(|span| span.end.max(span.start)).max().unwrap();
        end - self.start()
    }

    /// Whether a span of it overlaps; times in Unix nanoseconds.
    pub(crate) fn overlaps(&self, first: u64, last: u64) -> bool {
        let mut spans = self.spans.iter();
        spans.any(|span| span.start <= last && span.end.max(span.start) >= first)
    }

    /// The value of an attribute or intrinsic. Of events and links the given one is asked, else the first that has a value.
    pub(crate) fn value(&self, place: usize, what: &Attribute, of: Owner<'_>) -> Val {
        let span = &self.spans[place];
        match what {
            Attribute::Named { scope: Scope::None, name } => match named(&span.attributes, name) {
                Val::Nil => named(&span.resource, name),
                found => found,
            },
            Attribute::Named { scope: Scope::Span, name } => named(&span.attributes, name),
            Attribute::Named { scope: Scope::Resource, name } => of_resource(span, name),
            Attribute::Named { scope: Scope::Instrumentation, name } => {
                named(&span.scope.attributes, name)
            }
            Attribute::Named { scope: Scope::Event, .. }
            | Attribute::Intrinsic(Intrinsic::EventName | Intrinsic::EventTimeSinceStart) => {
                match of.event {
                    Some(event) => of_event(span, event, what),
                    None => first(span.events.iter().map(|event| of_event(span, event, what))),
                }
            }
            Attribute::Named { scope: Scope::Link, .. }
            | Attribute::Intrinsic(Intrinsic::LinkTraceId | Intrinsic::LinkSpanId) => {
                match of.link {
                    Some(link) => of_link(link, what),
                    None => first(span.links.iter().map(|link| of_link(link, what))),
                }
            }
            Attribute::Intrinsic(intrinsic) => self.intrinsic(place, *intrinsic),
            Attribute::OfParent { .. } => unreachable!("refused"),
        }
    }

    fn intrinsic(&self, place: usize, what: Intrinsic) -> Val {
        let span = &self.spans[place];
        let root_service = || self.root().map_or(String::new(), service);
        match what {
            Intrinsic::Duration => Val::Duration(duration(span).cast_signed()),
            Intrinsic::Name => Val::Text(span.name.clone()),
            Intrinsic::Status => Val::Status(match span.status {
                2 => 0,
                1 => 1,
                0 => 2,
                other => i64::from(other),
            }),
            Intrinsic::StatusMessage => Val::Text(span.message.clone()),
            Intrinsic::Kind => Val::Kind(match span.kind {
                2 => 3,
                3 => 2,
                other => i64::from(other),
            }),
            Intrinsic::SpanId => Val::Text(format!("{:016x}", span.id)),
            Intrinsic::ParentId => Val::Text(format!("{:016x}", span.parent)),
            Intrinsic::ChildCount => Val::Int(self.children(place).len().try_into().unwrap()),
            Intrinsic::RootName => {
                Val::Text(self.root().map_or(String::new(), |root| root.name.clone()))
            }
            Intrinsic::RootService => Val::Text(root_service()),
            Intrinsic::TraceDuration => Val::Duration(self.duration().cast_signed()),
            Intrinsic::TraceId => Val::Text(format!("{:x}", self.id)),
            Intrinsic::NestedSetLeft => Val::Int(self.nested[place][0]),
            Intrinsic::NestedSetRight => Val::Int(self.nested[place][1]),
            Intrinsic::NestedSetParent => Val::Int(self.nested[place][2]),
            Intrinsic::InstrumentationName => Val::Text(span.scope.name.clone()),
            Intrinsic::InstrumentationVersion => Val::Text(span.scope.version.clone()),
            Intrinsic::EventName
            | Intrinsic::EventTimeSinceStart
            | Intrinsic::LinkTraceId
            | Intrinsic::LinkSpanId
            | Intrinsic::Parent => unreachable!("asked elsewhere, or refused"),
        }
    }
}

/// The event and the link that conditions are about.
#[derive(Clone, Copy, Default)]
pub(crate) struct Owner<'a> {
    pub(crate) event: Option<&'a Event>,
    pub(crate) link: Option<&'a Link>,
}

/// Nanoseconds; none if it ends before it starts.
pub(crate) fn duration(span: &Span) -> u64 {
    span.end.saturating_sub(span.start)
}

/// Empty if the resource has no name that is a text.
pub(crate) fn service(span: &Span) -> String {
    match named(&span.resource, "service.name") {
        Val::Text(name) => name,
        _ => String::new(),
    }
}

/// A resource without a name of its service has the empty one.
fn of_resource(span: &Span, name: &str) -> Val {
    match named(&span.resource, name) {
        Val::Nil if name == "service.name" => Val::Text(String::new()),
        found => found,
    }
}

fn of_event(span: &Span, event: &Event, what: &Attribute) -> Val {
    match what {
        Attribute::Named { name, .. } => named(&event.attributes, name),
        Attribute::Intrinsic(Intrinsic::EventName) => Val::Text(event.name.clone()),
        _ => Val::Duration(event.time.cast_signed() - span.start.cast_signed()),
    }
}

fn of_link(link: &Link, what: &Attribute) -> Val {
    match what {
        Attribute::Named { name, .. } => named(&link.attributes, name),
        Attribute::Intrinsic(Intrinsic::LinkTraceId) => Val::Text(format!("{:x}", link.trace)),
        _ => Val::Text(format!("{:016x}", link.span)),
    }
}

/// Of a key that comes twice the first counts.
pub(crate) fn named(attributes: &[(String, Any)], name: &str) -> Val {
    let found = attributes.iter().find(|(key, _)| key == name);
    found.map_or(Val::Nil, |(_, value)| Val::of_sent(value))
}

fn first(mut values: impl Iterator<Item = Val>) -> Val {
    values.find(|value| *value != Val::Nil).unwrap_or(Val::Nil)
}
