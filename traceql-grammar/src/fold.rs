//! Constants computed while parsing: `1 + 1` is `2` before anybody plans a scan.
//!
//! What cannot be computed stays as it is: types that do not match are for validation to refuse,
//! division by zero for the engine.

use crate::ast::{Attribute, BinaryOp, ExprKind, FieldExpr, Intrinsic, Static, UnaryOp};
use crate::re2;

/// Folds a whole tree, from the leaves up.
#[must_use]
pub fn fold(expr: FieldExpr) -> FieldExpr {
    let inner = |boxed: Box<FieldExpr>| Box::new(fold(*boxed));
    let kind = match expr.kind {
        leaf @ (ExprKind::Static(_) | ExprKind::Attribute(_)) => leaf,
        ExprKind::Unary { op, expr } => ExprKind::Unary { op, expr: inner(expr) },
        ExprKind::Binary { op, lhs, rhs } => {
            ExprKind::Binary { op, lhs: inner(lhs), rhs: inner(rhs) }
        }
        ExprKind::Exists { expr, present } => ExprKind::Exists { expr: inner(expr), present },
    };
    node(FieldExpr { kind, span: expr.span })
}

/// Folds one node, the children of which are folded.
pub(crate) fn node(mut expr: FieldExpr) -> FieldExpr {
    let value = match &mut expr.kind {
        ExprKind::Static(_) | ExprKind::Attribute(_) => None,
        ExprKind::Unary { op, expr } => constant(expr).and_then(|value| unary(*op, value)),
        ExprKind::Binary { op, lhs, rhs } => {
            strip_trace_id(lhs, rhs);
            constant(lhs).zip(constant(rhs)).and_then(|(lhs, rhs)| binary(*op, lhs, rhs))
        }
        // A literal is never absent; `nil` itself is compared with nothing.
        ExprKind::Exists { expr, present } => {
            constant(expr).map(|value| Static::Bool(*present && *value != Static::Nil))
        }
    };
    match value {
        Some(value) => FieldExpr { kind: ExprKind::Static(value), span: expr.span },
        None => expr,
    }
}

fn constant(expr: &FieldExpr) -> Option<&Static> {
    match &expr.kind {
        ExprKind::Static(value) => Some(value),
        _ => None,
    }
}

/// Trace ids have no leading zeros in the language, so a literal beside `trace:id` loses its own.
fn strip_trace_id(lhs: &mut FieldExpr, rhs: &mut FieldExpr) {
    let is_trace_id = |expr: &FieldExpr| {
        expr.kind == ExprKind::Attribute(Attribute::Intrinsic(Intrinsic::TraceId))
    };
    let literal = if is_trace_id(lhs) {
        rhs
    } else if is_trace_id(rhs) {
        lhs
    } else {
        return;
    };
    if let ExprKind::Static(Static::String(id)) = &mut literal.kind {
        *id = id.trim_start_matches('0').to_owned();
    }
}

/// `op value`, if the operator is made for the value's type.
pub fn unary(op: UnaryOp, value: &Static) -> Option<Static> {
    Some(match (op, value) {
        (UnaryOp::Not, Static::Bool(value)) => Static::Bool(!value),
        (UnaryOp::Neg, Static::Int(value)) => Static::Int(value.wrapping_neg()),
        (UnaryOp::Neg, Static::Float(value)) => Static::Float(-value),
        (UnaryOp::Neg, Static::Duration(value)) => Static::Duration(value.wrapping_neg()),
        _ => return None,
    })
}

/// `lhs op rhs`, if the types match and the result is a value that can be written down: division by
/// zero and floats beyond their range give `None`.
///
/// Ints wrap. A duration in arithmetic is a float of nanoseconds, and so is the result.
pub fn binary(op: BinaryOp, lhs: &Static, rhs: &Static) -> Option<Static> {
    match (lhs, rhs) {
        (Static::Int(lhs), Static::Int(rhs)) if op.is_arithmetic() => {
            int_arithmetic(op, *lhs, *rhs).map(Static::Int)
        }
        (Static::Int(lhs) | Static::Duration(lhs), Static::Int(rhs) | Static::Duration(rhs))
            if !op.is_arithmetic() =>
        {
            compare(op, lhs, rhs)
        }
        (Static::String(lhs), Static::String(rhs)) => match op {
            BinaryOp::Regex => Some(Static::Bool(re2::compile(rhs).ok()?.is_match(lhs))),
            BinaryOp::NotRegex => Some(Static::Bool(!re2::compile(rhs).ok()?.is_match(lhs))),
            _ => compare(op, lhs, rhs),
        },
        (Static::Bool(lhs), Static::Bool(rhs)) => match op {
            BinaryOp::And => Some(Static::Bool(*lhs && *rhs)),
            BinaryOp::Or => Some(Static::Bool(*lhs || *rhs)),
            _ => equality(op, lhs, rhs),
        },
        (Static::Status(lhs), Static::Status(rhs)) => equality(op, lhs, rhs),
        (Static::Kind(lhs), Static::Kind(rhs)) => equality(op, lhs, rhs),
        (lhs, rhs) => {
            let (lhs, rhs) = (as_float(lhs)?, as_float(rhs)?);
            if op.is_arithmetic() {
                let value = float_arithmetic(op, lhs, rhs)?;
                return value.is_finite().then_some(Static::Float(value));
            }
            compare(op, &lhs, &rhs)
        }
    }
}

fn equality<T: PartialEq>(op: BinaryOp, lhs: &T, rhs: &T) -> Option<Static> {
    op.is_equality().then(|| Static::Bool((lhs == rhs) == (op == BinaryOp::Eq)))
}

fn compare<T: PartialOrd>(op: BinaryOp, lhs: &T, rhs: &T) -> Option<Static> {
    Some(Static::Bool(match op {
        BinaryOp::Lt => lhs < rhs,
        BinaryOp::Le => lhs <= rhs,
        BinaryOp::Gt => lhs > rhs,
        BinaryOp::Ge => lhs >= rhs,
        _ => return equality(op, lhs, rhs),
    }))
}

fn as_float(value: &Static) -> Option<f64> {
    match value {
        Static::Float(value) => Some(*value),
        #[expect(clippy::cast_precision_loss, reason = "mixed arithmetic is float arithmetic")]
        Static::Int(value) | Static::Duration(value) => Some(*value as f64),
        _ => None,
    }
}

fn float_arithmetic(op: BinaryOp, lhs: f64, rhs: f64) -> Option<f64> {
    Some(match op {
        BinaryOp::Add => lhs + rhs,
        BinaryOp::Sub => lhs - rhs,
        BinaryOp::Mul => lhs * rhs,
        BinaryOp::Div => lhs / rhs,
        BinaryOp::Mod => lhs % rhs,
        BinaryOp::Pow => lhs.powf(rhs),
        _ => return None,
    })
}

/// Arithmetic of ints; `None` for division by zero.
pub fn int_arithmetic(op: BinaryOp, lhs: i64, rhs: i64) -> Option<i64> {
    match op {
        BinaryOp::Add => Some(lhs.wrapping_add(rhs)),
        BinaryOp::Sub => Some(lhs.wrapping_sub(rhs)),
        BinaryOp::Mul => Some(lhs.wrapping_mul(rhs)),
        BinaryOp::Div => (rhs != 0).then(|| lhs.wrapping_div(rhs)),
        BinaryOp::Mod => (rhs != 0).then(|| lhs.wrapping_rem(rhs)),
        BinaryOp::Pow => Some(int_power(lhs, rhs)),
        _ => None,
    }
}

/// `base ^ exponent`, exact where it fits; beyond that the nearest end of the range, and without its
/// fraction when the exponent is negative.
pub fn int_power(base: i64, exponent: i64) -> i64 {
    if let Some(exact) = u32::try_from(exponent).ok().and_then(|small| base.checked_pow(small)) {
        return exact;
    }
    if exponent > 0 {
        // Too large; a float would not know any more whether the exponent is even.
        return match base {
            0 | 1 => base,
            -1 => {
                if exponent % 2 == 0 {
                    1
                } else {
                    -1
                }
            }
            _ if base < 0 && exponent % 2 != 0 => i64::MIN,
            _ => i64::MAX,
        };
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the result does not fit or is below one: only its sign and size matter"
    )]
    let nearest = (base as f64).powf(exponent as f64) as i64;
    nearest
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
