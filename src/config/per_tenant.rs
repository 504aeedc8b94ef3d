//! The file of `overrides.per_tenant_override_config`: what single tenants may use instead of the defaults, read again while
//! the process runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use serde::Deserialize;

use super::problem::{Error, Problem, Warning, one_of};
use super::reader::{Notes, Reader};
use super::tree::{Entry, Kind, Node, parse};
use crate::failure::chain;
use crate::runtime::{Clock, Stop, blocking};
use crate::telemetry::Registry;
use crate::tenant::{Layer, Overrides, TenantId};

/// Where the keys of an entry are those of the defaults.
const DEFAULTS: &str = "overrides.defaults";

/// The only key at the top.
const OVERRIDES: &str = "overrides";

/// The entries of the text, by tenant; `*` is that of all.
///
/// # Errors
/// All that is wrong, with its place: text that is not YAML, names that cannot be tenants, keys and values as in `tempo.yaml`.
pub fn per_tenant(text: &str) -> Result<(BTreeMap<String, Layer>, Vec<Warning>), Error> {
    let mut notes = Notes::default();
    let root =
        parse(text, None, &mut notes.warnings).map_err(|problem| Error::Wrong(vec![problem]))?;
    let notes = RefCell::new(notes);
    let layers = entries(&root, &notes);
    let Notes { mut warnings, mut problems, .. } = notes.into_inner();
    warnings.sort_by_key(|warning| warning.place);
    match layers {
        Ok(layers) if problems.is_empty() => Ok((layers, warnings)),
        layers => {
            problems.extend(layers.err());
            problems.sort_by_key(Problem::place);
            Err(Error::Wrong(problems))
        }
    }
}

fn entries(root: &Node, notes: &RefCell<Notes>) -> Result<BTreeMap<String, Layer>, Problem> {
    let mut layers = BTreeMap::new();
    for Entry { key, place, node } in map(root, OVERRIDES)? {
        if key != OVERRIDES {
            let nearest = Some(OVERRIDES.to_owned());
            return Err(Problem::UnknownKey { key: key.clone(), place: *place, nearest });
        }
        for Entry { key, place, node } in map(node, "a tenant's id")? {
            TenantId::parse(key).map_err(|error| Problem::Refused {
                key: key.clone(),
                place: *place,
                reason: error.to_string(),
            })?;
            let layer = Layer::deserialize(Reader::below_path(node, notes, DEFAULTS));
            name_tenant(&mut notes.borrow_mut(), key);
            let layer = layer?;
            layers.insert(key.clone(), layer);
        }
    }
    Ok(layers)
}

/// Keys below the defaults become those of the tenant's entry.
fn name_tenant(notes: &mut Notes, tenant: &str) {
    let name = |key: &mut String| {
        if let Some(rest) = key.strip_prefix(DEFAULTS) {
            *key = format!("{OVERRIDES}.{tenant}{rest}");
        }
    };
    notes.warnings.iter_mut().for_each(|warning| name(&mut warning.key));
    for problem in &mut notes.problems {
        if let Problem::Refused { key, .. } = problem {
            name(key);
        }
    }
}

/// The entries of a map; none of what has no value.
fn map<'a>(node: &'a Node, allowed: &str) -> Result<&'a [Entry], Problem> {
    match &node.kind {
        Kind::Map(entries) => Ok(entries),
        Kind::Null => Ok(&[]),
        _ => Err(Problem::Value {
            key: OVERRIDES.to_owned(),
            place: node.place,
            found: "something else".to_owned(),
            allowed: format!("a map with {}", one_of(&[allowed])),
        }),
    }
}

/// Keeps the limits of tenants as the file has them.
pub struct PerTenantFile {
    path: PathBuf,
    period: Duration,
    overrides: Overrides,
    /// The text that was read last, good or bad.
    seen: Option<String>,
    is_good: Gauge,
}

impl PerTenantFile {
    /// The file that the config names, read for the first time; none if it names none.
    ///
    /// # Errors
    /// As [`PerTenantFile::read`].
    pub async fn read_first(
        config: &super::Overrides,
        overrides: &Overrides,
        registry: &mut Registry,
    ) -> Result<Option<Self>, Error> {
        let path = config.per_tenant_override_config.clone();
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let mut file = Self {
            path,
            period: config.per_tenant_override_period,
            overrides: overrides.clone(),
            seen: None,
            is_good: Gauge::default(),
        };
        file.register(registry);
        file.read().await?;
        Ok(Some(file))
    }

    /// Declares whether the last reading was good, under Tempo's name.
    fn register(&self, registry: &mut Registry) {
        let help = "Whether overrides.per_tenant_override_config was good when it was read last";
        registry.root().register(
            "tempo_runtime_config_last_reload_successful",
            help,
            self.is_good.clone(),
        );
    }

    /// Reads the file, and puts what it says in force if it is good. Whether it has changed.
    ///
    /// # Errors
    /// A file that cannot be read, and what [`per_tenant`] refuses, once for each text. The limits stay as they were.
    pub async fn read(&mut self) -> Result<bool, Error> {
        let path = self.path.clone();
        let read = blocking(move || text_of(&path)).await;
        let done = match read {
            Ok(text) => self.take(text),
            Err(error) => {
                // When it can be read again its text is in force, whether it has changed or not.
                self.seen = None;
                Err(error)
            }
        };
        match &done {
            Ok(false) => {}
            Ok(true) => {
                self.is_good.set(1);
            }
            Err(_) => {
                self.is_good.set(0);
            }
        }
        done
    }

    fn take(&mut self, text: String) -> Result<bool, Error> {
        if self.seen.as_ref() == Some(&text) {
            return Ok(false);
        }
        let read = per_tenant(&text);
        self.seen = Some(text);
        let (entries, warnings) = read?;
        for warning in warnings {
            tracing::warn!(file = %self.path.display(), "{warning}");
        }
        self.overrides.set(entries);
        Ok(true)
    }

    /// Reads the file again and again until `stop` is requested.
    pub async fn follow(mut self, clock: Clock, stop: Stop) {
        loop {
            tokio::select! {
                () = stop.requested() => return,
                () = clock.sleep(self.period) => {}
            }
            let file = self.path.display().to_string();
            match self.read().await {
                Ok(false) => {}
                Ok(true) => tracing::info!(file, "limits of tenants were read again"),
                Err(error) => {
                    tracing::warn!(
                        file,
                        error = chain(&error),
                        "limits of tenants stay as they were"
                    );
                }
            }
        }
    }
}

fn text_of(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}
