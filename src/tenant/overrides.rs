//! Which limits hold for which tenant: layers, merged limit by limit.
//!
//! From below: the defaults of the config, the entry of all tenants (`*`) of the per-tenant file, the tenant's own entry there. What a
//! layer does not say is as the layer below says. In Tempo an entry stands for itself instead, and what it leaves out is 0.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::TenantId;
use super::limits::{Layer, Limits, Read};

/// The name of the entry that is of all tenants.
pub const ALL_TENANTS: &str = "*";

/// The limits of all tenants at this moment. Clones share them; they change while the process runs.
#[derive(Debug, Clone, Default)]
pub struct Overrides(Arc<RwLock<Held>>);

#[derive(Debug, Default)]
struct Held {
    defaults: Limits,
    /// The defaults with the entry `*` over them.
    others: Arc<Limits>,
    /// Tenants with an entry of their own.
    tenants: BTreeMap<String, (Layer, Arc<Limits>)>,
    all: Option<Layer>,
}

impl Overrides {
    /// The same limits for every tenant.
    pub fn new(defaults: Limits) -> Self {
        let others = Arc::new(defaults.clone());
        Self(Arc::new(RwLock::new(Held { defaults, others, ..Held::default() })))
    }

    /// What this tenant may use now.
    pub fn of(&self, tenant: &TenantId) -> Arc<Limits> {
        let held = self.0.read();
        let own = held.tenants.get(tenant.as_str()).map(|(_, limits)| limits);
        Arc::clone(own.unwrap_or(&held.others))
    }

    /// What a question that asks all these tenants at once may: the strictest limit of each kind.
    pub fn read_of(&self, tenants: &[TenantId]) -> Read {
        let limits = tenants.iter().map(|tenant| self.of(tenant).read.clone());
        limits.reduce(|one, other| one.with(&other)).unwrap_or_default()
    }

    /// Puts these entries in the place of all that were there before.
    pub fn set(&self, mut entries: BTreeMap<String, Layer>) {
        let mut held = self.0.write();
        let all = entries.remove(ALL_TENANTS);
        let others = all.as_ref().map_or(held.defaults.clone(), |all| all.over(&held.defaults));
        let tenant = |(id, layer): (String, Layer)| {
            let limits = Arc::new(layer.over(&others));
            (id, (layer, limits))
        };
        held.tenants = entries.into_iter().map(tenant).collect();
        held.others = Arc::new(others);
        held.all = all;
    }

    /// The tenants with an entry of their own, sorted.
    pub fn tenants(&self) -> Vec<String> {
        self.0.read().tenants.keys().cloned().collect()
    }

    /// What the tenant's own entry says, as YAML; none without one.
    pub fn entry_yaml(&self, tenant: &TenantId) -> Option<String> {
        self.0.read().tenants.get(tenant.as_str()).map(|(layer, _)| layer.yaml(""))
    }

    /// All entries as YAML, as the per-tenant file has them.
    pub fn yaml(&self) -> String {
        let held = self.0.read();
        let all = held.all.iter().map(|layer| (ALL_TENANTS, layer));
        let own = held.tenants.iter().map(|(id, (layer, _))| (id.as_str(), layer));
        let entry = |(id, layer): (&str, &Layer)| match layer.yaml("        ") {
            said if said.is_empty() => format!("    \"{id}\": {{}}\n"),
            said => format!("    \"{id}\":\n{said}"),
        };
        let text: String = all.chain(own).map(entry).collect();
        if text.is_empty() { "overrides: {}\n".to_owned() } else { format!("overrides:\n{text}") }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tenant(id: &str) -> TenantId {
        TenantId::parse(id).unwrap()
    }

    fn layer(change: impl FnOnce(&mut Layer)) -> Layer {
        let mut layer = Layer::default();
        change(&mut layer);
        layer
    }

    fn entries<const N: usize>(entries: [(&str, Layer); N]) -> BTreeMap<String, Layer> {
        entries.map(|(id, layer)| (id.to_owned(), layer)).into()
    }

    #[test]
    fn a_layer_leaves_what_it_does_not_say() {
        let mut defaults = Limits::default();
        defaults.ingestion.rate_limit_bytes = 1;
        defaults.ingestion.burst_size_bytes = 2;
        defaults.global.max_bytes_per_trace = 3;
        let overrides = Overrides::new(defaults.clone());
        assert_eq!(*overrides.of(&tenant("a")), defaults);
        overrides.set(entries([
            ("*", layer(|all| all.ingestion.burst_size_bytes = Some(20))),
            ("a", layer(|own| own.ingestion.rate_limit_bytes = Some(10))),
            ("b", layer(|own| own.global.max_bytes_per_trace = Some(0))),
        ]));
        let found = |id| {
            let limits = overrides.of(&tenant(id));
            let ingestion = &limits.ingestion;
            let trace = limits.global.max_bytes_per_trace;
            (ingestion.rate_limit_bytes, ingestion.burst_size_bytes, trace)
        };
        assert_eq!(found("a"), (10, 20, 3));
        assert_eq!(found("b"), (1, 20, 0));
        assert_eq!(found("anybody"), (1, 20, 3));
        assert_eq!(overrides.tenants(), ["a", "b"]);
        overrides.set(BTreeMap::new());
        assert_eq!(found("a"), (1, 2, 3));
    }

    #[test]
    fn a_question_to_several_tenants_has_the_strictest_bounds() {
        let overrides = Overrides::default();
        overrides.set(entries([
            ("a", layer(|own| own.read.max_search_duration = Some(Duration::from_hours(5)))),
            ("b", layer(|own| own.read.max_search_duration = Some(Duration::from_hours(2)))),
            ("c", layer(|own| own.read.max_bytes_per_tag_values_query = Some(7))),
        ]));
        let asked = ["c", "a", "b", "d"].map(tenant);
        let read = overrides.read_of(&asked);
        assert_eq!(read.max_search_duration, Duration::from_hours(2));
        assert_eq!(read.max_bytes_per_tag_values_query, 7);
        assert_eq!(overrides.read_of(&asked[3..]), Read::default());
    }

    #[test]
    fn entries_are_told_as_they_are_written() {
        let overrides = Overrides::default();
        assert_eq!(overrides.yaml(), "overrides: {}\n");
        overrides.set(entries([
            ("b", layer(|own| own.read.left_pad_trace_ids = Some(true))),
            ("a", Layer::default()),
            ("*", layer(|all| all.compaction.block_retention = Some(Duration::from_hours(1)))),
        ]));
        let text = "overrides:\n    \"*\":\n        compaction:\n            block_retention: 3600s\n    \
                    \"a\": {}\n    \"b\":\n        read:\n            left_pad_trace_ids: true\n";
        assert_eq!(overrides.yaml(), text);
        let own = overrides.entry_yaml(&tenant("b"));
        assert_eq!(own.as_deref(), Some("read:\n    left_pad_trace_ids: true\n"));
        assert_eq!(overrides.entry_yaml(&tenant("c")), None);
    }
}
