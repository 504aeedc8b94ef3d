//! Tools for operators: what is in a bucket, and whether it is whole. They only read.
//!
//! `vivace blocks list`, `vivace blocks view TENANT BLOCK` and `vivace blocks check` open the bucket that the config file names, whether
//! or not a process is running on it: what a running process changes meanwhile is no damage, and told as such.

mod args;
mod check;
mod finding;
mod list;
mod progress;
mod text;
mod view;

use std::io::{self, Write};
use std::path::PathBuf;

pub use self::args::Tool;
use self::args::{Blocks, Command};
use crate::block;
use crate::config::{self, Config};
use crate::failure::chain;
use crate::manifest;
use crate::runtime::Cpu;
use crate::store::{self, Store};
use crate::tenant::TenantId;

/// Memory for indexes of blocks: each is looked at once.
const CACHE_BYTES: u64 = 16 << 20;

/// Why a tool could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("block list")]
    Manifest(#[from] manifest::Error),
    #[error("block {block}")]
    Block { block: uuid::Uuid, source: block::Error },
    #[error("no threads: {0}")]
    Threads(String),
    #[error("tenant {tenant} has nothing in this bucket; it has: {known}")]
    NoTenant { tenant: TenantId, known: String },
    #[error("tenant {tenant} has no block {block} in manifest {manifest}")]
    NoBlock { tenant: TenantId, block: uuid::Uuid, manifest: u64 },
    #[error("standard output")]
    Output(#[from] io::Error),
}

/// How it went, where the work itself was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Good,
    /// Something in the bucket is not as it should be.
    SomethingWrong,
}

/// The open bucket.
struct Bucket {
    store: Store,
    blocks: block::Blocks,
    cpu: Cpu,
}

/// Does what the command line says; what is asked for goes to `out`, how far it has come to standard error if that is a terminal.
///
/// # Errors
/// When the bucket cannot be read at all. What is wrong with single objects is no error of `check`, but its answer.
pub async fn run(tool: Tool, out: &mut (dyn Write + Send)) -> Result<Outcome, Error> {
    let Tool { command: Command::Blocks(command), config_file, config_expand_env } = tool;
    let bucket = Bucket::open(config_file, config_expand_env).await?;
    match command {
        Blocks::List { tenant, json } => {
            list::run(&bucket, tenant, json, out).await.map(|()| Outcome::Good)
        }
        Blocks::View { tenant, block, json } => {
            view::run(&bucket, &tenant, block, json, out).await.map(|()| Outcome::Good)
        }
        Blocks::Check { tenant, json } => check::run(&bucket, tenant, json, out).await,
    }
}

impl Bucket {
    async fn open(config_file: Option<PathBuf>, expand_env: bool) -> Result<Self, Error> {
        let (config, _) = Config::load(config_file.as_deref(), expand_env)?;
        let store = Store::open_to_read(&config.storage.trace.store()).await?;
        let cpu = Cpu::new(None).map_err(|error| Error::Threads(chain(&error)))?;
        let blocks = block::Blocks::new(store.clone(), cpu.clone(), CACHE_BYTES);
        Ok(Self { store, blocks, cpu })
    }

    /// All tenants, or the one that is asked for.
    async fn tenants(&self, wanted: Option<TenantId>) -> Result<Vec<TenantId>, Error> {
        let all = manifest::tenants(&self.store).await?;
        let Some(tenant) = wanted else { return Ok(all) };
        if all.contains(&tenant) {
            return Ok(vec![tenant]);
        }
        let known: Vec<&str> = all.iter().map(TenantId::as_str).take(20).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(Error::NoTenant { tenant, known })
    }

    /// The newest list of a tenant's blocks.
    async fn manifest(
        &self,
        tenant: &TenantId,
    ) -> Result<std::sync::Arc<manifest::Manifest>, Error> {
        Ok(manifest::newest(&self.store, tenant).await?)
    }
}
