//! How often each value comes in some units, told from the index.

use std::collections::HashMap;
use std::sync::Arc;

use super::Error;
use super::open::Block;
use super::resources::ResourceTable;
use super::values::{AnyScalar, Listed, Subject, UnitCounts};
use super::zones::{Catalog, KeyScope, Zone};
use crate::scan::{Counted, Counts, NeedScope, ScanCost};
use crate::trace::Value;

/// What the index answers of some units, and which of them it does not know.
#[derive(Debug, Default)]
pub struct KnownCounts {
    pub counts: Counts,
    pub unknown: Vec<usize>,
}

impl Block {
    /// How often each value comes in some units, as far as the index says. Reads no span.
    ///
    /// # Errors
    /// When the index is damaged, or resources cannot be read.
    pub async fn counts(
        self: &Arc<Self>,
        asked: &Counted,
        units: Vec<usize>,
        cost: &mut ScanCost,
    ) -> Result<KnownCounts, Error> {
        let resources = match asked {
            Counted::Resources | Counted::Attribute { scope: NeedScope::SpanOrResource, .. } => {
                Some(self.resource_table(cost).await?)
            }
            _ => None,
        };
        let listed = self.listed(&self.subjects(asked), cost).await?;
        let (block, asked) = (Arc::clone(self), asked.clone());
        let count = move || {
            let known = Counting::of(&block, &asked, listed()?);
            let zones = &block.zones.units;
            let (mut sums, mut unknown) = (Sums::default(), Vec::new());
            for unit in units {
                match known.taken(&zones[unit], unit) {
                    Some(taken) => sums.add(&taken),
                    None => unknown.push(unit),
                }
            }
            Ok(KnownCounts { counts: sums.finish(known.listed, resources.as_deref())?, unknown })
        };
        self.cpu.run(count).await
    }

    /// What tells of the values.
    fn subjects(&self, asked: &Counted) -> Vec<Subject> {
        let of_key = |scope, key: &str| self.catalog.find(scope, key).map(Subject::Key);
        match asked {
            Counted::Name => vec![Subject::Name],
            Counted::StatusMessage => vec![Subject::StatusMessage],
            Counted::EventName => vec![Subject::EventName],
            Counted::Status => vec![Subject::Status],
            Counted::Kind => vec![Subject::Kind],
            Counted::Resources => vec![Subject::Resources],
            Counted::Attribute { scope, key } => {
                let of_key = of_key(key_scope(*scope), key);
                let resources = (*scope == NeedScope::SpanOrResource).then_some(Subject::Resources);
                of_key.into_iter().chain(resources).collect()
            }
        }
    }
}

/// Where an attribute is itself.
fn key_scope(scope: NeedScope) -> KeyScope {
    match scope {
        NeedScope::Span | NeedScope::SpanOrResource => KeyScope::Span,
        NeedScope::Event => KeyScope::Event,
        NeedScope::Link => KeyScope::Link,
        NeedScope::Resource => KeyScope::Resource,
        NeedScope::Instrumentation => KeyScope::Instrumentation,
    }
}

/// What the index knows of what is asked.
struct Counting<'a> {
    catalog: &'a Catalog,
    listed: Listed,
    of: Of<'a>,
    /// What a unit without the key adds.
    nothing: UnitCounts,
}

/// Counts of some units, added up: by value, and by resource.
#[derive(Default)]
struct Sums {
    values: Vec<u64>,
    resources: Vec<u64>,
}

/// Whose values are counted.
enum Of<'a> {
    /// No attribute's: all units have them.
    Unit,
    Attribute(KeyScope, &'a str),
    /// The span's attribute, else the resource's; with the spans of each resource.
    SpanOrResource(&'a str, Listed),
}

/// What a unit adds: its values, and the spans of resources, less those that have a value of their own.
struct Taken<'a> {
    values: &'a UnitCounts,
    resources: &'a [u64],
    own: &'a [u64],
}

impl<'a> Counting<'a> {
    fn of(block: &'a Block, asked: &'a Counted, mut read: HashMap<Subject, Listed>) -> Self {
        let catalog = &block.catalog;
        let mut taken = |subject: Option<Subject>| {
            subject.and_then(|subject| read.remove(&subject)).unwrap_or_default()
        };
        let own = match asked {
            Counted::Attribute { scope, key } => {
                catalog.find(key_scope(*scope), key).map(Subject::Key)
            }
            _ => block.subjects(asked).pop(),
        };
        let listed = taken(own);
        let of = match asked {
            Counted::Attribute { scope: NeedScope::SpanOrResource, key } => {
                Of::SpanOrResource(key, taken(Some(Subject::Resources)))
            }
            Counted::Attribute { scope, key } => Of::Attribute(key_scope(*scope), key),
            _ => Of::Unit,
        };
        Self { catalog, listed, of, nothing: UnitCounts::default() }
    }

    /// What a unit adds; `None` if the index does not know all of it.
    fn taken(&self, zone: &Zone, unit: usize) -> Option<Taken<'_>> {
        match &self.of {
            Of::Unit => {
                let values = self.listed.unit(unit)?;
                Some(Taken { values, resources: &values.resources, own: &[] })
            }
            Of::Attribute(scope, key) => {
                let values = self.values_of(zone, *scope, key, unit)?;
                Some(Taken { values, resources: &[], own: &[] })
            }
            Of::SpanOrResource(key, of_resources) => {
                let values = self.values_of(zone, KeyScope::Span, key, unit)?;
                if !self.has(zone, KeyScope::Resource, key)? {
                    return Some(Taken { values, resources: &[], own: &[] });
                }
                let resources = &of_resources.unit(unit)?.resources;
                // Spans that have it, but not of which resources they are.
                let is_untold = !values.counts.is_empty() && values.resources.is_empty();
                (!is_untold).then_some(Taken { values, resources, own: &values.resources })
            }
        }
    }

    /// What the attribute adds by itself.
    fn values_of(
        &self,
        zone: &Zone,
        scope: KeyScope,
        key: &str,
        unit: usize,
    ) -> Option<&UnitCounts> {
        if self.has(zone, scope, key)? { self.listed.unit(unit) } else { Some(&self.nothing) }
    }

    /// Whether the unit has a key; `None` if that is not known.
    fn has(&self, zone: &Zone, scope: KeyScope, key: &str) -> Option<bool> {
        let is_listed = self.catalog.find(scope, key).is_some_and(|key| zone.has_key(key));
        (is_listed || !self.catalog.is_incomplete(scope)).then_some(is_listed)
    }
}

impl Sums {
    fn add(&mut self, Taken { values, resources, own }: &Taken<'_>) {
        let mut place = 0;
        for (step, count) in values.steps.iter().zip(&values.counts) {
            place += *step as usize;
            self.values.resize(self.values.len().max(place + 1), 0);
            self.values[place] += count;
        }
        self.resources.resize(self.resources.len().max(resources.len()), 0);
        for (place, (sum, spans)) in self.resources.iter_mut().zip(*resources).enumerate() {
            *sum += spans.saturating_sub(own.get(place).copied().unwrap_or(0));
        }
    }

    fn finish(self, listed: Listed, resources: Option<&ResourceTable>) -> Result<Counts, Error> {
        let values = listed.values.into_iter().zip(self.values);
        let values = values.filter(|(_, count)| *count > 0);
        let values = values.filter_map(|(value, count)| Some((told(value.value?), count)));
        let all = resources.map_or(&[][..], |table| &table.all[..]);
        let what = "a resource that is not there is counted";
        let spans = self.resources.iter().enumerate().filter(|(_, spans)| **spans > 0);
        let resources = spans.map(|(place, spans)| {
            let resource = all.get(place).map(Arc::clone);
            Ok((resource.ok_or(Error::Corrupt { part: "index", what })?, *spans))
        });
        Ok(Counts { values: values.collect(), resources: resources.collect::<Result<_, Error>>()? })
    }
}

fn told(value: AnyScalar) -> Value {
    match value {
        AnyScalar::String(text) => Value::String(text),
        AnyScalar::Int(value) => Value::Int(value),
        AnyScalar::Double(value) => Value::Double(value),
        AnyScalar::Bool(value) => Value::Bool(value),
    }
}
