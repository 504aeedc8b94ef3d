//! Tests of events and links: what is joined by `&&` must hold of one event.

use super::plan::{Expr, Owner, owner_of};

/// Brings the tests of events (and of links) in a condition together: all operands of an `&&` that speak only of events hold of
/// one event, each operand of an `||` of one of its own, `!` is outside.
pub(super) fn condition(expr: Expr) -> Expr {
    if let Some(owner) = owner(&expr)
        && !matches!(expr, Expr::Or(_))
    {
        return wrap(owner, expr);
    }
    match expr {
        Expr::And(items) => Expr::And(conjunction(items)),
        Expr::Or(items) => Expr::Or(items.into_iter().map(condition).collect()),
        Expr::Not(inner) => Expr::Not(Box::new(condition(*inner))),
        other => operand(other),
    }
}

/// The same below an operator that takes a value: a bare attribute keeps the value of the first event that has it.
pub(super) fn operand(expr: Expr) -> Expr {
    match expr {
        Expr::Binary { op, lhs, rhs } => {
            let (lhs, rhs) = (Box::new(operand(*lhs)), Box::new(operand(*rhs)));
            let whole = Expr::Binary { op, lhs, rhs };
            match owner(&whole) {
                Some(owner) if whole.is_boolean() => wrap(owner, whole),
                _ => whole,
            }
        }
        Expr::Neg(inner) => Expr::Neg(Box::new(operand(*inner))),
        Expr::Exists { expr, present } => match owner(&expr) {
            Some(owner) if !expr.is_boolean() => wrap(owner, Expr::Exists { expr, present }),
            Some(_) if is_denied_field(&expr) => Expr::Exists { expr, present },
            Some(_) => Expr::Exists { expr: Box::new(condition(*expr)), present },
            None => Expr::Exists { expr: Box::new(operand(*expr)), present },
        },
        // As a value it is that of the first event that has the flag, and missing where none has it.
        denied if is_denied_field(&denied) => denied,
        condition_like @ (Expr::And(_) | Expr::Or(_) | Expr::Not(_)) => condition(condition_like),
        Expr::Test(test) => match not_span(owner_of(&test.field)) {
            Some(owner) => wrap(owner, Expr::Test(test)),
            None => Expr::Test(test),
        },
        bare @ (Expr::Field(_) | Expr::Constant(_) | Expr::Each { .. }) => bare,
    }
}

fn conjunction(items: Vec<Expr>) -> Vec<Expr> {
    let (mut events, mut links, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        match owner(&item) {
            Some(Owner::Event) => events.push(item),
            Some(Owner::Link) => links.push(item),
            _ => rest.push(condition(item)),
        }
    }
    for (owner, mut items) in [(Owner::Event, events), (Owner::Link, links)] {
        match items.len() {
            0 => {}
            1 => rest.push(condition(items.remove(0))),
            _ => rest.push(wrap(owner, Expr::And(items))),
        }
    }
    rest
}

/// "Some event lacks it" is of no use alone: `event.x = nil` means that no event has it.
fn wrap(owner: Owner, expr: Expr) -> Expr {
    match expr {
        Expr::Exists { expr, present: false } => {
            let expr = Box::new(Expr::Exists { expr, present: true });
            Expr::Not(Box::new(Expr::Each { owner, expr }))
        }
        expr => Expr::Each { owner, expr: Box::new(expr) },
    }
}

/// The event or link that the whole expression speaks of, if it speaks of nothing else.
fn owner(expr: &Expr) -> Option<Owner> {
    match expr {
        Expr::Field(field) => not_span(owner_of(field)),
        Expr::Test(test) => not_span(owner_of(&test.field)),
        Expr::And(items) | Expr::Or(items) => {
            let first = owner(items.first()?)?;
            items.iter().all(|item| owner(item) == Some(first)).then_some(first)
        }
        // What is true or false is so of the span, whatever is then done with it.
        Expr::Binary { lhs, rhs, .. } if is_truth(lhs) || is_truth(rhs) => None,
        Expr::Exists { expr, .. } if is_truth(expr) => None,
        Expr::Binary { lhs, rhs, .. } => match (&**lhs, &**rhs) {
            (Expr::Constant(_), other) | (other, Expr::Constant(_)) => owner(other),
            (lhs, rhs) => owner(lhs).filter(|found| owner(rhs) == Some(*found)),
        },
        Expr::Exists { expr, .. } | Expr::Neg(expr) => owner(expr),
        // `!event.flag` is a flag of one event; `!(event.x = 1)` speaks of all of them.
        Expr::Not(inner) if is_denied_field(expr) => owner(inner),
        Expr::Not(_) | Expr::Constant(_) | Expr::Each { .. } => None,
    }
}

/// `!event.flag`, and `!!event.flag`.
fn is_denied_field(expr: &Expr) -> bool {
    match expr {
        Expr::Not(inner) => matches!(**inner, Expr::Field(_)) || is_denied_field(inner),
        _ => false,
    }
}

fn is_truth(expr: &Expr) -> bool {
    expr.is_boolean() && !matches!(expr, Expr::Constant(_))
}

fn not_span(owner: Owner) -> Option<Owner> {
    (owner != Owner::Span).then_some(owner)
}
