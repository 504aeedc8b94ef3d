//! The canonical text: what labels and spanset attributes are called, and what parses back to the
//! same tree.

use crate::ast::{
    Aggregate, Attribute, BinaryOp, ExprKind, FieldExpr, Hint, Intrinsic, Kind, Metrics,
    MetricsArithmetic, MetricsExpr, MetricsFirst, Order, OrderKey, Pipeline, Query, Root,
    ScalarExpr, ScalarFilter, Scope, Search, SecondStage, SpansetExpr, Stage, Static, Status,
};
use crate::limits::ends_name;
use crate::literals::SECOND;
use std::fmt::{self, Display, Formatter, Write as _};

/// A duration in Go's form: `1m30s`, `1.5s`, `24h0m0s`, `250µs`, `0s`.
pub fn go_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let left = nanos.unsigned_abs();
    let second = SECOND.unsigned_abs();
    if left == 0 {
        return "0s".to_owned();
    }
    if left < second {
        let (unit, scale) = match left {
            0..1000 => ("ns", 1),
            1000..1_000_000 => ("µs", 1000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(left, scale));
    }
    let (seconds, minutes, hours) =
        (left % (60 * second), left / (60 * second) % 60, left / (3600 * second));
    let seconds = decimal(seconds, second);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / scale`, exactly, without zeros at the end. `scale` is a power of ten.
fn decimal(value: u64, scale: u64) -> String {
    let (whole, part) = (value / scale, value % scale);
    if part == 0 {
        return whole.to_string();
    }
    // One digit more than the scale has zeros, and that first one is the scale's own.
    let digits = (part + scale).to_string();
    let fraction = digits.strip_prefix('1').unwrap_or(&digits).trim_end_matches('0');
    format!("{whole}.{fraction}")
}

/// A float in Go's shortest form, recognisable as a float: `1.0`, `0.25`, `1e+06`, `1e-05`.
pub fn go_float(value: f64) -> String {
    if !value.is_finite() {
        let name = if value.is_nan() { "NaN" } else { "Inf" };
        let sign = if value.is_nan() { "" } else { ["+", "-"][usize::from(value < 0.0)] };
        return format!("{sign}{name}");
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Go's rule for its shortest form, however many digits there are.
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{value:?}")
}

impl Display for Static {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            // Its digits alone would be out of range, since a minus is an operator.
            Self::Int(i64::MIN) => f.write_str("minInt"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => f.write_str(&go_float(*value)),
            Self::String(text) => string(text, f),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Duration(nanos) => f.write_str(&go_duration(*nanos)),
            Self::Status(status) => status.fmt(f),
            Self::Kind(kind) => kind.fmt(f),
        }
    }
}

/// In back quotes where that keeps every character.
fn string(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    if !text.contains(['`', '\r', '\0']) {
        return write!(f, "`{text}`");
    }
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\0' => f.write_str("\\x00")?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

impl Display for Status {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Display for Intrinsic {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Display for Attribute {
    /// As a label is called: `span.foo`, `.foo`, `name`, `event:name`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intrinsic(intrinsic) => intrinsic.fmt(f),
            Self::Named { scope, name } => {
                f.write_str(scope.prefix())?;
                // `.5` would be a number.
                let number =
                    *scope == Scope::None && name.starts_with(|c: char| c.is_ascii_digit());
                attribute_name(name, number, f)
            }
            Self::OfParent { scope, name } => {
                f.write_str("parent.")?;
                if *scope != Scope::None {
                    f.write_str(scope.prefix())?;
                }
                let scoped = name.starts_with("span.") || name.starts_with("resource.");
                attribute_name(name, *scope == Scope::None && scoped, f)
            }
        }
    }
}

/// A name, in quotes if it would end early or begin as something else.
fn attribute_name(name: &str, misleading: bool, f: &mut Formatter<'_>) -> fmt::Result {
    if !name.is_empty() && !misleading && !name.contains(|c| c == '"' || ends_name(c)) {
        return f.write_str(name);
    }
    f.write_char('"')?;
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

impl Display for FieldExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Static(value) => value.fmt(f),
            ExprKind::Attribute(attribute) => attribute.fmt(f),
            ExprKind::Unary { op, expr } => {
                f.write_str(op.symbol())?;
                operand(expr, false, f)
            }
            ExprKind::Binary { op, lhs, rhs } => {
                let takes_minus =
                    matches!(op, BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Pow);
                operand(lhs, takes_minus, f)?;
                write!(f, " {} ", op.symbol())?;
                operand(rhs, false, f)
            }
            ExprKind::Exists { expr, present } => {
                if matches!(expr.kind, ExprKind::Static(Static::Nil)) {
                    f.write_str("nil")?;
                } else {
                    operand(expr, false, f)?;
                }
                f.write_str(if *present { " != nil" } else { " = nil" })
            }
        }
    }
}

/// An operand: a leaf as it is, all else in parentheses. `takes_minus` when the operator would pull
/// the minus of a negative number out before itself: `(-2) ^ .a`.
fn operand(expr: &FieldExpr, takes_minus: bool, f: &mut Formatter<'_>) -> fmt::Result {
    let bare = match &expr.kind {
        ExprKind::Attribute(_) => true,
        ExprKind::Static(value) => !(takes_minus && is_negative(value)),
        _ => false,
    };
    if bare { expr.fmt(f) } else { write!(f, "({expr})") }
}

fn is_negative(value: &Static) -> bool {
    match value {
        Static::Int(value) => *value < 0 && *value != i64::MIN,
        Static::Duration(nanos) => *nanos < 0,
        Static::Float(value) => value.is_sign_negative(),
        _ => false,
    }
}

impl Display for Aggregate {
    /// As the attribute of a spanset is called: `count()`, `avg(duration)`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op.as_str())?;
        if let Some(argument) = &self.argument {
            argument.fmt(f)?;
        }
        f.write_char(')')
    }
}

impl Display for ScalarExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aggregate(aggregate) => aggregate.fmt(f),
            Self::Static(value) => value.fmt(f),
            Self::Pipeline(pipeline, aggregate) => write!(f, "({pipeline}|{aggregate})"),
            Self::Binary { op, lhs, rhs, .. } => {
                scalar_operand(lhs, f)?;
                write!(f, " {} ", op.symbol())?;
                scalar_operand(rhs, f)
            }
        }
    }
}

fn scalar_operand(expr: &ScalarExpr, f: &mut Formatter<'_>) -> fmt::Result {
    match expr {
        ScalarExpr::Binary { .. } => write!(f, "({expr})"),
        leaf => leaf.fmt(f),
    }
}

impl Display for ScalarFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        scalar_operand(&self.lhs, f)?;
        write!(f, " {} ", self.op.symbol())?;
        scalar_operand(&self.rhs, f)
    }
}

impl Display for SpansetExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(condition) => write!(f, "{{ {condition} }}"),
            Self::Pipeline(pipeline) => write!(f, "({pipeline})"),
            Self::Binary { op, lhs, rhs, .. } => {
                spanset_operand(lhs, f)?;
                write!(f, " {} ", op.symbol())?;
                spanset_operand(rhs, f)
            }
        }
    }
}

fn spanset_operand(expr: &SpansetExpr, f: &mut Formatter<'_>) -> fmt::Result {
    match expr {
        SpansetExpr::Binary { .. } => write!(f, "({expr})"),
        leaf => leaf.fmt(f),
    }
}

/// `items` with `between` them.
fn joined<T: Display>(items: &[T], between: &str, f: &mut Formatter<'_>) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spansets(spansets) => spansets.fmt(f),
            Self::Scalar(filter) => filter.fmt(f),
            Self::GroupBy(by) => write!(f, "by({by})"),
            Self::Select(attributes) => {
                f.write_str("select(")?;
                joined(attributes, ", ", f)?;
                f.write_char(')')
            }
            Self::Coalesce => f.write_str("coalesce()"),
            Self::Traces => f.write_str("traces()"),
        }
    }
}

impl Display for Pipeline {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        joined(&self.stages, "|", f)
    }
}

impl Display for MetricsFirst {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aggregate { op, argument, quantiles, by } => {
                write!(f, "{}(", op.as_str())?;
                if let Some(argument) = argument {
                    argument.fmt(f)?;
                }
                for quantile in quantiles {
                    write!(f, ",{}", go_float(*quantile))?;
                }
                f.write_char(')')?;
                if by.is_empty() {
                    return Ok(());
                }
                f.write_str("by(")?;
                joined(by, ",", f)?;
                f.write_char(')')
            }
            Self::Compare { selection, top, start_unix_nano, end_unix_nano } => {
                write!(f, "compare({{ {selection} }},{top}")?;
                if (*start_unix_nano, *end_unix_nano) != (0, 0) {
                    write!(f, ",{start_unix_nano},{end_unix_nano}")?;
                }
                f.write_char(')')
            }
        }
    }
}

impl Display for SecondStage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::TopK(limit) => write!(f, " | topk({limit})"),
            Self::BottomK(limit) => write!(f, " | bottomk({limit})"),
            Self::Filter { op, value } => write!(f, " {} {value}", op.symbol()),
        }
    }
}

impl Display for Metrics {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {}", self.pipeline, self.first)?;
        joined(&self.second, "", f)
    }
}

impl Display for MetricsExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(query) => query.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Arithmetic(arithmetic) => {
                let MetricsArithmetic { op, lhs, rhs, second, span: _ } = &**arithmetic;
                metrics_operand(lhs, f)?;
                write!(f, " {} ", op.symbol())?;
                metrics_operand(rhs, f)?;
                joined(second, "", f)
            }
        }
    }
}

fn metrics_operand(expr: &MetricsExpr, f: &mut Formatter<'_>) -> fmt::Result {
    match expr {
        MetricsExpr::Number(value) => value.fmt(f),
        query => write!(f, "({query})"),
    }
}

impl Display for Search {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.pipeline.fmt(f)?;
        if let Some(Order { key, direction, span: _ }) = &self.order {
            f.write_str(" | order by ")?;
            match key {
                OrderKey::Field(field) => field.fmt(f)?,
                OrderKey::Aggregate(aggregate) => aggregate.fmt(f)?,
            }
            write!(f, " {}", direction.as_str())?;
        }
        match &self.limit {
            Some(limit) => write!(f, " | limit {}", limit.count),
            None => Ok(()),
        }
    }
}

impl Display for Hint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::Search(search) => search.fmt(f)?,
            Root::Metrics(metrics) => metrics.fmt(f)?,
        }
        if self.hints.is_empty() {
            return Ok(());
        }
        f.write_str(" with(")?;
        joined(&self.hints, ",", f)?;
        f.write_char(')')
    }
}

#[cfg(test)]
#[path = "print_tests.rs"]
mod tests;
