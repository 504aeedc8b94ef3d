//! From the grammar's tree to a `Plan`: literals in the form of what they are compared with, patterns compiled, tests of one
//! event brought together.

use traceql_grammar::ast::{
    self, Aggregate, AggregateOp, Attribute, BinaryOp, ExprKind, FieldExpr, Hint, Intrinsic,
    Pipeline, ScalarExpr, Scope, SpansetExpr, SpansetOp, Static, UnaryOp,
};
use traceql_grammar::{Error, ErrorKind, re2};

use super::each;
use super::plan::{
    Check, Expr, Mention, Order, OrderKey, Plan, ScalarFilter, Spansets, Stage, Test,
};
use super::value::Compare;

/// Binds a spanset pipeline and its order.
///
/// # Errors
/// For what validation would have refused: patterns that do not compile, forms that nobody evaluates.
pub(super) fn bind(
    pipeline: &Pipeline,
    order: Option<&ast::Order>,
    hints: &[Hint],
) -> Result<Plan, Error> {
    let mut binder = Binder::default();
    let stages = binder.pipeline(pipeline)?;
    let order = order.map(|order| binder.order(order)).transpose()?;
    let rootless = hints
        .iter()
        .find(|hint| hint.name == "rootless" && matches!(hint.value, Static::Bool(_)))
        .is_some_and(|hint| hint.value == Static::Bool(true));
    let Binder { filters, mentions } = binder;
    let mut wanted = Vec::new();
    for filter in &filters {
        filter.wanted(&mut wanted);
    }
    let wanted = wanted.into_iter().map(|(owner, expr)| (owner, expr.clone())).collect();
    let shown = mentions.iter().flat_map(fields_of).collect();
    Ok(Plan { filters, stages, mentions, shown, wanted, order, rootless })
}

/// Of an unscoped attribute both the span's and the resource's value are told, as in Tempo.
fn fields_of(mention: &Mention) -> Vec<Mention> {
    match &mention.field {
        Attribute::Named { scope: Scope::None, name } => [Scope::Span, Scope::Resource]
            .map(|scope| Mention {
                field: Attribute::Named { scope, name: name.clone() },
                ..mention.clone()
            })
            .to_vec(),
        _ => vec![mention.clone()],
    }
}

/// Collects what the parts of a query share.
#[derive(Default)]
pub(super) struct Binder {
    pub(super) filters: Vec<Expr>,
    pub(super) mentions: Vec<Mention>,
}

impl Binder {
    fn pipeline(&mut self, pipeline: &Pipeline) -> Result<Vec<Stage>, Error> {
        let mut stages = Vec::with_capacity(pipeline.stages.len());
        for stage in &pipeline.stages {
            stages.push(match stage {
                ast::Stage::Spansets(expr) => Stage::Spansets(self.spansets(expr)?),
                ast::Stage::Scalar(filter) => Stage::Scalar(self.scalar(filter)?),
                ast::Stage::GroupBy(expr) => {
                    Stage::GroupBy { label: format!("by({expr})"), expr: self.value(expr)? }
                }
                ast::Stage::Coalesce => Stage::Coalesce,
                ast::Stage::Traces => Stage::Traces,
                // It selects what is shown and changes no spanset.
                ast::Stage::Select(attributes) => {
                    for attribute in attributes {
                        self.mention(attribute).whole = true;
                    }
                    continue;
                }
            });
        }
        Ok(stages)
    }

    fn spansets(&mut self, expr: &SpansetExpr) -> Result<Spansets, Error> {
        Ok(match expr {
            SpansetExpr::Filter(expr) => {
                let expr = each::condition(self.expr(expr)?);
                self.filters.push(expr);
                Spansets::Filter(self.filters.len() - 1)
            }
            SpansetExpr::Binary { op, lhs, rhs, .. } => {
                let (lhs, rhs) = (Box::new(self.spansets(lhs)?), Box::new(self.spansets(rhs)?));
                match *op {
                    SpansetOp::And => Spansets::Both(lhs, rhs),
                    SpansetOp::Or => Spansets::Either(lhs, rhs),
                    SpansetOp::Without => Spansets::Without(lhs, rhs),
                    SpansetOp::Structural { relation, form } => {
                        Spansets::Structural { relation, form, lhs, rhs }
                    }
                }
            }
            SpansetExpr::Pipeline(pipeline) => Spansets::Pipeline(self.pipeline(pipeline)?),
        })
    }

    fn scalar(&mut self, filter: &ast::ScalarFilter) -> Result<ScalarFilter, Error> {
        let (ScalarExpr::Aggregate(aggregate), ScalarExpr::Static(operand), Some(op)) =
            (&filter.lhs, &filter.rhs, Compare::of(filter.op))
        else {
            return Err(error(filter.span.clone(), "this scalar filter is not yet supported"));
        };
        let (kind, argument) = self.aggregate(aggregate)?;
        let (label, operand) = (aggregate.to_string(), operand.clone());
        Ok(ScalarFilter { aggregate: kind, argument, label, op, operand })
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<(AggregateOp, Option<Expr>), Error> {
        let Aggregate { op, argument, span: _ } = aggregate;
        Ok((*op, argument.as_ref().map(|argument| self.value(argument)).transpose()?))
    }

    fn order(&mut self, order: &ast::Order) -> Result<Order, Error> {
        let ast::Order { key, direction, span: _ } = order;
        let key = match key {
            ast::OrderKey::Field(field) => OrderKey::Field(self.value(field)?),
            ast::OrderKey::Aggregate(aggregate) => {
                let (op, argument) = self.aggregate(aggregate)?;
                OrderKey::Aggregate(op, argument)
            }
        };
        Ok(Order { key, direction: *direction })
    }

    /// An expression whose value matters, not only whether it is true.
    fn value(&mut self, expr: &FieldExpr) -> Result<Expr, Error> {
        Ok(each::operand(self.expr(expr)?))
    }

    pub(super) fn expr(&mut self, expr: &FieldExpr) -> Result<Expr, Error> {
        Ok(match &expr.kind {
            ExprKind::Static(value) => Expr::Constant(value.clone()),
            ExprKind::Attribute(field) => {
                refuse_parent(field, expr)?;
                self.mention(field).whole = true;
                Expr::Field(field.clone())
            }
            ExprKind::Unary { op: UnaryOp::Not, expr } => Expr::Not(Box::new(self.expr(expr)?)),
            ExprKind::Unary { op: UnaryOp::Neg, expr } => Expr::Neg(Box::new(self.expr(expr)?)),
            ExprKind::Exists { expr: of, present } => self.exists(of, *present)?,
            ExprKind::Binary { op, lhs, rhs } => self.binary(expr, *op, lhs, rhs)?,
        })
    }

    fn exists(&mut self, of: &FieldExpr, present: bool) -> Result<Expr, Error> {
        let bound = match &of.kind {
            // What must be missing is not shown.
            ExprKind::Attribute(field) if !present => {
                refuse_parent(field, of)?;
                self.mention(field);
                Expr::Field(field.clone())
            }
            _ => self.expr(of)?,
        };
        Ok(Expr::Exists { expr: Box::new(bound), present })
    }

    fn binary(
        &mut self,
        whole: &FieldExpr,
        op: BinaryOp,
        lhs: &FieldExpr,
        rhs: &FieldExpr,
    ) -> Result<Expr, Error> {
        match op {
            BinaryOp::And => return Ok(Expr::And(self.chain(op, lhs, rhs)?)),
            BinaryOp::Or => return Ok(Expr::Or(self.chain(op, lhs, rhs)?)),
            BinaryOp::Regex | BinaryOp::NotRegex => return self.pattern(whole, op, lhs, rhs),
            _ => {}
        }
        if let Some(compare) = Compare::of(op) {
            match (&lhs.kind, &rhs.kind) {
                (ExprKind::Attribute(field), ExprKind::Static(literal)) => {
                    return self.test(field, lhs, compare, literal);
                }
                (ExprKind::Static(literal), ExprKind::Attribute(field)) => {
                    return self.test(field, rhs, compare.mirrored(), literal);
                }
                _ => {}
            }
        }
        let (lhs, rhs) = (Box::new(self.expr(lhs)?), Box::new(self.expr(rhs)?));
        Ok(Expr::Binary { op, lhs, rhs })
    }

    /// The operands of a chain of one logical operator, which leans to the left.
    fn chain(
        &mut self,
        op: BinaryOp,
        lhs: &FieldExpr,
        rhs: &FieldExpr,
    ) -> Result<Vec<Expr>, Error> {
        let mut backwards = vec![rhs];
        let mut left = lhs;
        while let ExprKind::Binary { op: inner, lhs, rhs } = &left.kind
            && *inner == op
        {
            backwards.push(rhs);
            left = lhs;
        }
        backwards.push(left);
        let mut items = Vec::with_capacity(backwards.len());
        for item in backwards.into_iter().rev() {
            match (op, self.expr(item)?) {
                (BinaryOp::And, Expr::And(inner)) | (BinaryOp::Or, Expr::Or(inner)) => {
                    items.extend(inner);
                }
                (_, other) => items.push(other),
            }
        }
        Ok(items)
    }

    fn test(
        &mut self,
        field: &Attribute,
        at: &FieldExpr,
        op: Compare,
        literal: &Static,
    ) -> Result<Expr, Error> {
        refuse_parent(field, at)?;
        let check = Check::Compare(op, in_the_form_of(field, literal));
        self.mention(field).checks.push(check.clone());
        Ok(Expr::Test(Test { field: field.clone(), check }))
    }

    fn pattern(
        &mut self,
        whole: &FieldExpr,
        op: BinaryOp,
        lhs: &FieldExpr,
        rhs: &FieldExpr,
    ) -> Result<Expr, Error> {
        let ExprKind::Static(Static::String(text)) = &rhs.kind else {
            return Err(error(
                whole.span.clone(),
                "the right side of a pattern match must be text",
            ));
        };
        let pattern = re2::compile(text).map_err(|reason| error(rhs.span.clone(), &reason))?;
        let negated = op == BinaryOp::NotRegex;
        let ExprKind::Attribute(field) = &lhs.kind else {
            // Nothing else is ever text: constants are folded, arithmetic gives numbers.
            self.expr(lhs)?;
            return Ok(Expr::Constant(Static::Bool(false)));
        };
        refuse_parent(field, lhs)?;
        let check = Check::Match { text: text.clone(), pattern, negated };
        self.mention(field).checks.push(check.clone());
        Ok(Expr::Test(Test { field: field.clone(), check }))
    }

    fn mention(&mut self, field: &Attribute) -> &mut Mention {
        let known = self.mentions.iter().position(|mention| mention.field == *field);
        let index = known.unwrap_or_else(|| {
            let field = field.clone();
            self.mentions.push(Mention { field, whole: false, checks: Vec::new() });
            self.mentions.len() - 1
        });
        &mut self.mentions[index]
    }
}

/// Ids are compared as lower-case hex: trace ids without leading zeros, span ids with all 16 digits.
fn in_the_form_of(field: &Attribute, literal: &Static) -> Static {
    let (Attribute::Intrinsic(intrinsic), Static::String(text)) = (field, literal) else {
        return literal.clone();
    };
    let lower = text.to_ascii_lowercase();
    Static::String(match intrinsic {
        Intrinsic::TraceId | Intrinsic::LinkTraceId => lower.trim_start_matches('0').to_owned(),
        Intrinsic::SpanId | Intrinsic::ParentId | Intrinsic::LinkSpanId => format!("{lower:0>16}"),
        _ => text.clone(),
    })
}

fn refuse_parent(field: &Attribute, at: &FieldExpr) -> Result<(), Error> {
    match field {
        Attribute::OfParent { .. } | Attribute::Intrinsic(Intrinsic::Parent) => {
            Err(error(at.span.clone(), "parent is not yet supported"))
        }
        _ => Ok(()),
    }
}

pub(super) fn error(span: ast::Span, detail: &str) -> Error {
    Error {
        kind: ErrorKind::Unsupported,
        detail: detail.to_owned(),
        span,
        line: 0,
        column: 0,
        text: String::new(),
    }
}
