//! Which attribute keys get columns of their own.

use std::collections::HashMap;

use crate::columns::gather::{NOWHERE, Owners};
use crate::columns::{ScalarType, ScalarValues};

/// Most promoted columns of a block over span, event and link keys: a Parquet footer costs about 170 bytes per column and row group.
const COLUMNS_MAX: usize = 256;

/// A key is promoted when at least one span in so many has it.
const SPANS_PER_VALUE_MAX: usize = 200;

/// Longest key that may name a column.
const KEY_BYTES_MAX: usize = 256;

/// Whose attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Scope {
    Span,
    Event,
    Link,
}

/// One promoted column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Promoted {
    pub scope: Scope,
    pub key: String,
    pub scalar: ScalarType,
}

impl Promoted {
    /// `<scope>.<key>` for strings, `:int`, `:double`, `:bool` behind it for the others.
    pub(super) fn column_name(&self) -> String {
        let Self { scope, key, scalar } = self;
        let scope = match scope {
            Scope::Span => "span",
            Scope::Event => "event",
            Scope::Link => "link",
        };
        format!("{scope}.{key}{}", suffix(*scalar))
    }

    /// Reads what [`Promoted::column_name`] writes.
    pub(super) fn parse(column: &str) -> Option<Self> {
        let (scope, rest) = column.split_once('.')?;
        let scope = match scope {
            "span" => Scope::Span,
            "event" => Scope::Event,
            "link" => Scope::Link,
            _ => return None,
        };
        let typed = [ScalarType::Int, ScalarType::Double, ScalarType::Bool]
            .into_iter()
            .find_map(|scalar| Some((rest.strip_suffix(suffix(scalar))?, scalar)));
        let (key, scalar) = typed.unwrap_or((rest, ScalarType::String));
        Some(Self { scope, key: key.to_owned(), scalar })
    }
}

fn suffix(scalar: ScalarType) -> &'static str {
    match scalar {
        ScalarType::String => "",
        ScalarType::Int => ":int",
        ScalarType::Double => ":double",
        ScalarType::Bool => ":bool",
    }
}

/// Whether a key can name a column at all.
fn nameable(key: &str) -> bool {
    let typed = [":int", ":double", ":bool"].iter().any(|suffix| key.ends_with(suffix));
    key.len() <= KEY_BYTES_MAX && !typed && !key.contains('\0')
}

/// Chooses the columns of a block of `spans` spans: the most frequent first, sorted by scope, key and type.
pub(super) fn choose(scopes: &[(Scope, &[Owners<'_>])], spans: usize) -> Vec<Promoted> {
    let mut counts: HashMap<(Scope, &str, ScalarType), usize, foldhash::fast::RandomState> =
        HashMap::default();
    for (scope, owners) in scopes {
        for Owners { attributes, pool, places } in *owners {
            for column in attributes.columns() {
                let laid_out = |owner: &&u32| places[**owner as usize] != NOWHERE;
                let count = column.owners.iter().filter(laid_out).count();
                let scalar = ScalarValues::scalar_type(&column.values);
                *counts.entry((*scope, pool.text(column.key), scalar)).or_default() += count;
            }
        }
    }
    let mut common: Vec<(usize, Promoted)> = counts
        .into_iter()
        .filter(|((_, key, _), count)| {
            *count > 0 && count * SPANS_PER_VALUE_MAX >= spans && nameable(key)
        })
        .map(|((scope, key, scalar), count)| {
            (count, Promoted { scope, key: key.to_owned(), scalar })
        })
        .collect();
    common.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    common.truncate(COLUMNS_MAX);
    let mut chosen: Vec<Promoted> = common.into_iter().map(|(_, column)| column).collect();
    chosen.sort();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{Attributes, Pool};
    use crate::trace::Scalar;

    #[test]
    fn a_column_name_says_scope_key_and_type() {
        for scalar in ScalarType::ALL {
            let column = Promoted { scope: Scope::Event, key: "a.b:c".into(), scalar };
            assert_eq!(Promoted::parse(&column.column_name()), Some(column));
        }
        assert_eq!(Promoted::parse("start_ns"), None);
    }

    #[test]
    fn rare_and_unnameable_keys_are_not_promoted() {
        let (mut pool, mut attributes) = (Pool::default(), Attributes::default());
        let places: Vec<u32> = (0..1000).collect();
        let long = "k".repeat(300);
        for owner in 0..1000_u32 {
            for (key, every) in
                [("often", 1), ("seldom", 200), ("rare", 300), ("x:int", 1), (&*long, 1)]
            {
                let code = pool.intern(key.as_bytes());
                if owner.is_multiple_of(every) {
                    let key = attributes.key(code);
                    attributes.push(&mut pool, owner, key, Scalar::Int(1));
                }
            }
        }
        let owners = [Owners { attributes: &attributes, pool: &pool, places: &places }];
        let keys: Vec<String> =
            choose(&[(Scope::Span, &owners)], 1000).into_iter().map(|c| c.key).collect();
        assert_eq!(keys, ["often", "seldom"]);
    }
}
