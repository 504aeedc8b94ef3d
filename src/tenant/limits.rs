//! What one tenant may use.
//!
//! A layer says some limits and leaves the others to the layer under it. Limits and layers are made from one list of fields, so that none
//! can be forgotten where layers are put over one another.

use std::time::Duration;

use serde::Deserialize;

/// A group of limits, its defaults, and what a layer says of it.
macro_rules! group {
    (
        $(#[$about:meta])*
        $limits:ident, $layer:ident {
            $($(#[$doc:meta])* $field:ident: $kind:ty = $default:expr,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(default)]
        pub struct $limits {
            $($(#[$doc])* pub $field: $kind,)*
        }

        impl Default for $limits {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        #[doc = concat!("What a layer says of [`", stringify!($limits), "`].")]
        #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
        #[serde(default)]
        pub struct $layer {
            $($(#[$doc])* pub $field: Option<$kind>,)*
        }

        impl $layer {
            fn put_over(&self, under: &mut $limits) {
                $(if let Some(value) = self.$field { under.$field = value; })*
            }

            /// What is said, by name, as it is written in YAML.
            fn said(&self) -> Vec<(&'static str, String)> {
                let mut said = Vec::new();
                $(if let Some(value) = &self.$field { said.push((stringify!($field), format!("{value:?}"))); })*
                said
            }
        }

        impl From<&$limits> for $layer {
            fn from(limits: &$limits) -> Self {
                Self { $($field: Some(limits.$field),)* }
            }
        }
    };
}

group! {
    /// What may be taken in.
    Ingestion, IngestionLayer {
        /// Bytes of OTLP a second; 0: any.
        rate_limit_bytes: u64 = 0,
        /// Bytes of OTLP at once, after a pause; no effect without a rate. A larger request is never taken in.
        burst_size_bytes: u64 = 64 << 20,
        /// Traces that are live, about: not yet in a block; 0: any.
        max_traces_per_user: u64 = 0,
        /// Bytes of an attribute's text; longer ones are cut, and what had them says so. 0: nothing is cut.
        max_attribute_bytes: usize = 0,
    }
}

group! {
    /// What may be asked.
    Read, ReadLayer {
        /// Bytes of a list of tag names or values; 0: any.
        max_bytes_per_tag_values_query: u64 = 0,
        /// Longest time range of a search; 0: `query_frontend.search.max_duration`.
        max_search_duration: Duration = Duration::ZERO,
        /// Longest time range of a metrics query; 0: `query_frontend.metrics.max_duration`.
        max_metrics_duration: Duration = Duration::ZERO,
        /// Whether searches print trace ids with their leading zeros.
        left_pad_trace_ids: bool = false,
    }
}

group! {
    /// How long blocks stay.
    Compaction, CompactionLayer {
        /// Spans are deleted when they were received longer ago; 0: `compactor.compaction.block_retention`.
        block_retention: Duration = Duration::ZERO,
        /// Whether blocks are left as they are: neither joined nor deleted.
        compaction_disabled: bool = false,
    }
}

group! {
    /// What holds for writing and reading.
    Global, GlobalLayer {
        /// Bytes of the spans of one trace; more are refused. 0: memory decides.
        max_bytes_per_trace: u64 = 0,
    }
}

/// All limits of a tenant, in Tempo's groups and by Tempo's names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Limits {
    pub ingestion: Ingestion,
    pub read: Read,
    pub compaction: Compaction,
    pub global: Global,
}

/// Some limits; of the others says the layer below.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Layer {
    pub ingestion: IngestionLayer,
    pub read: ReadLayer,
    pub compaction: CompactionLayer,
    pub global: GlobalLayer,
}

impl Layer {
    /// The limits of the layers below with what this one says.
    pub fn over(&self, below: &Limits) -> Limits {
        let Self { ingestion, read, compaction, global } = self;
        let mut limits = below.clone();
        ingestion.put_over(&mut limits.ingestion);
        read.put_over(&mut limits.read);
        compaction.put_over(&mut limits.compaction);
        global.put_over(&mut limits.global);
        limits
    }

    /// As YAML, each line with `indent` before it; empty if nothing is said.
    pub fn yaml(&self, indent: &str) -> String {
        let Self { ingestion, read, compaction, global } = self;
        let groups = [
            ("ingestion", ingestion.said()),
            ("read", read.said()),
            ("compaction", compaction.said()),
            ("global", global.said()),
        ];
        let of_group = |(name, said): (&str, Vec<(&str, String)>)| {
            let lines =
                said.into_iter().map(|(key, value)| format!("{indent}    {key}: {value}\n"));
            let lines: String = lines.collect();
            if lines.is_empty() { lines } else { format!("{indent}{name}:\n{lines}") }
        };
        groups.map(of_group).concat()
    }
}

impl From<&Limits> for Layer {
    fn from(limits: &Limits) -> Self {
        let Limits { ingestion, read, compaction, global } = limits;
        Self {
            ingestion: ingestion.into(),
            read: read.into(),
            compaction: compaction.into(),
            global: global.into(),
        }
    }
}

impl Read {
    /// What holds for a question that asks tenants with these limits at once: the strictest.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let shortest = |one: Duration, other: Duration| match (one, other) {
            (Duration::ZERO, bound) | (bound, Duration::ZERO) => bound,
            (one, other) => one.min(other),
        };
        let bytes = [self, other].map(|read| read.max_bytes_per_tag_values_query);
        Self {
            max_bytes_per_tag_values_query: bytes
                .into_iter()
                .filter(|bytes| *bytes > 0)
                .min()
                .unwrap_or(0),
            max_search_duration: shortest(self.max_search_duration, other.max_search_duration),
            max_metrics_duration: shortest(self.max_metrics_duration, other.max_metrics_duration),
            left_pad_trace_ids: self.left_pad_trace_ids || other.left_pad_trace_ids,
        }
    }
}
