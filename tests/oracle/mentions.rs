//! What a query is made of: the attributes that it mentions, and each operator and function for the statistics.

use std::collections::BTreeSet;

use traceql_grammar::ast::{
    Aggregate, Attribute, ExprKind, FieldExpr, Intrinsic, MetricsExpr, MetricsFirst, OrderKey,
    Pipeline, Query, Root, ScalarExpr, Scope, Search, SecondStage, SpansetExpr, Stage, UnaryOp,
};

use crate::evaluate_trace::{Owner, Trace};
use crate::evaluate_value::Val;

/// Parts of a query.
#[derive(Default)]
pub(crate) struct Mentions {
    pub(crate) attributes: Vec<Attribute>,
    /// Each with the kind of thing that it is.
    pub(crate) words: BTreeSet<String>,
}

/// The parts of a query.
pub(crate) fn of(query: &Query) -> Mentions {
    let mut all = Mentions::default();
    for hint in &query.hints {
        all.word("hint", &hint.name);
    }
    match &query.root {
        Root::Search(Search { pipeline, order, limit }) => {
            all.pipeline(pipeline);
            if let Some(order) = order {
                all.word("search", "order by");
                match &order.key {
                    OrderKey::Field(field) => all.field(field),
                    OrderKey::Aggregate(aggregate) => all.aggregate(aggregate),
                }
            }
            if limit.is_some() {
                all.word("search", "limit");
            }
        }
        Root::Metrics(expr) => all.metrics(expr),
    }
    all
}

impl Mentions {
    fn word(&mut self, what: &str, word: &str) {
        self.words.insert(format!("{what} {word}"));
    }

    fn metrics(&mut self, expr: &MetricsExpr) {
        match expr {
            MetricsExpr::Number(_) => {}
            MetricsExpr::Query(query) => {
                self.pipeline(&query.pipeline);
                self.first(&query.first);
                self.second(&query.second);
            }
            MetricsExpr::Arithmetic(arithmetic) => {
                self.word("arithmetic", arithmetic.op.symbol());
                self.metrics(&arithmetic.lhs);
                self.metrics(&arithmetic.rhs);
                self.second(&arithmetic.second);
            }
        }
    }

    fn second(&mut self, stages: &[SecondStage]) {
        for second in stages {
            match second {
                SecondStage::TopK(_) => self.word("second", "topk"),
                SecondStage::BottomK(_) => self.word("second", "bottomk"),
                SecondStage::Filter { op, .. } => self.word("second", op.symbol()),
            }
        }
    }

    fn aggregate(&mut self, aggregate: &Aggregate) {
        self.word("aggregate", aggregate.op.as_str());
        if let Some(argument) = &aggregate.argument {
            self.field(argument);
        }
    }

    fn first(&mut self, first: &MetricsFirst) {
        match first {
            MetricsFirst::Aggregate { op, argument, by, .. } => {
                self.word("metrics", op.as_str());
                for attribute in argument.iter().chain(by) {
                    self.attribute(attribute);
                }
                if !by.is_empty() {
                    self.word("metrics", "by");
                }
            }
            MetricsFirst::Compare { selection, .. } => {
                self.word("metrics", "compare");
                self.field(selection);
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        for stage in &pipeline.stages {
            match stage {
                Stage::Spansets(expr) => self.spansets(expr),
                Stage::Scalar(filter) => {
                    self.word("scalar", filter.op.symbol());
                    if let ScalarExpr::Aggregate(aggregate) = &filter.lhs {
                        self.aggregate(aggregate);
                    }
                }
                Stage::GroupBy(by) => {
                    self.word("stage", "by");
                    self.field(by);
                }
                Stage::Select(attributes) => {
                    self.word("stage", "select");
                    for attribute in attributes {
                        self.attribute(attribute);
                    }
                }
                Stage::Coalesce => self.word("stage", "coalesce"),
                Stage::Traces => self.word("stage", "traces"),
            }
        }
    }

    fn spansets(&mut self, expr: &SpansetExpr) {
        match expr {
            SpansetExpr::Filter(condition) => self.field(condition),
            SpansetExpr::Pipeline(pipeline) => {
                self.word("stage", "(pipeline)");
                self.pipeline(pipeline);
            }
            SpansetExpr::Binary { op, lhs, rhs, .. } => {
                self.word("spanset", op.symbol());
                self.spansets(lhs);
                self.spansets(rhs);
            }
        }
    }

    fn field(&mut self, expr: &FieldExpr) {
        match &expr.kind {
            ExprKind::Static(_) => {}
            ExprKind::Attribute(attribute) => self.attribute(attribute),
            ExprKind::Unary { op, expr } => {
                self.word("unary", if *op == UnaryOp::Not { "!" } else { "-" });
                self.field(expr);
            }
            ExprKind::Binary { op, lhs, rhs } => {
                self.word("field", op.symbol());
                self.field(lhs);
                self.field(rhs);
            }
            ExprKind::Exists { expr, present } => {
                self.word("field", if *present { "!= nil" } else { "= nil" });
                self.field(expr);
            }
        }
    }

    fn attribute(&mut self, attribute: &Attribute) {
        match attribute {
            Attribute::Intrinsic(intrinsic) => self.word("intrinsic", intrinsic.as_str()),
            Attribute::Named { scope, .. } => self.word("scope", &format!("{scope:?}")),
            Attribute::OfParent { .. } => {}
        }
        if !self.attributes.contains(attribute) {
            self.attributes.push(attribute.clone());
        }
    }

    /// Whether a span has the value under the key in answers, which is that of an attribute without its scope.
    pub(crate) fn shows(&self, trace: &Trace, place: usize, key: &str, told: &str) -> bool {
        self.attributes.iter().any(|attribute| {
            let own_key = match attribute {
                Attribute::Named { name, .. } => name.clone(),
                other => other.to_string(),
            };
            own_key == key
                && values(trace, place, attribute).iter().any(|value| match value {
                    // Of an array, the elements that a comparison accepts.
                    Val::List(items) => value.told() == told || shows_items(items, told),
                    value => value.told() == told,
                })
        })
    }
}

/// Whether the text is one of the elements or an array of some.
fn shows_items(items: &[Val], told: &str) -> bool {
    let mut rest = told.trim_matches(['[', ']']).split(", ");
    rest.all(|part| items.iter().any(|item| item.told() == part))
}

/// All values of an attribute: that of the span and of the resource, those of all events and links.
fn values(trace: &Trace, place: usize, attribute: &Attribute) -> Vec<Val> {
    let span = &trace.spans[place];
    let of = |attribute: &Attribute, owner: Owner<'_>| trace.value(place, attribute, owner);
    match attribute {
        Attribute::Named { scope: Scope::None, name } => [Scope::Span, Scope::Resource]
            .map(|scope| of(&Attribute::Named { scope, name: name.clone() }, Owner::default()))
            .to_vec(),
        Attribute::Named { scope: Scope::Event, .. }
        | Attribute::Intrinsic(Intrinsic::EventName | Intrinsic::EventTimeSinceStart) => {
            let of_event = |event| of(attribute, Owner { event: Some(event), link: None });
            span.events.iter().map(of_event).collect()
        }
        Attribute::Named { scope: Scope::Link, .. }
        | Attribute::Intrinsic(Intrinsic::LinkTraceId | Intrinsic::LinkSpanId) => {
            let of_link = |link| of(attribute, Owner { event: None, link: Some(link) });
            span.links.iter().map(of_link).collect()
        }
        _ => vec![of(attribute, Owner::default())],
    }
}
