//! Makes a difference small: fewer spans and a shorter query, as long as the answers still differ.

use traceql_grammar::ast::{
    ExprKind, FieldExpr, Metrics, MetricsArithmetic, MetricsExpr, Pipeline, Query, Root, Search,
    SpansetExpr, Stage,
};
use vivace::runtime::Cpu;

use crate::answers::{Question, check};
use crate::evaluate_trace::traces;
use crate::house::{Cutting, House};
use crate::model::Span;

/// A case in which the answers differ.
pub(crate) struct Case {
    pub(crate) cutting: Cutting,
    pub(crate) spans: Vec<Span>,
    pub(crate) question: Question,
    pub(crate) difference: String,
}

/// The smallest case that differs, by greedy steps.
pub(crate) async fn shrink(mut case: Case, cpu: &Cpu) -> Case {
    let whole: Vec<u128> = traces(&case.spans).iter().map(|trace| trace.id).collect();
    for id in whole {
        let rest = case.spans.iter().filter(|span| span.trace != id).cloned().collect();
        try_spans(&mut case, rest, cpu).await;
    }
    loop {
        let before = (case.spans.len(), case.question.text.len());
        let mut place = 0;
        while place < case.spans.len() {
            let mut rest = case.spans.clone();
            rest.remove(place);
            if !try_spans(&mut case, rest, cpu).await {
                place += 1;
            }
        }
        for shorter in shorter_queries(&case.question.tree) {
            if try_query(&mut case, &shorter, cpu).await {
                break;
            }
        }
        if before == (case.spans.len(), case.question.text.len()) {
            break;
        }
    }
    for place in 0..case.spans.len() {
        strip(&mut case, place, cpu).await;
    }
    case
}

/// Takes away what is on a span.
async fn strip(case: &mut Case, place: usize, cpu: &Cpu) {
    for list in 0..4 {
        let mut item = 0;
        loop {
            let mut spans = case.spans.clone();
            let span = &mut spans[place];
            match list {
                0 if item < span.attributes.len() => drop(span.attributes.remove(item)),
                1 if item < span.resource.len() => drop(span.resource.remove(item)),
                2 if item < span.events.len() => drop(span.events.remove(item)),
                3 if item < span.links.len() => drop(span.links.remove(item)),
                _ => break,
            }
            if !try_spans(case, spans, cpu).await {
                item += 1;
            }
        }
    }
}

async fn try_spans(case: &mut Case, spans: Vec<Span>, cpu: &Cpu) -> bool {
    let house = House::with(&case.cutting, &spans, cpu).await;
    match check(&house.querier, &traces(&spans), &case.question).await {
        Ok(_) => false,
        Err(difference) => {
            (case.spans, case.difference) = (spans, difference);
            true
        }
    }
}

async fn try_query(case: &mut Case, text: &str, cpu: &Cpu) -> bool {
    let Ok(tree) = traceql_grammar::parse_valid(text) else { return false };
    if text.len() >= case.question.text.len() {
        return false;
    }
    let question = Question { tree, text: text.to_owned(), ask: case.question.ask.clone() };
    let house = House::with(&case.cutting, &case.spans, cpu).await;
    match check(&house.querier, &traces(&case.spans), &question).await {
        Ok(_) => false,
        Err(difference) => {
            (case.question, case.difference) = (question, difference);
            true
        }
    }
}

/// Queries with a part left out.
fn shorter_queries(query: &Query) -> Vec<String> {
    let with = |root: Root| Query { root, ..query.clone() };
    let mut all = Vec::new();
    if !query.hints.is_empty() {
        all.push(Query { hints: Vec::new(), ..query.clone() });
    }
    match &query.root {
        Root::Search(search) => {
            all.push(with(Root::Search(Search { order: None, ..search.clone() })));
            all.push(with(Root::Search(Search { limit: None, ..search.clone() })));
            let shorter = shorter_pipelines(&search.pipeline).into_iter();
            all.extend(
                shorter.map(|pipeline| with(Root::Search(Search { pipeline, ..search.clone() }))),
            );
        }
        Root::Metrics(expr) => {
            all.extend(shorter_metrics(expr).into_iter().map(|expr| with(Root::Metrics(expr))));
        }
    }
    all.iter().map(ToString::to_string).collect()
}

fn shorter_metrics(expr: &MetricsExpr) -> Vec<MetricsExpr> {
    match expr {
        MetricsExpr::Number(_) => Vec::new(),
        MetricsExpr::Query(query) => {
            let mut all = Vec::new();
            for place in 0..query.second.len() {
                let mut shorter = query.clone();
                shorter.second.remove(place);
                all.push(shorter);
            }
            for pipeline in shorter_pipelines(&query.pipeline) {
                all.push(Metrics { pipeline, ..query.clone() });
            }
            all.into_iter().map(MetricsExpr::Query).collect()
        }
        MetricsExpr::Arithmetic(arithmetic) => {
            let mut all = vec![arithmetic.lhs.clone(), arithmetic.rhs.clone()];
            let with = |change: &dyn Fn(&mut MetricsArithmetic)| {
                let mut shorter = arithmetic.clone();
                change(&mut shorter);
                MetricsExpr::Arithmetic(shorter)
            };
            for place in 0..arithmetic.second.len() {
                all.push(with(&|shorter| drop(shorter.second.remove(place))));
            }
            for lhs in shorter_metrics(&arithmetic.lhs) {
                all.push(with(&|shorter| shorter.lhs = lhs.clone()));
            }
            for rhs in shorter_metrics(&arithmetic.rhs) {
                all.push(with(&|shorter| shorter.rhs = rhs.clone()));
            }
            all
        }
    }
}

fn shorter_pipelines(pipeline: &Pipeline) -> Vec<Pipeline> {
    let mut all = Vec::new();
    for (place, stage) in pipeline.stages.iter().enumerate() {
        if pipeline.stages.len() > 1 {
            let mut shorter = pipeline.clone();
            shorter.stages.remove(place);
            all.push(shorter);
        }
        let stages = match stage {
            Stage::Spansets(expr) => {
                shorter_spansets(expr).into_iter().map(Stage::Spansets).collect()
            }
            Stage::GroupBy(by) => shorter_fields(by).into_iter().map(Stage::GroupBy).collect(),
            _ => Vec::new(),
        };
        for stage in stages {
            let mut shorter = pipeline.clone();
            shorter.stages[place] = stage;
            all.push(shorter);
        }
    }
    all
}

fn shorter_spansets(expr: &SpansetExpr) -> Vec<SpansetExpr> {
    match expr {
        SpansetExpr::Filter(condition) => {
            shorter_fields(condition).into_iter().map(SpansetExpr::Filter).collect()
        }
        SpansetExpr::Pipeline(pipeline) => {
            shorter_pipelines(pipeline).into_iter().map(SpansetExpr::Pipeline).collect()
        }
        SpansetExpr::Binary { op, lhs, rhs, span } => {
            let with = |lhs: SpansetExpr, rhs: SpansetExpr| SpansetExpr::Binary {
                op: *op,
                lhs: Box::new(lhs),
                rhs: Box::new(rhs),
                span: span.clone(),
            };
            let mut all = vec![(**lhs).clone(), (**rhs).clone()];
            all.extend(shorter_spansets(lhs).into_iter().map(|lhs| with(lhs, (**rhs).clone())));
            all.extend(shorter_spansets(rhs).into_iter().map(|rhs| with((**lhs).clone(), rhs)));
            all
        }
    }
}

fn shorter_fields(expr: &FieldExpr) -> Vec<FieldExpr> {
    let with = |kind: ExprKind| FieldExpr { kind, span: expr.span.clone() };
    match &expr.kind {
        ExprKind::Static(_) | ExprKind::Attribute(_) => Vec::new(),
        ExprKind::Unary { op, expr } => {
            let mut all = vec![(**expr).clone()];
            let inside = shorter_fields(expr).into_iter();
            all.extend(inside.map(|expr| with(ExprKind::Unary { op: *op, expr: Box::new(expr) })));
            all
        }
        ExprKind::Exists { expr, present } => {
            let inside = shorter_fields(expr).into_iter();
            let with_it = |expr| with(ExprKind::Exists { expr: Box::new(expr), present: *present });
            inside.map(with_it).collect()
        }
        ExprKind::Binary { op, lhs, rhs } => {
            let both = |lhs: Box<FieldExpr>, rhs: Box<FieldExpr>| {
                with(ExprKind::Binary { op: *op, lhs, rhs })
            };
            let mut all = vec![(**lhs).clone(), (**rhs).clone()];
            let left = shorter_fields(lhs).into_iter();
            all.extend(left.map(|lhs| both(Box::new(lhs), rhs.clone())));
            let right = shorter_fields(rhs).into_iter();
            all.extend(right.map(|rhs| both(lhs.clone(), Box::new(rhs))));
            all
        }
    }
}
