//! `overrides`: what one tenant may use, in the scoped form of Tempo 2.3 and later.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::tenant::Limits;

/// `overrides` in `tempo.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// Of every tenant.
    pub defaults: Limits,
    /// The file with what single tenants have instead; empty: none.
    pub per_tenant_override_config: PathBuf,
    /// How often that file is read again.
    pub per_tenant_override_period: Duration,
}

impl Default for Overrides {
    fn default() -> Self {
        Self {
            defaults: Limits::default(),
            per_tenant_override_config: PathBuf::new(),
            per_tenant_override_period: Duration::from_secs(10),
        }
    }
}
