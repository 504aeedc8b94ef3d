//! Structural operators: the worked vectors, against the definition, and a deep chain.

use std::sync::Arc;

use traceql_grammar::ast::{Form, Relation};

use super::*;
use crate::columns::{Batch, TraceTable};
use crate::trace::TraceId;
use crate::traceql::testing::{batch, kept, span, text};

fn vectors() -> Batch {
    let spans = [(1, 0), (2, 1), (3, 1), (4, 2), (5, 0), (6, 99), (7, 6), (8, 8)];
    batch(&[spans.map(|(id, parent)| span(id, parent).with("k", text("v"))).to_vec()])
}

const ALL: &str = "{ span.k = \"v\" }";
const NONE: &str = "{ span.k = \"nope\" }";

#[test]
fn the_worked_vectors() {
    let table: [(&str, &[u64]); 14] = [
        (">", &[2, 3, 4]),
        (">>", &[2, 3, 4]),
        ("<", &[1, 2]),
        ("<<", &[1, 2]),
        ("~", &[1, 2, 3, 5]),
        ("!>", &[1, 5, 6, 7, 8]),
        ("!>>", &[1, 5, 6, 7, 8]),
        ("!<", &[3, 4, 5, 6, 7, 8]),
        ("!<<", &[3, 4, 5, 6, 7, 8]),
        ("!~", &[4, 6, 7, 8]),
        ("&>", &[1, 2, 3, 4]),
        ("&>>", &[1, 2, 3, 4]),
        ("&<", &[1, 2, 3, 4]),
        ("&~", &[1, 2, 3, 5]),
    ];
    let batch = vectors();
    for (op, ids) in table {
        assert_eq!(kept(&format!("{ALL} {op} {ALL}"), &batch), ids, "{op}");
    }
    for op in [">", "&>", ">>", "<", "~", "&~", "&<<"] {
        assert_eq!(kept(&format!("{NONE} {op} {ALL}"), &batch), [0_u64; 0], "{op}");
        assert_eq!(kept(&format!("{ALL} {op} {NONE}"), &batch), [0_u64; 0], "{op}");
    }
    for op in ["!>", "!<<", "!~"] {
        let all = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(kept(&format!("{NONE} {op} {ALL}"), &batch), all, "{op}");
    }
}

#[test]
fn nested_set_numbers() {
    let batch = vectors();
    let table: [(&str, &[u64]); 8] = [
        ("nestedSetParent = 0", &[6, 7, 8]),
        ("nestedSetParent = -1", &[1, 5]),
        ("nestedSetParent = 1", &[2, 3]),
        ("nestedSetLeft = 3 && nestedSetRight = 4 && nestedSetParent = 2", &[4]),
        ("nestedSetLeft = 6 && nestedSetRight = 7", &[3]),
        ("nestedSetLeft = 9 && nestedSetRight = 10", &[5]),
        ("nestedSetRight = 8", &[1]),
        ("nestedSetLeft = 0 && nestedSetRight = 0", &[6, 7, 8]),
    ];
    for (condition, ids) in table {
        assert_eq!(kept(&format!("{{ {condition} }}"), &batch), ids, "{condition}");
    }
}

#[test]
fn the_union_with_ancestors_is_exact() {
    let batch = batch(&[vec![
        span(10, 0).with("side", text("l")),
        span(11, 10).with("side", text("l")),
        span(12, 10).with("side", text("r")),
        span(13, 11).with("side", text("r")),
    ]]);
    let query = "{ span.side = \"l\" } &>> { span.side = \"r\" }";
    assert_eq!(kept(query, &batch), [10, 11, 12, 13]);
    let query = "{ span.side = \"r\" } &<< { span.side = \"l\" }";
    assert_eq!(kept(query, &batch), [10, 11, 12, 13]);
}

#[test]
fn rootless_relates_spans_under_any_top() {
    let batch = vectors();
    assert_eq!(kept(&format!("{ALL} > {ALL} with (rootless=true)"), &batch), [2, 3, 4, 7]);
    assert_eq!(kept(&format!("{ALL} > {ALL} with (rootless=false)"), &batch), [2, 3, 4]);
    assert_eq!(kept(&format!("{ALL} ~ {ALL} with (rootless=true)"), &batch), [1, 2, 3, 5]);
}

/// The definition, pair by pair.
fn stands(tree: &Tree, relation: Relation, left: usize, right: usize) -> bool {
    let is_above = |above: usize, below: usize| {
        let mut at = tree.parent_row(below);
        while let Some(row) = at {
            if row == above {
                return true;
            }
            at = tree.parent_row(row);
        }
        false
    };
    if !tree.is_related(left) || !tree.is_related(right) {
        return false;
    }
    match relation {
        Relation::Child => tree.parent_row(right) == Some(left),
        Relation::Parent => tree.parent_row(left) == Some(right),
        Relation::Descendant => is_above(left, right),
        Relation::Ancestor => is_above(right, left),
        Relation::Sibling => {
            let parents = (tree.parent_row(left), tree.parent_row(right));
            left != right
                && parents.0 == parents.1
                && (parents.0.is_some() || (tree.is_root(left) && tree.is_root(right)))
        }
    }
}

#[test]
fn every_operator_does_what_its_definition_says() {
    // Trees, sides and orphans from a small generator with a fixed seed.
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..300 {
        let count = 1 + random(12);
        let spans = (1..=count)
            .map(|id| {
                let parent = match random(6) {
                    0 => 0,
                    1 => 1000,
                    _ => random(id),
                };
                span(id, parent)
            })
            .collect();
        let batch = batch(&[spans]);
        let tree = Tree::of(&batch, random(4) == 0);
        let rows = |random: &mut dyn FnMut(u64) -> u64| -> Vec<u32> {
            (0..u32::try_from(count).unwrap()).filter(|_| random(2) == 0).collect()
        };
        let (lhs, rhs) = (rows(&mut random), rows(&mut random));
        for relation in Relation::ALL {
            let stands = |l: &u32, r: &u32| stands(&tree, relation, *l as usize, *r as usize);
            let (kept, left): (Vec<u32>, Vec<u32>) =
                rhs.iter().partition(|r| lhs.iter().any(|l| stands(l, r)));
            let partners = lhs.iter().copied().filter(|l| rhs.iter().any(|r| stands(l, r)));
            let mut union: Vec<u32> = partners.chain(kept.iter().copied()).collect();
            union.sort_unstable();
            union.dedup();
            for (form, wanted) in [(Form::Plain, kept), (Form::Negated, left), (Form::Union, union)]
            {
                let found = apply(&tree, relation, form, &lhs, &rhs);
                assert_eq!(found, wanted, "{relation:?} {form:?} {lhs:?} {rhs:?}");
            }
        }
    }
}

#[test]
fn a_deep_chain_is_no_trouble() {
    // Quadratic work, or recursion, would not end.
    const SPANS: i32 = 200_000;
    let mut batch = Batch::default();
    let rows = u32::try_from(SPANS).unwrap();
    let table =
        TraceTable { id: vec![TraceId::default()], first_row: vec![0, rows], ..Default::default() };
    batch.traces = Arc::new(table);
    batch.tree.parent_delta = (0..SPANS).map(|row| i32::from(row > 0)).collect();
    batch.tree.subtree = (0..SPANS).map(|row| SPANS - 1 - row).collect();
    batch.tree.top = (0..SPANS).map(|row| u8::from(row == 0)).collect();
    let tree = Tree::of(&batch, false);
    assert_eq!((tree.left(0), tree.right(0)), (1, 2 * i64::from(SPANS)));
    let all: Vec<u32> = (0..rows).collect();
    for relation in Relation::ALL {
        for form in [Form::Plain, Form::Negated, Form::Union] {
            let found = apply(&tree, relation, form, &all, &all).len();
            assert!(found <= all.len(), "{relation:?} {form:?}");
        }
    }
}
