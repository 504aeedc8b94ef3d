//! Attributes of many owners (spans, events or links) as sparse typed columns.

use std::collections::HashMap;

use super::pool::{NOWHERE, Pool, Told};
use crate::trace::{Scalar, Value};

/// Most typed columns of one set. Keys past it go to `rest`, so that a flood of distinct keys costs bytes, not columns.
pub(super) const COLUMNS_MAX: usize = 2048;

/// The four types that have columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScalarType {
    String,
    Int,
    Double,
    Bool,
}

/// What an entry of `rest` holds. The numbers are the format's (`attributes_rest.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RestType {
    String = 0,
    Int = 1,
    Double = 2,
    Bool = 3,
    Array = 4,
    Map = 5,
    Bytes = 6,
    Empty = 7,
}

/// Set in the type of an entry of `rest` whose owner has an earlier attribute of the same key: kept for the round trip,
/// never seen by a query.
pub const DUPLICATE: u8 = 16;

/// One key and type: the owners that have it, ascending, and their values.
#[derive(Debug, Clone)]
pub struct AttributeColumn {
    pub key: u32,
    pub owners: Vec<u32>,
    pub values: ScalarValues,
}

#[derive(Debug, Clone)]
pub enum ScalarValues {
    /// Codes of the pool.
    String(Vec<u32>),
    Int(Vec<i64>),
    Double(Vec<f64>),
    Bool(Vec<bool>),
}

/// Values without a column: arrays, kvlists, bytes, empty ones, repeated keys, keys past the bound on columns. Owners ascend.
#[derive(Debug, Clone, Default)]
pub struct Rest {
    pub owners: Vec<u32>,
    pub keys: Vec<u32>,
    /// A [`RestType`], plus [`DUPLICATE`].
    pub types: Vec<u8>,
    /// Codes of `AnyValue` messages in the pool.
    pub values: Vec<u32>,
}

/// The attributes of a set of owners, filled owner by owner in ascending order.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    columns: Vec<AttributeColumn>,
    /// What is known of each key, and which one of them a key has.
    states: Vec<KeyState>,
    by_key: HashMap<u32, AttributeKey, foldhash::fast::FixedState>,
    pub rest: Rest,
}

/// A key that was looked up in one set of attributes: see [`Attributes::key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeKey(u32);

/// What is known of one key: one look-up finds its columns and whether the owner has it already.
#[derive(Debug, Clone, Copy)]
struct KeyState {
    /// Its code in the pool.
    code: u32,
    /// The owner that was last given this key, or [`NONE`].
    last_owner: u32,
    /// Index of the column of each [`ScalarType`], or [`NONE`].
    columns: [u32; 4],
}

const NONE: u32 = u32::MAX;

impl KeyState {
    fn of(code: u32) -> Self {
        Self { code, last_owner: NONE, columns: [NONE; 4] }
    }
}

impl Attributes {
    pub fn columns(&self) -> &[AttributeColumn] {
        &self.columns
    }

    pub fn column(&self, key: u32, scalar: ScalarType) -> Option<&AttributeColumn> {
        self.column_index(key, scalar).map(|index| &self.columns[index])
    }

    fn column_index(&self, key: u32, scalar: ScalarType) -> Option<usize> {
        let state = self.by_key.get(&key)?;
        let index = self.states[state.0 as usize].columns[scalar as usize];
        (index != NONE).then_some(index as usize)
    }

    /// Looks a key up by its code, once for many values. What comes out is a key of these attributes only.
    pub fn key(&mut self, code: u32) -> AttributeKey {
        let Self { states, by_key, .. } = self;
        *by_key.entry(code).or_insert_with(|| {
            states.push(KeyState::of(code));
            AttributeKey(u32::try_from(states.len() - 1).expect("fewer keys than codes"))
        })
    }

    fn state(&mut self, key: AttributeKey) -> &mut KeyState {
        &mut self.states[key.0 as usize]
    }

    /// Adds a typed value. `owner` must not be below any owner that was added before.
    pub fn push(&mut self, pool: &mut Pool, owner: u32, key: AttributeKey, value: Scalar<'_>) {
        let index = match self.column_for(owner, key, ScalarType::of(value)) {
            Ok(index) => index,
            Err(mark) => {
                let key = self.state(key).code;
                return self.push_rest(pool, owner, key, rest_type(value) as u8 | mark, value);
            }
        };
        let column = &mut self.columns[index];
        column.owners.push(owner);
        match (&mut column.values, value) {
            (ScalarValues::String(values), Scalar::String(text)) => {
                values.push(pool.intern(text.as_bytes()));
            }
            (ScalarValues::Int(values), Scalar::Int(value)) => values.push(value),
            (ScalarValues::Double(values), Scalar::Double(value)) => values.push(value),
            (ScalarValues::Bool(values), Scalar::Bool(value)) => values.push(value),
            _ => unreachable!("a column is found by its type"),
        }
    }

    /// [`Attributes::push`] of a string that is in the pool.
    pub fn push_text(&mut self, pool: &mut Pool, owner: u32, key: AttributeKey, text: u32) {
        match self.column_for(owner, key, ScalarType::String) {
            Ok(index) => {
                let column = &mut self.columns[index];
                let ScalarValues::String(values) = &mut column.values else {
                    unreachable!("a column is found by its type")
                };
                column.owners.push(owner);
                values.push(text);
            }
            Err(mark) => {
                let mut any = Vec::new();
                Scalar::String(pool.text(text)).encode(&mut any);
                let key = self.state(key).code;
                self.put_rest(pool, owner, key, RestType::String as u8 | mark, &any);
            }
        }
    }

    /// The column that a value goes to, or the mark with which it goes to `rest`.
    fn column_for(
        &mut self,
        owner: u32,
        key: AttributeKey,
        scalar: ScalarType,
    ) -> Result<usize, u8> {
        let is_full = self.columns.len() >= COLUMNS_MAX;
        let state = self.state(key);
        if state.last_owner == owner {
            return Err(DUPLICATE);
        }
        state.last_owner = owner;
        match state.columns[scalar as usize] {
            NONE if is_full => Err(0),
            NONE => Ok(self.add_column(key, scalar)),
            index => Ok(index as usize),
        }
    }

    /// Adds a value that has no column type, as its `AnyValue` message.
    pub fn push_any(
        &mut self,
        pool: &mut Pool,
        owner: u32,
        key: AttributeKey,
        kind: RestType,
        any: &[u8],
    ) {
        let state = self.state(key);
        let mark = if state.last_owner == owner { DUPLICATE } else { 0 };
        state.last_owner = owner;
        let code = state.code;
        self.put_rest(pool, owner, code, kind as u8 | mark, any);
    }

    /// Adds an entry of `rest` as it was stored, mark included.
    pub fn push_rest_raw(&mut self, pool: &mut Pool, owner: u32, key: u32, kind: u8, any: &[u8]) {
        let state = self.key(key);
        self.state(state).last_owner = owner;
        self.put_rest(pool, owner, key, kind, any);
    }

    fn put_rest(&mut self, pool: &mut Pool, owner: u32, key: u32, kind: u8, any: &[u8]) {
        self.rest.owners.push(owner);
        self.rest.keys.push(key);
        self.rest.types.push(kind);
        self.rest.values.push(pool.intern(any));
    }

    fn push_rest(&mut self, pool: &mut Pool, owner: u32, key: u32, kind: u8, value: Scalar<'_>) {
        let mut any = Vec::new();
        value.encode(&mut any);
        self.put_rest(pool, owner, key, kind, &any);
    }

    fn add_column(&mut self, key: AttributeKey, scalar: ScalarType) -> usize {
        let values = match scalar {
            ScalarType::String => ScalarValues::String(Vec::new()),
            ScalarType::Int => ScalarValues::Int(Vec::new()),
            ScalarType::Double => ScalarValues::Double(Vec::new()),
            ScalarType::Bool => ScalarValues::Bool(Vec::new()),
        };
        let index = self.columns.len();
        let state = self.state(key);
        state.columns[scalar as usize] = u32::try_from(index).expect("at most COLUMNS_MAX");
        let key = state.code;
        self.columns.push(AttributeColumn { key, owners: Vec::new(), values });
        index
    }

    /// Appends what `other` has of the owners that have a place; places ascend and lie past all owners that are here.
    pub(super) fn append(
        &mut self,
        pool: &mut Pool,
        other: &Self,
        told: &mut Told<'_>,
        places: &[u32],
    ) {
        for column in &other.columns {
            self.append_column(pool, column, told, places);
        }
        let Rest { owners, keys, types, values } = &other.rest;
        for (index, owner) in owners.iter().enumerate() {
            let place = places[*owner as usize];
            if place != NOWHERE {
                self.rest.owners.push(place);
                self.rest.keys.push(told.code(keys[index], pool));
                self.rest.types.push(types[index]);
                self.rest.values.push(told.code(values[index], pool));
            }
        }
        self.sort_rest();
    }

    fn append_column(
        &mut self,
        pool: &mut Pool,
        column: &AttributeColumn,
        told: &mut Told<'_>,
        places: &[u32],
    ) {
        let place_of =
            |owner: &u32| Some(places[*owner as usize]).filter(|place| *place != NOWHERE);
        if !column.owners.iter().any(|owner| place_of(owner).is_some()) {
            return;
        }
        let key = told.code(column.key, pool);
        let scalar = column.values.scalar_type();
        let into = match self.column_index(key, scalar) {
            Some(index) => Some(index),
            None => (self.columns.len() < COLUMNS_MAX).then(|| {
                let key = self.key(key);
                self.add_column(key, scalar)
            }),
        };
        for (index, owner) in column.owners.iter().enumerate() {
            let Some(place) = place_of(owner) else { continue };
            let Some(into) = into else {
                let value = column.values.get(index, told.from);
                self.push_rest(pool, place, key, rest_type(value) as u8, value);
                continue;
            };
            let into = &mut self.columns[into];
            into.owners.push(place);
            match (&mut into.values, &column.values) {
                (ScalarValues::String(into), ScalarValues::String(from)) => {
                    into.push(told.code(from[index], pool));
                }
                (ScalarValues::Int(into), ScalarValues::Int(from)) => into.push(from[index]),
                (ScalarValues::Double(into), ScalarValues::Double(from)) => into.push(from[index]),
                (ScalarValues::Bool(into), ScalarValues::Bool(from)) => into.push(from[index]),
                _ => unreachable!("a column is found by its type"),
            }
        }
    }

    /// Restores the order by owner after columns have spilled into `rest`.
    fn sort_rest(&mut self) {
        if self.rest.owners.is_sorted() {
            return;
        }
        let mut order: Vec<usize> = (0..self.rest.owners.len()).collect();
        order.sort_by_key(|index| self.rest.owners[*index]);
        self.rest = Rest {
            owners: order.iter().map(|i| self.rest.owners[*i]).collect(),
            keys: order.iter().map(|i| self.rest.keys[*i]).collect(),
            types: order.iter().map(|i| self.rest.types[*i]).collect(),
            values: order.iter().map(|i| self.rest.values[*i]).collect(),
        };
    }

    /// Calls `visit` with key and value of each attribute of one owner: typed ones, then `rest` in its order.
    pub fn of_owner<'a>(
        &'a self,
        pool: &'a Pool,
        owner: u32,
        mut visit: impl FnMut(&'a str, OwnerValue<'a>),
    ) {
        for column in &self.columns {
            if let Ok(place) = column.owners.binary_search(&owner) {
                visit(pool.text(column.key), OwnerValue::Scalar(column.values.get(place, pool)));
            }
        }
        let first = self.rest.owners.partition_point(|other| *other < owner);
        let rest = self.rest.owners[first..].iter().take_while(|other| **other == owner).count();
        for index in first..first + rest {
            let any = pool.get(self.rest.values[index]);
            visit(pool.text(self.rest.keys[index]), OwnerValue::Rest(self.rest.types[index], any));
        }
    }

    /// Gives back room that is not filled.
    pub(super) fn shrink(&mut self) {
        for AttributeColumn { key: _, owners, values } in &mut self.columns {
            owners.shrink_to_fit();
            match values {
                ScalarValues::String(codes) => codes.shrink_to_fit(),
                ScalarValues::Int(values) => values.shrink_to_fit(),
                ScalarValues::Double(values) => values.shrink_to_fit(),
                ScalarValues::Bool(values) => values.shrink_to_fit(),
            }
        }
    }

    /// Bytes of memory held, roughly.
    pub fn memory_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(AttributeColumn::memory_bytes).sum();
        columns + self.rest.owners.capacity() * 13 + self.by_key.capacity() * 33
    }
}

/// One attribute of one owner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OwnerValue<'a> {
    Scalar(Scalar<'a>),
    /// Type with mark, and the `AnyValue` message.
    Rest(u8, &'a [u8]),
}

impl AttributeColumn {
    fn memory_bytes(&self) -> usize {
        let width = match self.values {
            ScalarValues::String(_) => 4,
            ScalarValues::Int(_) | ScalarValues::Double(_) => 8,
            ScalarValues::Bool(_) => 1,
        };
        96 + self.owners.capacity() * (4 + width)
    }
}

impl ScalarValues {
    pub fn scalar_type(&self) -> ScalarType {
        match self {
            Self::String(_) => ScalarType::String,
            Self::Int(_) => ScalarType::Int,
            Self::Double(_) => ScalarType::Double,
            Self::Bool(_) => ScalarType::Bool,
        }
    }

    pub fn get<'a>(&self, place: usize, pool: &'a Pool) -> Scalar<'a> {
        match self {
            Self::String(codes) => Scalar::String(pool.text(codes[place])),
            Self::Int(values) => Scalar::Int(values[place]),
            Self::Double(values) => Scalar::Double(values[place]),
            Self::Bool(values) => Scalar::Bool(values[place]),
        }
    }
}

impl ScalarType {
    pub const ALL: [Self; 4] = [Self::String, Self::Int, Self::Double, Self::Bool];

    pub fn of(value: Scalar<'_>) -> Self {
        match value {
            Scalar::String(_) => Self::String,
            Scalar::Int(_) => Self::Int,
            Scalar::Double(_) => Self::Double,
            Scalar::Bool(_) => Self::Bool,
        }
    }
}

impl RestType {
    pub fn of(value: &Value) -> Self {
        match value {
            Value::String(_) => Self::String,
            Value::Int(_) => Self::Int,
            Value::Double(_) => Self::Double,
            Value::Bool(_) => Self::Bool,
            Value::Array(_) => Self::Array,
            Value::Map(_) => Self::Map,
            Value::Bytes(_) => Self::Bytes,
            Value::Empty => Self::Empty,
        }
    }
}

fn rest_type(value: Scalar<'_>) -> RestType {
    ScalarType::of(value).into()
}

impl From<ScalarType> for RestType {
    fn from(scalar: ScalarType) -> Self {
        match scalar {
            ScalarType::String => Self::String,
            ScalarType::Int => Self::Int,
            ScalarType::Double => Self::Double,
            ScalarType::Bool => Self::Bool,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_of(attributes: &Attributes, pool: &Pool, owner: u32) -> Vec<String> {
        let mut all = Vec::new();
        attributes.of_owner(pool, owner, |key, value| all.push(format!("{key} {value:?}")));
        all
    }

    #[test]
    fn a_repeated_key_is_kept_but_marked() {
        let (mut pool, mut attributes) = (Pool::default(), Attributes::default());
        let key = pool.intern(b"k");
        let key = attributes.key(key);
        attributes.push(&mut pool, 0, key, Scalar::Int(1));
        attributes.push(&mut pool, 0, key, Scalar::String("two"));
        attributes.push(&mut pool, 1, key, Scalar::String("two"));
        assert_eq!(attributes.rest.types, [RestType::String as u8 | DUPLICATE]);
        assert_eq!(all_of(&attributes, &pool, 1), [r#"k Scalar(String("two"))"#]);
        assert_eq!(all_of(&attributes, &pool, 0).len(), 2);
    }

    #[test]
    fn keys_past_the_bound_go_to_rest() {
        let (mut pool, mut attributes) = (Pool::default(), Attributes::default());
        for owner in 0..3000_u32 {
            let key = pool.intern(format!("key-{owner}").as_bytes());
            let key = attributes.key(key);
            attributes.push(&mut pool, owner, key, Scalar::Int(1));
        }
        assert_eq!(attributes.columns().len(), COLUMNS_MAX);
        assert_eq!(all_of(&attributes, &pool, 2999).len(), 1);

        let (mut into_pool, mut into) = (Pool::default(), Attributes::default());
        for round in 0..2 {
            let mut told = Told::of(&pool);
            let places: Vec<u32> = (round * 3000..(round + 1) * 3000).collect();
            into.append(&mut into_pool, &attributes, &mut told, &places);
        }
        assert_eq!(all_of(&into, &into_pool, 3000), ["key-0 Scalar(Int(1))"]);
        assert_eq!(all_of(&into, &into_pool, 5999).len(), 1);
        assert!(into.rest.owners.is_sorted());
    }
}
