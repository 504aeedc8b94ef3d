//! Values at run time, and what operators make of them.

use std::borrow::Cow;
use std::cmp::Ordering;

use traceql_grammar::ast::{BinaryOp, Kind, Static, Status};
use traceql_grammar::{go_duration, int_arithmetic};

use crate::columns::CellValue;
use crate::trace::{Scalar, Value};

/// A value of a span, or one computed from it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Val<'a> {
    /// Missing, or the result of an operation that makes no sense for its operands.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Nanoseconds.
    Duration(i64),
    Text(Cow<'a, str>),
    /// OTLP's number.
    Status(i32),
    /// OTLP's number.
    Kind(i32),
    /// Elements of one scalar type, at least two.
    Array(&'a [Value]),
    /// There, but no operator takes it: mixed and nested arrays, kvlists, bytes, empty values.
    Other(&'a Value),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Compare {
    pub(super) fn of(op: BinaryOp) -> Option<Self> {
        Some(match op {
            BinaryOp::Eq => Self::Eq,
            BinaryOp::Ne => Self::Ne,
            BinaryOp::Lt => Self::Lt,
            BinaryOp::Le => Self::Le,
            BinaryOp::Gt => Self::Gt,
            BinaryOp::Ge => Self::Ge,
            _ => return None,
        })
    }

    /// The same with its operands exchanged: `5 < x` is `x > 5`.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Eq => Self::Eq,
            Self::Ne => Self::Ne,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
        }
    }

    pub(super) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Eq => ordering.is_eq(),
            Self::Ne => ordering.is_ne(),
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
        }
    }

    fn equality(self, equal: bool) -> bool {
        match self {
            Self::Eq => equal,
            Self::Ne => !equal,
            Self::Lt | Self::Le | Self::Gt | Self::Ge => false,
        }
    }
}

impl<'a> Val<'a> {
    pub(super) fn of_static(value: &'a Static) -> Self {
        match value {
            Static::Nil => Self::Nil,
            Static::Int(value) => Self::Int(*value),
            Static::Float(value) => Self::Float(*value),
            Static::String(text) => Self::Text(Cow::Borrowed(text)),
            Static::Bool(value) => Self::Bool(*value),
            Static::Duration(value) => Self::Duration(*value),
            Static::Status(status) => Self::Status(status_code(*status)),
            Static::Kind(kind) => Self::Kind(kind_code(*kind)),
        }
    }

    pub(super) fn of_cell(cell: CellValue<'a>) -> Self {
        match cell {
            CellValue::Scalar(scalar) => Self::of_scalar(scalar),
            CellValue::Other(value) => Self::of_value(value),
        }
    }

    pub(super) fn of_scalar(scalar: Scalar<'a>) -> Self {
        match scalar {
            Scalar::String(text) => Self::Text(Cow::Borrowed(text)),
            Scalar::Bool(value) => Self::Bool(value),
            Scalar::Int(value) => Self::Int(value),
            Scalar::Double(value) => Self::Float(value),
        }
    }

    pub(super) fn of_value(value: &'a Value) -> Self {
        if let Some(scalar) = value.scalar() {
            return Self::of_scalar(scalar);
        }
        match value {
            // As in Tempo, where nothing tells an empty array from an attribute that is not there.
            Value::Array(items) if items.is_empty() => Self::Nil,
            // As in Tempo's storage, an array of one element is the element.
            Value::Array(items) if let [only] = &items[..] => {
                only.scalar().map_or(Self::Other(value), Self::of_scalar)
            }
            Value::Array(items) if is_homogeneous(items) => Self::Array(items),
            other => Self::Other(other),
        }
    }

    pub(super) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// Durations of more than 292 years read as the longest one.
    pub(super) fn duration(nanoseconds: u64) -> Self {
        Self::Duration(i64::try_from(nanoseconds).unwrap_or(i64::MAX))
    }

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    pub(super) fn is_numeric(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Float(_) | Self::Duration(_))
    }

    /// As answers show it: status, kind, durations and nil as text.
    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Nil => Value::String("nil".to_owned()),
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Float(value) => Value::Double(*value),
            Self::Duration(value) => Value::String(go_duration(*value)),
            Self::Text(text) => Value::String(text.clone().into_owned()),
            Self::Status(code) => Value::String(status_text(*code)),
            Self::Kind(code) => Value::String(kind_text(*code)),
            Self::Array(items) => Value::Array(items.to_vec()),
            Self::Other(value) => (*value).clone(),
        }
    }

    /// As it stands for its group: there is one zero, and one NaN.
    pub(super) fn canonical(self) -> Self {
        match self {
            // The pattern takes both zeros.
            Self::Float(0.0) => Self::Float(0.0),
            Self::Float(value) if value.is_nan() => Self::Float(f64::NAN),
            other => other,
        }
    }

    /// Equal for equal values of one type: `1`, `1.0`, `"1"` and `1ns` are four groups. The value must be [`Val::canonical`].
    pub(super) fn group_key(&self) -> Vec<u8> {
        let tag = match self {
            Self::Nil => 0,
            Self::Duration(_) => 1,
            Self::Status(_) => 2,
            Self::Kind(_) => 3,
            _ => 4,
        };
        let mut key = vec![tag];
        self.to_value().encode(&mut key);
        key
    }

    fn number(&self) -> Option<Number> {
        match self {
            Self::Int(value) | Self::Duration(value) => Some(Number::Int(*value)),
            Self::Float(value) => Some(Number::Float(*value)),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Float(f64),
}

/// `lhs op rhs`. Of an array any element may satisfy it; types that do not match never do.
pub(super) fn compare(op: Compare, lhs: &Val<'_>, rhs: &Val<'_>) -> bool {
    match (lhs, rhs) {
        (Val::Array(items), other) => any_element(items, |item| compare(op, item, other)),
        (other, Val::Array(items)) => any_element(items, |item| compare(op, other, item)),
        (Val::Text(lhs), Val::Text(rhs)) => op.holds(lhs.as_bytes().cmp(rhs.as_bytes())),
        (Val::Bool(lhs), Val::Bool(rhs)) => op.equality(lhs == rhs),
        (Val::Status(lhs), Val::Status(rhs)) | (Val::Kind(lhs), Val::Kind(rhs)) => {
            op.equality(lhs == rhs)
        }
        _ => match (lhs.number(), rhs.number()) {
            // Only NaN has no order: it differs from everything.
            (Some(lhs), Some(rhs)) => {
                number_order(lhs, rhs).map_or(op == Compare::Ne, |ordering| op.holds(ordering))
            }
            _ => false,
        },
    }
}

/// Whether an element passes. There is at least one: an empty array reads as missing.
pub(super) fn any_element<'a>(items: &'a [Value], accepts: impl Fn(&Val<'a>) -> bool) -> bool {
    items.iter().any(|item| accepts(&Val::of_value(item)))
}

/// The exact order of two numbers; `None` with NaN.
fn number_order(lhs: Number, rhs: Number) -> Option<Ordering> {
    match (lhs, rhs) {
        (Number::Int(lhs), Number::Int(rhs)) => Some(lhs.cmp(&rhs)),
        (Number::Float(lhs), Number::Float(rhs)) => lhs.partial_cmp(&rhs),
        (Number::Int(lhs), Number::Float(rhs)) => int_float_order(lhs, rhs),
        (Number::Float(lhs), Number::Int(rhs)) => int_float_order(rhs, lhs).map(Ordering::reverse),
    }
}

/// 2^63, the first float above all ints.
const INT_END: f64 = 9_223_372_036_854_775_808.0;

fn int_float_order(int: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float >= INT_END {
        return Some(Ordering::Less);
    }
    if float < -INT_END {
        return Some(Ordering::Greater);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was just checked")]
    let whole = float.trunc() as i64;
    Some(int.cmp(&whole).then_with(|| {
        0.0_f64.partial_cmp(&(float - float.trunc())).expect("a fraction is not NaN")
    }))
}

/// `lhs < rhs` and so on of two numbers; `None` if either is none, or NaN.
pub(super) fn numeric_order(lhs: &Val<'_>, rhs: &Val<'_>) -> Option<Ordering> {
    number_order(lhs.number()?, rhs.number()?)
}

/// Which ints stand in a relation to a number: those from `first` to `last`, or all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IntRange {
    first: i64,
    last: i64,
    outside: bool,
}

impl IntRange {
    const NONE: Self = Self { first: 1, last: 0, outside: false };

    /// The ints `x` of `x op number`; `None` if the operand is not a number.
    pub(super) fn of(op: Compare, operand: &Val<'_>) -> Option<Self> {
        // The largest int not above the number, and whether it equals it.
        let (floor, exact) = match operand.number()? {
            Number::Int(value) => (value, true),
            Number::Float(value) if value.is_nan() => {
                return Some(Self { outside: op == Compare::Ne, ..Self::NONE });
            }
            Number::Float(value) if value >= INT_END => (i64::MAX, false),
            Number::Float(value) if value < -INT_END => {
                let all = matches!(op, Compare::Gt | Compare::Ge | Compare::Ne);
                return Some(Self { outside: all, ..Self::NONE });
            }
            Number::Float(value) => {
                #[expect(clippy::cast_possible_truncation, reason = "the range was just checked")]
                let floor = value.floor() as i64;
                (floor, value.floor().to_bits() == value.to_bits() || value == 0.0)
            }
        };
        let up_to = |last: Option<i64>| {
            last.map_or(Self::NONE, |last| Self { first: i64::MIN, last, outside: false })
        };
        let below = if exact { floor.checked_sub(1) } else { Some(floor) };
        Some(match op {
            Compare::Eq | Compare::Ne => {
                let one = Self { first: floor, last: floor, outside: false };
                let equal = if exact { one } else { Self::NONE };
                Self { outside: op == Compare::Ne, ..equal }
            }
            Compare::Lt => up_to(below),
            Compare::Le => up_to(Some(floor)),
            Compare::Gt => Self { outside: true, ..up_to(Some(floor)) },
            Compare::Ge => Self { outside: true, ..up_to(below) },
        })
    }

    /// The least and the largest int in it; `None` if it is not one piece, or empty.
    pub(super) fn bounds(self) -> Option<(i64, i64)> {
        let Self { first, last, outside } = self;
        match outside {
            false if first <= last => Some((first, last)),
            true if first == i64::MIN => Some((last.checked_add(1)?, i64::MAX)),
            _ => None,
        }
    }

    pub(super) fn contains(self, value: i64) -> bool {
        (self.first <= value && value <= self.last) != self.outside
    }
}

/// `lhs op rhs` of an arithmetic operator. Ints wrap; with a float or a duration the result is a float; anything else, and an
/// int divided by zero, is nil.
pub(super) fn arithmetic<'a>(op: BinaryOp, lhs: &Val<'_>, rhs: &Val<'_>) -> Val<'a> {
    if let (Val::Int(lhs), Val::Int(rhs)) = (lhs, rhs) {
        return int_arithmetic(op, *lhs, *rhs).map_or(Val::Nil, Val::Int);
    }
    let (Some(lhs), Some(rhs)) = (lhs.number(), rhs.number()) else { return Val::Nil };
    let (lhs, rhs) = (lhs.to_float(), rhs.to_float());
    Val::Float(match op {
        BinaryOp::Add => lhs + rhs,
        BinaryOp::Sub => lhs - rhs,
        BinaryOp::Mul => lhs * rhs,
        BinaryOp::Div => lhs / rhs,
        BinaryOp::Mod => lhs % rhs,
        BinaryOp::Pow => lhs.powf(rhs),
        _ => return Val::Nil,
    })
}

impl Number {
    fn to_float(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "mixed arithmetic is float arithmetic")]
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

/// The value of a number as a float.
pub(super) fn as_float(value: &Val<'_>) -> Option<f64> {
    value.number().map(Number::to_float)
}

fn is_homogeneous(items: &[Value]) -> bool {
    let Some(first) = items.first() else { return false };
    first.scalar().is_some()
        && items.iter().all(|item| std::mem::discriminant(item) == std::mem::discriminant(first))
}

/// OTLP's number of a status.
pub(super) fn status_code(status: Status) -> i32 {
    match status {
        Status::Unset => 0,
        Status::Ok => 1,
        Status::Error => 2,
    }
}

fn kind_code(kind: Kind) -> i32 {
    match kind {
        Kind::Unspecified => 0,
        Kind::Internal => 1,
        Kind::Server => 2,
        Kind::Client => 3,
        Kind::Producer => 4,
        Kind::Consumer => 5,
    }
}

pub(super) fn status_text(code: i32) -> String {
    match code {
        0 => "unset".to_owned(),
        1 => "ok".to_owned(),
        2 => "error".to_owned(),
        other => format!("status({other})"),
    }
}

pub(super) fn kind_text(code: i32) -> String {
    match code {
        0 => "unspecified".to_owned(),
        1 => "internal".to_owned(),
        2 => "server".to_owned(),
        3 => "client".to_owned(),
        4 => "producer".to_owned(),
        5 => "consumer".to_owned(),
        other => format!("kind({other})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ints_and_floats_compare_without_loss() {
        let big = Val::Int(9_007_199_254_740_993);
        let near = Val::Float(9_007_199_254_740_992.0);
        assert!(compare(Compare::Gt, &big, &near) && !compare(Compare::Eq, &big, &near));
        assert!(compare(Compare::Lt, &Val::Int(i64::MAX), &Val::Float(INT_END)));
        assert!(compare(Compare::Lt, &Val::Int(-2), &Val::Float(-1.5)));
        assert!(compare(Compare::Gt, &Val::Int(-1), &Val::Float(-1.5)));
        assert!(compare(Compare::Ne, &Val::Int(0), &Val::Float(f64::NAN)));
        assert!(!compare(Compare::Eq, &Val::Float(f64::NAN), &Val::Float(f64::NAN)));
    }

    #[test]
    fn a_range_of_ints_says_what_a_comparison_says() {
        let ops = [Compare::Eq, Compare::Ne, Compare::Lt, Compare::Le, Compare::Gt, Compare::Ge];
        let numbers = [
            Val::Int(0),
            Val::Int(i64::MIN),
            Val::Int(i64::MAX),
            Val::Duration(7),
            Val::Float(-0.0),
            Val::Float(1.5),
            Val::Float(-1.5),
            Val::Float(-1.0),
            Val::Float(INT_END),
            Val::Float(-INT_END),
            Val::Float(-2.0 * INT_END),
            Val::Float(f64::INFINITY),
            Val::Float(f64::NEG_INFINITY),
            Val::Float(f64::NAN),
        ];
        let ints = [i64::MIN, i64::MIN + 1, -2, -1, 0, 1, 2, 6, 7, 8, i64::MAX - 1, i64::MAX];
        for op in ops {
            for number in &numbers {
                let range = IntRange::of(op, number).unwrap();
                for int in ints {
                    let says = compare(op, &Val::Int(int), number);
                    assert_eq!(range.contains(int), says, "{int} {op:?} {number:?}");
                }
            }
        }
        assert_eq!(IntRange::of(Compare::Eq, &Val::text("1")), None);
    }

    #[test]
    fn arithmetic_by_table() {
        let int = |op, l, r| arithmetic(op, &Val::Int(l), &Val::Int(r));
        assert_eq!(int(BinaryOp::Div, -7, 2), Val::Int(-3));
        assert_eq!(int(BinaryOp::Mod, -7, 3), Val::Int(-1));
        assert_eq!(int(BinaryOp::Div, 1, 0), Val::Nil);
        assert_eq!(int(BinaryOp::Add, i64::MAX, 1), Val::Int(i64::MIN));
        assert_eq!(int(BinaryOp::Pow, 2, 3), Val::Int(8));
        let mixed = arithmetic(BinaryOp::Div, &Val::Duration(1_000_000_000), &Val::Int(2));
        assert_eq!(mixed, Val::Float(5e8));
        assert_eq!(arithmetic(BinaryOp::Add, &Val::Nil, &Val::Int(2)), Val::Nil);
        assert_eq!(arithmetic(BinaryOp::Add, &Val::text("a"), &Val::Int(2)), Val::Nil);
    }

    #[test]
    fn arrays_match_by_any_element() {
        let items = [Value::String("x".into()), Value::String("y".into())];
        let array = Val::Array(&items);
        assert!(compare(Compare::Eq, &array, &Val::text("y")));
        assert!(compare(Compare::Ne, &array, &Val::text("x")));
        let one = Val::Array(&items[..1]);
        assert!(!compare(Compare::Ne, &one, &Val::text("x")));
        assert_eq!(Val::of_value(&Value::Array(vec![])), Val::Nil);
        assert!(!compare(Compare::Eq, &array, &Val::Int(1)));
        assert!(!compare(Compare::Ne, &array, &Val::Nil));
        let mixed = Value::Array(vec![Value::Int(1), Value::Bool(true)]);
        assert!(matches!(Val::of_value(&mixed), Val::Other(_)));
    }
}
