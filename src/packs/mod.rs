//! Which blocks may hold a trace? Packs: the trace ids of many blocks in one object.
//!
//! Each block has bloom filters of its own, and asking ten thousand blocks is ten thousand requests. A pack lists the traces of many
//! blocks, sorted, in pages: a look-up reads one page of each pack. Packs are made in the background after blocks were committed
//! (`keep.rs`) and merged, so that there are about as many as the logarithm of the number of blocks (`plan.rs`). See decision 0010.
//!
//! # Rules
//!
//! - Packs are derived: whoever deletes all of them loses nothing but time. No manifest names them; they are found by a listing, which
//!   decides nothing. What counts is the manifest: a block that it has and no pack knows is asked itself, and a block that a pack names
//!   and the manifest has not is left out.
//! - A pack never changes. A block is in it with all its traces or not at all.
//! - Several processes may pack the same blocks. What is in two packs is found twice, and the smaller one is deleted.
//!
//! # The format, version 1
//!
//! An object `<tenant>/traces/<hour of the earliest block>/<uuid>`. Integers are little endian.
//!
//! ```text
//! pages       one after the other, from byte 0. Each: entries in ascending order {key, block}: the difference to the key
//!             before as LEB128 (the first: to the page's first key), then the block's place in the list as LEB128
//! directory   ids of the blocks, 16 bytes each; then per page {first key u64, offset u64, bytes u32, entries u32,
//!             CRC-32C u32}. Equal keys are in one page.
//! tail        {blocks u32, pages u32, entries u64, CRC-32C of directory and the tail up to here u32, version u32, "VIVATRCE"}
//! ```
//!
//! A key is the upper 48 bits of `TraceId::fold` times 0x9e3779b97f4a7c15: of a billion traces one look-up in 300,000 meets another
//! trace's key. "Not in the pack" is certain.

mod check;
mod find;
mod format;
mod keep;
mod plan;
mod sharing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use self::check::{Checked, check};
pub use self::sharing::Sharing;

use parking_lot::Mutex;
use quick_cache::OptionsBuilder;
use quick_cache::sync::{Cache, DefaultLifecycle};
use uuid::Uuid;

use self::find::Pack;
use self::format::Page;
use crate::block::{self, Blocks};
use crate::failure::Kind;
use crate::manifest::BlockEntry;
use crate::runtime::{Clock, Cpu};
use crate::store::{self, Store};
use crate::tenant::TenantId;

/// Up to so many blocks are asked themselves: that takes no longer, and nothing needs to be known of packs.
const FEW_BLOCKS: usize = 16;

/// How long what a listing told is good for. A pack that is missed costs requests, and one that is gone is noticed.
const LISTED_PERIOD: Duration = Duration::from_secs(30);

/// Why packs could not be asked or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("store")]
    Store(#[from] store::Error),
    #[error("block {block}")]
    Block { block: Uuid, source: block::Error },
    #[error("{key}: {what}")]
    Corrupt { key: store::Path, what: &'static str },
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(error) | Self::Block { source: block::Error::Store(error), .. } => {
                error.kind()
            }
            Self::Block { .. } | Self::Corrupt { .. } => Kind::Internal,
        }
    }

    /// The pack was merged into another meanwhile.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_not_found())
    }
}

/// The packs of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Packs(Arc<Inner>);

struct Inner {
    store: Store,
    blocks: Blocks,
    cpu: Cpu,
    clock: Clock,
    tenants: Mutex<HashMap<TenantId, Arc<tokio::sync::Mutex<Known>>>>,
    pages: Cache<(Uuid, usize), Arc<Page>, ByBytes, foldhash::fast::RandomState>,
}

/// What is known of a tenant's packs.
#[derive(Default)]
struct Known {
    packs: Vec<Arc<Pack>>,
    listed: Option<Duration>,
    /// The manifest that the packs were last looked after for.
    kept: u64,
}

/// Blocks that may hold one of some traces.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// A pack says that it has one; it errs about once in 300,000.
    pub maybe: Vec<Arc<BlockEntry>>,
    /// No pack knows them.
    pub unknown: Vec<Arc<BlockEntry>>,
}

#[derive(Clone)]
struct ByBytes;

impl quick_cache::Weighter<(Uuid, usize), Arc<Page>> for ByBytes {
    fn weight(&self, _: &(Uuid, usize), page: &Arc<Page>) -> u64 {
        page.memory_bytes()
    }
}

impl Packs {
    /// Pages that were decoded are kept in as much memory as filters of blocks.
    pub fn new(store: Store, blocks: Blocks, cpu: Cpu, clock: Clock) -> Self {
        let cache_bytes = blocks.filter_cache_bytes();
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(1024)
            .weight_capacity(cache_bytes)
            .build()
            .expect("all that must be given is given");
        let hasher = foldhash::fast::RandomState::default();
        let pages = Cache::with_options(options, ByBytes, hasher, DefaultLifecycle::default());
        Self(Arc::new(Inner { store, blocks, cpu, clock, tenants: Mutex::default(), pages }))
    }

    /// What is known of a tenant. Only tenants with many blocks get here, so nobody fills this with names.
    fn tenant(&self, tenant: &TenantId) -> Arc<tokio::sync::Mutex<Known>> {
        Arc::clone(self.0.tenants.lock().entry(tenant.clone()).or_default())
    }
}
