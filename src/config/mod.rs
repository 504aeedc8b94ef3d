//! `tempo.yaml`: each room's part put together, checked as a whole.
//!
//! Tempo's keys keep Tempo's names and places. A key that Tempo has and Vivace has no use for is a warning with the
//! reason; any other unknown key is an error with the place and the nearest name. Times are texts with a unit (`1h30m`,
//! `7d`, `0`), numbers of bytes may have one (`64MiB`). A key without a value is as good as not there. `tempo.yaml` at
//! the top of the repository shows every key with its default.

mod check;
mod distributor;
mod expand;
pub mod flags;
mod ingester;
mod memory;
mod overrides;
mod per_tenant;
mod problem;
mod query;
mod reader;
mod server;
mod shown;
mod storage;
mod tempo;
mod tls;
mod tree;

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use serde::Deserialize;

pub use self::distributor::{
    Distributor, Endpoint, EndpointError, Grpc, Http, Jaeger, JaegerProtocols, Listening, On, Otlp,
    Protocols, Receivers, Udp,
};
pub use self::expand::Variables;
pub use self::ingester::{Compaction, Compactor, Ingester};
pub use self::memory::Memory;
pub use self::overrides::Overrides;
pub use self::per_tenant::{PerTenantFile, per_tenant};
pub use self::problem::{Error, Place, Problem, Warning};
pub use self::query::{
    MetricsLimits, Querier, QueryFrontend, SearchLimits, SearchTimeout, TraceByIdTimeout,
};
pub use self::server::Server;
pub use self::shown::Shown;
pub use self::storage::{Azure, Backend, Gcs, Local, S3, Secret, Sse, Storage, Trace, Wal};
pub use self::tls::{ClientAuth, MinVersion, ReceiverTls, ServerMinVersion, ServerTls};

use self::reader::{Notes, Reader};

/// The whole of `tempo.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    pub target: Target,
    /// Off: all data is that of one tenant, and no header is asked for.
    pub multitenancy_enabled: bool,
    /// Whether gRPC is answered on the HTTP port too.
    pub stream_over_http_enabled: bool,
    pub server: Server,
    pub distributor: Distributor,
    pub ingester: Ingester,
    #[serde(alias = "backend_worker")]
    pub compactor: Compactor,
    pub storage: Storage,
    pub query_frontend: QueryFrontend,
    pub querier: Querier,
    pub overrides: Overrides,
    pub memory: Memory,
    /// All of it as text.
    #[serde(skip)]
    pub shown: Shown,
}

/// Which parts run in this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    #[default]
    All,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            target: Target::All,
            multitenancy_enabled: false,
            stream_over_http_enabled: true,
            server: Server::default(),
            distributor: Distributor::default(),
            ingester: Ingester::default(),
            compactor: Compactor::default(),
            storage: Storage::default(),
            query_frontend: QueryFrontend::default(),
            querier: Querier::default(),
            overrides: Overrides::default(),
            memory: Memory::default(),
            shown: Shown::of_defaults(),
        }
    }
}

impl Config {
    /// The config in the file, or the defaults without one. With `expand_env`, `${NAME}` and `${NAME:-default}` in values
    /// are filled in from the environment. The values are not yet checked against one another: [`Config::check`].
    ///
    /// # Errors
    /// A file that cannot be read, and what [`Config::from_text`] refuses.
    pub fn load(path: Option<&Path>, expand_env: bool) -> Result<(Self, Vec<Warning>), Error> {
        let Some(path) = path else { return Self::from_text("", None) };
        let text = fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let environment = |name: &str| std::env::var(name).ok();
        Self::from_text(&text, expand_env.then_some(&environment as Variables<'_>))
    }

    /// The config in the text; what it leaves out has its default. `variables` answers for `${NAME}`; without it such
    /// texts stay as they are.
    ///
    /// # Errors
    /// Text that is not YAML, duplicate and unknown keys, values that are not allowed, variables that are not set. Values
    /// of secrets and of variables are never shown.
    pub fn from_text(
        text: &str,
        variables: Option<Variables<'_>>,
    ) -> Result<(Self, Vec<Warning>), Error> {
        let (mut config, notes) = read(text, variables)?;
        config.shown = Shown::of(text, variables).map_err(|problem| Error::Wrong(vec![problem]))?;
        Ok((config, notes.warnings))
    }

    /// The keys, with dots, that the text leaves to their defaults.
    ///
    /// # Errors
    /// As [`Config::from_text`].
    pub fn absent_keys(text: &str) -> Result<Vec<String>, Error> {
        read(text, None).map(|(_, notes)| notes.absent)
    }

    /// Whether the values fit together: ports, paths, buckets, limits.
    ///
    /// # Errors
    /// All that cannot work.
    pub fn check(&self) -> Result<Vec<Warning>, Error> {
        check::check(self)
    }
}

fn read(text: &str, variables: Option<Variables<'_>>) -> Result<(Config, Notes), Error> {
    let mut notes = Notes::default();
    let root = tree::parse(text, variables, &mut notes.warnings)
        .map_err(|problem| Error::Wrong(vec![problem]))?;
    let notes = RefCell::new(notes);
    let config = Config::deserialize(Reader::new(&root, &notes));
    let mut notes = notes.into_inner();
    notes.warnings.sort_by_key(|warning| warning.place);
    match config {
        Ok(config) if notes.problems.is_empty() => Ok((config, notes)),
        config => {
            let mut problems = notes.problems;
            problems.extend(config.err());
            problems.sort_by_key(Problem::place);
            Err(Error::Wrong(problems))
        }
    }
}
