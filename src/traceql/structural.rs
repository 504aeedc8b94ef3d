//! Structural operators: integer tests on rows in pre-order, linear or n log n in the spans of both sides.

use std::collections::HashMap;

use traceql_grammar::ast::{Form, Relation};

use super::tree::Tree;

/// The spans that `lhs op rhs` keeps. Both sides are rows of one trace, ascending and distinct, and so is the result.
pub(super) fn apply(
    tree: &Tree,
    relation: Relation,
    form: Form,
    lhs: &[u32],
    rhs: &[u32],
) -> Vec<u32> {
    if rhs.is_empty() || (lhs.is_empty() && form != Form::Negated) {
        return Vec::new();
    }
    if lhs.is_empty() {
        return rhs.to_vec();
    }
    let kept = related(tree, relation, lhs, rhs);
    match form {
        Form::Plain => pick(rhs, &kept, true),
        Form::Negated => pick(rhs, &kept, false),
        Form::Union => {
            let partners = related(tree, inverse(relation), rhs, lhs);
            merged(&pick(lhs, &partners, true), &pick(rhs, &kept, true))
        }
    }
}

/// The union of two ascending lists, ascending.
pub(super) fn merged(one: &[u32], other: &[u32]) -> Vec<u32> {
    let mut all = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(&&left), Some(&&right)) = (one.peek(), other.peek()) {
        all.push(left.min(right));
        if left <= right {
            one.next();
        }
        if right <= left {
            other.next();
        }
    }
    all.extend(one.chain(other));
    all
}

/// What `lhs` is to `rhs` where `rhs` is `relation` to `lhs`.
fn inverse(relation: Relation) -> Relation {
    match relation {
        Relation::Child => Relation::Parent,
        Relation::Parent => Relation::Child,
        Relation::Descendant => Relation::Ancestor,
        Relation::Ancestor => Relation::Descendant,
        Relation::Sibling => Relation::Sibling,
    }
}

/// For each span of `rhs`: whether it stands in the relation to a span of `lhs`.
fn related(tree: &Tree, relation: Relation, lhs: &[u32], rhs: &[u32]) -> Vec<bool> {
    match relation {
        Relation::Child => {
            let is_child = |row: usize| tree.parent_row(row).is_some_and(|at| has(lhs, at));
            of_each(tree, rhs, is_child)
        }
        Relation::Parent => {
            let related = lhs.iter().map(|row| *row as usize).filter(|row| tree.is_related(*row));
            let mut parents: Vec<u32> = related
                .filter_map(|row| tree.parent_row(row))
                .map(|row| u32::try_from(row).expect("a row before one that fits"))
                .collect();
            parents.sort_unstable();
            of_each(tree, rhs, |row| has(&parents, row))
        }
        Relation::Descendant => descendants(tree, lhs, rhs),
        Relation::Ancestor => of_each(tree, rhs, |row| {
            let next = lhs.partition_point(|other| *other as usize <= row);
            lhs.get(next).is_some_and(|below| *below as usize <= tree.last_row(row))
        }),
        Relation::Sibling => siblings(tree, lhs, rhs),
    }
}

fn of_each(tree: &Tree, rows: &[u32], test: impl Fn(usize) -> bool) -> Vec<bool> {
    rows.iter().map(|row| tree.is_related(*row as usize) && test(*row as usize)).collect()
}

/// One pass: subtrees are nested or apart, so a row lies in one of those that began before it just if it does not lie
/// behind the furthest end of them.
fn descendants(tree: &Tree, lhs: &[u32], rhs: &[u32]) -> Vec<bool> {
    let mut above = lhs.iter().map(|row| *row as usize).peekable();
    let mut furthest = None;
    rhs.iter()
        .map(|row| *row as usize)
        .map(|row| {
            while let Some(ancestor) = above.next_if(|ancestor| *ancestor < row) {
                furthest = furthest.max(Some(tree.last_row(ancestor)));
            }
            tree.is_related(row) && furthest.is_some_and(|last| row <= last)
        })
        .collect()
}

/// The spans of one trace that share a parent are siblings, and so are its roots.
fn siblings(tree: &Tree, lhs: &[u32], rhs: &[u32]) -> Vec<bool> {
    // For each family: one member that is in `lhs`, `None` if there are more.
    let mut families: HashMap<Family, Option<usize>, foldhash::fast::FixedState> =
        HashMap::default();
    for row in lhs.iter().map(|row| *row as usize) {
        if let Some(family) = family(tree, row) {
            families.entry(family).and_modify(|only| *only = None).or_insert(Some(row));
        }
    }
    let has_sibling = |row: usize| {
        let family = family(tree, row)?;
        families.get(&family).map(|only| only.is_none_or(|only| only != row))
    };
    rhs.iter().map(|row| has_sibling(*row as usize).unwrap_or(false)).collect()
}

/// What a span has in common with its siblings.
#[derive(PartialEq, Eq, Hash)]
enum Family {
    Roots,
    ChildrenOf(usize),
}

/// `None` for a span without siblings: one that is not related, or a top that is not a root.
fn family(tree: &Tree, row: usize) -> Option<Family> {
    match tree.parent_row(row) {
        _ if !tree.is_related(row) => None,
        Some(parent) => Some(Family::ChildrenOf(parent)),
        None => tree.is_root(row).then_some(Family::Roots),
    }
}

fn has(rows: &[u32], row: usize) -> bool {
    u32::try_from(row).is_ok_and(|row| rows.binary_search(&row).is_ok())
}

fn pick(rows: &[u32], marks: &[bool], wanted: bool) -> Vec<u32> {
    rows.iter().zip(marks).filter(|(_, mark)| **mark == wanted).map(|(row, _)| *row).collect()
}

#[cfg(test)]
#[path = "structural_tests.rs"]
mod tests;
