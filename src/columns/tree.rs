//! The tree of one trace: which span is whose parent, and the depth-first order of all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::FixedState;

use super::batch::Top;
use crate::trace::SpanId;

/// What decides a span's place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub span_id: SpanId,
    /// All zero for a span without parent.
    pub parent_id: SpanId,
    pub kind: i32,
    pub start: u64,
}

/// The spans of a trace in depth-first pre-order: siblings and tops by start, then span id, then kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tree {
    /// Index of the node at each place.
    pub order: Vec<u32>,
    /// Places back to the parent; 0 for a top.
    pub parent_delta: Vec<i32>,
    /// Number of descendants.
    pub subtree: Vec<i32>,
    /// A [`Top`] as a number; 0 for a span whose parent is here.
    pub top: Vec<u8>,
    /// Place of the root, if any: of the spans without a parent id the earliest, then the one with the smallest id.
    pub root: Option<u32>,
}

/// OTLP's span kinds that share ids, as Zipkin sends them.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

const NONE: u32 = u32::MAX;

/// Builds the tree of one trace. No two nodes may have equal span id and kind. Time n log n, no recursion: a million spans in one
/// chain are fine.
pub(super) fn build(nodes: &[Node]) -> Tree {
    if let [node] = nodes {
        return single(*node);
    }
    let sorted = sorted_by_place(nodes);
    let (mut parent, mut top) = parents(nodes, &sorted);
    cut_cycles(nodes, &mut parent, &mut top);
    walk(nodes, &sorted, &parent, &top)
}

fn single(node: Node) -> Tree {
    let (top, root) = if node.parent_id.is_none() {
        (Top::Root, Some(0))
    } else if node.parent_id == node.span_id {
        (Top::Cycle, None)
    } else {
        (Top::ParentMissing, None)
    };
    Tree { order: vec![0], parent_delta: vec![0], subtree: vec![0], top: vec![top as u8], root }
}

/// Node indices in the order of siblings.
fn sorted_by_place(nodes: &[Node]) -> Vec<u32> {
    let count = u32::try_from(nodes.len()).expect("a trace has less than 4 Gi spans");
    let mut sorted: Vec<u32> = (0..count).collect();
    sorted.sort_unstable_by_key(|index| {
        let node = nodes[*index as usize];
        (node.start, node.span_id, node.kind)
    });
    sorted
}

/// Parent index of each node, or [`NONE`] and why.
fn parents(nodes: &[Node], sorted: &[u32]) -> (Vec<u32>, Vec<u8>) {
    let mut ids = Ids {
        first: HashMap::with_capacity_and_hasher(nodes.len(), FixedState::default()),
        several: HashMap::default(),
    };
    for index in sorted {
        ids.add(nodes, *index);
    }
    let mut parent = vec![NONE; nodes.len()];
    let mut top = vec![0; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        if node.parent_id.is_none() {
            top[index] = Top::Root as u8;
            continue;
        }
        match ids.parent_of(node) {
            Some(found) if found as usize == index => top[index] = Top::Cycle as u8,
            Some(found) => parent[index] = found,
            None => top[index] = Top::ParentMissing as u8,
        }
    }
    (parent, top)
}

/// The nodes by their ids: mostly each has its own.
struct Ids {
    /// The earliest node of each id.
    first: HashMap<SpanId, u32, FixedState>,
    /// Ids of more nodes than one.
    several: HashMap<SpanId, Same, FixedState>,
}

impl Ids {
    /// Takes in the next node, in the order of siblings.
    fn add(&mut self, nodes: &[Node], index: u32) {
        let Node { span_id, kind, .. } = nodes[index as usize];
        let first = match self.first.entry(span_id) {
            Entry::Occupied(first) => *first.get(),
            Entry::Vacant(place) => {
                place.insert(index);
                return;
            }
        };
        let same = self.several.entry(span_id).or_insert_with(|| {
            let mut same = Same::default();
            same.add(first, nodes[first as usize].kind);
            same
        });
        same.add(index, kind);
    }

    fn parent_of(&self, child: &Node) -> Option<u32> {
        let first = self.first.get(&child.parent_id)?;
        match self.several.get(&child.parent_id) {
            Some(same) => same.parent_of(child),
            None => Some(*first),
        }
    }
}

/// The nodes of an id that several have.
struct Same {
    count: usize,
    /// The earliest of all, of the servers, of the clients; or [`NONE`].
    first: u32,
    server: u32,
    client: u32,
}

impl Default for Same {
    fn default() -> Self {
        Self { count: 0, first: NONE, server: NONE, client: NONE }
    }
}

impl Same {
    /// Takes in the next node, in the order of siblings.
    fn add(&mut self, index: u32, kind: i32) {
        let note = |place: &mut u32| {
            if *place == NONE {
                *place = index;
            }
        };
        note(&mut self.first);
        match kind {
            SERVER => note(&mut self.server),
            CLIENT => note(&mut self.client),
            _ => {}
        }
        self.count += 1;
    }

    /// Of several spans with the parent's id, the server's is the parent; the client's if the child itself is a server; of two
    /// that are neither, none; of more, the earliest.
    fn parent_of(&self, child: &Node) -> Option<u32> {
        let wanted = if child.kind == SERVER { self.client } else { self.server };
        if wanted != NONE {
            return Some(wanted);
        }
        (self.count > 2).then_some(self.first)
    }
}

/// Makes the earliest span of each cycle a top.
fn cut_cycles(nodes: &[Node], parent: &mut [u32], top: &mut [u8]) {
    const UNSEEN: u32 = 0;
    // The walk that saw a node first, so that meeting one's own trail again means a cycle.
    let mut seen = vec![UNSEEN; nodes.len()];
    for start in 0..nodes.len() {
        let walk = u32::try_from(start).expect("a trace has less than 4 Gi spans") + 1;
        let mut at = start;
        while seen[at] == UNSEEN && parent[at] != NONE {
            seen[at] = walk;
            at = parent[at] as usize;
        }
        if parent[at] == NONE || seen[at] != walk {
            continue;
        }
        let mut earliest = at;
        let mut member = parent[at] as usize;
        while member != at {
            let key = |index: usize| (nodes[index].start, nodes[index].span_id, nodes[index].kind);
            if key(member) < key(earliest) {
                earliest = member;
            }
            member = parent[member] as usize;
        }
        parent[earliest] = NONE;
        top[earliest] = Top::Cycle as u8;
    }
}

fn walk(nodes: &[Node], sorted: &[u32], parent: &[u32], top: &[u8]) -> Tree {
    // Children as linked lists; prepending in reverse order keeps each list sorted.
    let mut first_child = vec![NONE; nodes.len()];
    let mut next_sibling = vec![NONE; nodes.len()];
    let mut first_top = NONE;
    for index in sorted.iter().rev() {
        let head = match parent[*index as usize] {
            NONE => &mut first_top,
            parent => &mut first_child[parent as usize],
        };
        next_sibling[*index as usize] = *head;
        *head = *index;
    }
    let mut tree = Tree::default();
    let mut place = vec![0_u32; nodes.len()];
    let mut stack = Vec::new();
    let mut at = first_top;
    loop {
        while at == NONE {
            // All children of the last open span are placed: its subtree is complete.
            let Some(open) = stack.pop() else { return tree };
            let from = place[open as usize] as usize;
            tree.subtree[from] = delta(tree.order.len() - 1, from);
            at = next_sibling[open as usize];
        }
        let here = tree.order.len();
        place[at as usize] = u32::try_from(here).expect("a trace has less than 4 Gi spans");
        tree.order.push(at);
        tree.subtree.push(0);
        tree.top.push(top[at as usize]);
        tree.parent_delta.push(match parent[at as usize] {
            NONE => 0,
            parent => delta(here, place[parent as usize] as usize),
        });
        if top[at as usize] == Top::Root as u8 && tree.root.is_none() {
            // Tops come by start, then id: the first root is the root.
            tree.root = Some(place[at as usize]);
        }
        stack.push(at);
        at = first_child[at as usize];
    }
}

fn delta(to: usize, from: usize) -> i32 {
    i32::try_from(to - from).expect("a trace has less than 2 Gi spans")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u8, parent: u8, start: u64) -> Node {
        Node { span_id: SpanId([id; 8]), parent_id: SpanId([parent; 8]), kind: 1, start }
    }

    #[test]
    fn rows_are_in_depth_first_order() {
        // 1(-) 2(1) 3(1) 4(2) 5(-) 6(99) 7(6) 8(8)
        let nodes = [
            node(1, 0, 1),
            node(2, 1, 2),
            node(3, 1, 3),
            node(4, 2, 4),
            node(5, 0, 5),
            node(6, 99, 6),
            node(7, 6, 7),
            node(8, 8, 8),
        ];
        let tree = build(&nodes);
        assert_eq!(tree.order, [0, 1, 3, 2, 4, 5, 6, 7]);
        assert_eq!(tree.parent_delta, [0, 1, 1, 3, 0, 0, 1, 0]);
        assert_eq!(tree.subtree, [3, 1, 0, 0, 0, 1, 0, 0]);
        assert_eq!(tree.top, [1, 0, 0, 0, 1, 2, 0, 3]);
        assert_eq!(tree.root, Some(0));
    }

    #[test]
    fn a_cycle_is_cut_at_its_earliest_span() {
        // 1 → 3 → 2 → 1, and 4 hangs below 3.
        let nodes = [node(1, 3, 7), node(2, 1, 5), node(3, 2, 9), node(4, 3, 1)];
        let tree = build(&nodes);
        assert_eq!(tree.order, [1, 2, 3, 0]);
        assert_eq!(tree.top, [3, 0, 0, 0]);
        assert_eq!(tree.root, None);
        assert_eq!(tree.subtree[0], 3);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let mut nodes: Vec<Node> = (1..40).map(|id| node(id, id / 3, u64::from(id % 5))).collect();
        let key = |nodes: &[Node], tree: &Tree| {
            let ids: Vec<SpanId> =
                tree.order.iter().map(|index| nodes[*index as usize].span_id).collect();
            (ids, tree.parent_delta.clone(), tree.subtree.clone(), tree.top.clone(), tree.root)
        };
        let want = key(&nodes, &build(&nodes));
        for turn in 0..nodes.len() {
            nodes.rotate_left(1);
            nodes.swap(0, turn);
            assert_eq!(key(&nodes, &build(&nodes)), want);
        }
    }

    #[test]
    fn shared_ids_are_told_apart_by_kind() {
        let client = Node { kind: CLIENT, ..node(2, 1, 2) };
        let server = Node { kind: SERVER, ..node(2, 2, 3) };
        let inner = node(3, 2, 4);
        let tree = build(&[node(1, 0, 1), client, server, inner]);
        // The server is a child of the client, and what happens inside is a child of the server.
        assert_eq!(tree.order, [0, 1, 2, 3]);
        assert_eq!(tree.parent_delta, [0, 1, 1, 1]);

        let neither = [node(2, 0, 1), Node { kind: 4, ..node(2, 0, 2) }, node(3, 2, 4)];
        assert_eq!(build(&neither).top, [1, 1, 2]);
    }

    #[test]
    fn a_chain_of_a_million_spans_is_fine() {
        let count = 1_000_000_u64;
        let nodes: Vec<Node> = (1..=count)
            .map(|id| Node {
                span_id: SpanId(id.to_be_bytes()),
                parent_id: SpanId((id - 1).to_be_bytes()),
                kind: 1,
                start: count - id,
            })
            .collect();
        let tree = build(&nodes);
        assert_eq!(tree.subtree[0], 999_999);
        assert_eq!(tree.order.len(), nodes.len());
    }
}
