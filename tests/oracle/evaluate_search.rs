//! Searches: the spansets that the stages leave of a trace.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use traceql_grammar::ast::{
    Aggregate, AggregateOp, FieldExpr, Form, Pipeline, Relation, ScalarExpr, ScalarFilter,
    SpansetExpr, SpansetOp, Stage,
};

use crate::evaluate_field::{is_true, value};
use crate::evaluate_trace::Trace;
use crate::evaluate_value::{Val, binary, compare_numbers};

/// Spans of one trace, by their places, and what stages say of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spanset {
    pub(crate) spans: Vec<usize>,
    pub(crate) attributes: Vec<(String, Val)>,
}

/// A structural operator has several spansets on one side.
#[derive(Debug)]
pub(crate) struct SeveralSpansets;

pub(crate) type Spansets = Result<Vec<Spanset>, SeveralSpansets>;

/// A trace, and how it is looked at.
pub(crate) struct Search<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) rootless: bool,
}

impl Search<'_> {
    /// What a pipeline leaves of the whole trace. No spanset is empty.
    pub(crate) fn run(&self, pipeline: &Pipeline) -> Spansets {
        let spans = (0..self.trace.spans.len()).collect();
        self.stages(pipeline, &Spanset { spans, attributes: Vec::new() })
    }

    fn stages(&self, pipeline: &Pipeline, input: &Spanset) -> Spansets {
        let mut spansets = vec![input.clone()];
        for stage in &pipeline.stages {
            let mut next = Vec::new();
            match stage {
                Stage::Coalesce => {
                    next.push(Spanset { spans: all_spans(&spansets), attributes: Vec::new() });
                }
                // The earliest span of all that are left, then the smallest id, then kind: places are in that order.
                Stage::Traces => {
                    let spans = all_spans(&spansets).into_iter().min().into_iter().collect();
                    next.push(Spanset { spans, attributes: Vec::new() });
                }
                stage => {
                    for spanset in &spansets {
                        next.extend(self.stage(stage, spanset)?);
                    }
                }
            }
            next.retain(|spanset| !spanset.spans.is_empty());
            spansets = next;
        }
        Ok(spansets)
    }

    fn stage(&self, stage: &Stage, input: &Spanset) -> Spansets {
        Ok(match stage {
            Stage::Spansets(expr) => self.spansets(expr, input)?,
            Stage::Scalar(filter) => self.scalar(filter, input).into_iter().collect(),
            Stage::GroupBy(by) => self.group(by, input),
            // What is shown of spans; which ones does not change.
            Stage::Select(_) => vec![input.clone()],
            Stage::Coalesce | Stage::Traces => unreachable!("about all spansets together"),
        })
    }

    fn spansets(&self, expr: &SpansetExpr, input: &Spanset) -> Spansets {
        match expr {
            SpansetExpr::Filter(condition) => {
                let mut kept = input.clone();
                kept.spans.retain(|place| is_true(self.trace, *place, condition));
                Ok(if kept.spans.is_empty() { Vec::new() } else { vec![kept] })
            }
            SpansetExpr::Pipeline(pipeline) => self.stages(pipeline, input),
            SpansetExpr::Binary { op, lhs, rhs, .. } => {
                let (lhs, rhs) = (self.spansets(lhs, input)?, self.spansets(rhs, input)?);
                let spans = match op {
                    SpansetOp::And if lhs.is_empty() || rhs.is_empty() => Vec::new(),
                    SpansetOp::Without if !rhs.is_empty() => Vec::new(),
                    SpansetOp::Without => all_spans(&lhs),
                    SpansetOp::And | SpansetOp::Or => union(&all_spans(&lhs), &all_spans(&rhs)),
                    SpansetOp::Structural { .. } if lhs.len() > 1 || rhs.len() > 1 => {
                        return Err(SeveralSpansets);
                    }
                    SpansetOp::Structural { relation, form } => {
                        self.structural(*relation, *form, &all_spans(&lhs), &all_spans(&rhs))
                    }
                };
                let attributes = input.attributes.clone();
                Ok(if spans.is_empty() { Vec::new() } else { vec![Spanset { spans, attributes }] })
            }
        }
    }

    fn structural(
        &self,
        relation: Relation,
        form: Form,
        lhs: &[usize],
        rhs: &[usize],
    ) -> Vec<usize> {
        let related = |left: usize, right: usize| self.is_related(relation, left, right);
        let right: Vec<usize> = rhs
            .iter()
            .copied()
            .filter(|right| {
                lhs.iter().any(|left| related(*left, *right)) != (form == Form::Negated)
            })
            .collect();
        if form != Form::Union {
            return right;
        }
        let left: Vec<usize> = lhs
            .iter()
            .copied()
            .filter(|left| rhs.iter().any(|right| related(*left, *right)))
            .collect();
        union(&left, &right)
    }

    /// How a span of the right side stands to one of the left side.
    fn is_related(&self, relation: Relation, left: usize, right: usize) -> bool {
        let is_placed = |place: usize| self.trace.is_placed(place, self.rootless);
        if !is_placed(left) || !is_placed(right) {
            return false;
        }
        let parent = |place: usize| self.trace.parent[place];
        match relation {
            Relation::Child => parent(right) == Some(left),
            Relation::Parent => parent(left) == Some(right),
            Relation::Descendant => self.is_below(right, left),
            Relation::Ancestor => self.is_below(left, right),
            // All roots are siblings; other spans without a parent have none.
            Relation::Sibling => {
                left != right
                    && parent(left) == parent(right)
                    && (parent(left).is_some() || (self.is_root(left) && self.is_root(right)))
            }
        }
    }

    fn is_root(&self, place: usize) -> bool {
        self.trace.spans[place].parent == 0
    }

    fn is_below(&self, place: usize, above: usize) -> bool {
        self.trace.parent[place]
            .is_some_and(|parent| parent == above || self.is_below(parent, above))
    }

    /// A spanset for each value; the spans without one have their own.
    fn group(&self, by: &FieldExpr, input: &Spanset) -> Vec<Spanset> {
        let mut groups: Vec<(String, Spanset)> = Vec::new();
        for place in &input.spans {
            let value = value(self.trace, *place, by);
            let key = group_key(&value);
            if let Some((_, group)) = groups.iter_mut().find(|(known, _)| *known == key) {
                group.spans.push(*place);
                continue;
            }
            let mut attributes = input.attributes.clone();
            say(&mut attributes, format!("by({by})"), value);
            groups.push((key, Spanset { spans: vec![*place], attributes }));
        }
        // In the order of their last spans in the tree.
        let walk = self.trace.depth_first();
        let step = |place: &usize| walk.iter().position(|other| other == place);
        groups.sort_by_key(|(_, group)| group.spans.iter().map(step).max());
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// `count() > 2`: the spanset with the number as an attribute, if the comparison holds.
    fn scalar(&self, filter: &ScalarFilter, input: &Spanset) -> Option<Spanset> {
        let (ScalarExpr::Aggregate(aggregate), ScalarExpr::Static(literal)) =
            (&filter.lhs, &filter.rhs)
        else {
            unreachable!("all else is refused");
        };
        let found = aggregate_of(self.trace, aggregate, input);
        if found == Val::Nil {
            return None;
        }
        let holds = binary(filter.op, &found, &Val::of_literal(literal)) == Val::Bool(true);
        let mut spanset = input.clone();
        say(&mut spanset.attributes, aggregate.to_string(), found);
        holds.then_some(spanset)
    }
}

/// The number that an aggregate has for a spanset.
pub(crate) fn aggregate_of(trace: &Trace, aggregate: &Aggregate, input: &Spanset) -> Val {
    let Some(argument) = &aggregate.argument else {
        return Val::Int(input.spans.len().try_into().unwrap());
    };
    // What is no number does not count.
    let spans = trace.depth_first();
    let spans = spans.into_iter().filter(|place| input.spans.contains(place));
    let values = spans.map(|place| value(trace, place, argument));
    if aggregate.op == AggregateOp::CountDistinct {
        let there = values.filter(|value| *value != Val::Nil);
        let keys: BTreeSet<String> = there.map(|value| group_key(&value)).collect();
        return Val::Int(keys.len().try_into().unwrap());
    }
    let values: Vec<Val> = values.filter(Val::is_number).collect();
    if values.is_empty() {
        return Val::Nil;
    }
    match aggregate.op {
        AggregateOp::Count | AggregateOp::CountDistinct => unreachable!("counted"),
        AggregateOp::Sum => sum(&values),
        AggregateOp::Avg => average(&values),
        AggregateOp::Max => best(&values, Ordering::Greater),
        AggregateOp::Min => best(&values, Ordering::Less),
    }
}

/// What is said again takes the place of what was said before.
fn say(attributes: &mut Vec<(String, Val)>, key: String, value: Val) {
    match attributes.iter_mut().find(|(known, _)| *known == key) {
        Some((_, known)) => *known = value,
        None => attributes.push((key, value)),
    }
}

/// The first of the largest or smallest.
fn best(values: &[Val], wanted: Ordering) -> Val {
    let mut best = &values[0];
    for value in values {
        // Whatever there is is better than NaN.
        if is_nan(best) || compare_numbers(value, best) == Some(wanted) {
            best = value;
        }
    }
    best.clone()
}

fn is_nan(value: &Val) -> bool {
    matches!(value, Val::Float(value) if value.is_nan())
}

/// Ints give an int and durations a duration, which stop at the ends of their range; else it is a float.
fn sum(values: &[Val]) -> Val {
    let stopped =
        |total: i128| i64::try_from(total).unwrap_or(if total < 0 { i64::MIN } else { i64::MAX });
    if values.iter().all(|value| matches!(value, Val::Int(_))) {
        Val::Int(stopped(whole(values)))
    } else if values.iter().all(|value| matches!(value, Val::Duration(_))) {
        Val::Duration(stopped(whole(values)))
    } else {
        Val::Float(sum_of(values))
    }
}

/// The sum of ints and durations: apart and exact, since it can matter what is added in what order.
fn whole(values: &[Val]) -> i128 {
    let whole = values.iter().map(|value| match value {
        Val::Int(value) | Val::Duration(value) => i128::from(*value),
        _ => 0,
    });
    whole.sum()
}

/// Of numbers of any type; durations in nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "the sum is a float")]
pub(crate) fn sum_of(values: &[Val]) -> f64 {
    whole(values) as f64 + floats(values)
}

fn floats(values: &[Val]) -> f64 {
    let floats = values.iter().filter(|value| matches!(value, Val::Float(_)));
    floats.filter_map(Val::as_float).sum()
}

/// A duration of durations, else a float. Here sums do not stop.
#[expect(clippy::cast_precision_loss, reason = "an average of ints is a float")]
fn average(values: &[Val]) -> Val {
    let whole = whole(values);
    if values.iter().all(|value| matches!(value, Val::Duration(_))) {
        return Val::Duration((whole / values.len() as i128).try_into().unwrap());
    }
    Val::Float(sum_of(values) / values.len() as f64)
}

/// What makes two values one group: their type and content.
pub(crate) fn group_key(value: &Val) -> String {
    match value {
        // All zeros are one, and all that is not a number.
        Val::Float(0.0) => "float 0".to_owned(),
        Val::Float(value) => format!("float {value:?}"),
        other => format!("{} {}", other.type_rank(), other.told()),
    }
}

fn all_spans(spansets: &[Spanset]) -> Vec<usize> {
    spansets.iter().flat_map(|spanset| spanset.spans.clone()).collect()
}

fn union(one: &[usize], other: &[usize]) -> Vec<usize> {
    let mut all = [one, other].concat();
    all.sort_unstable();
    all.dedup();
    all
}
