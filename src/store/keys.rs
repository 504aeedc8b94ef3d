//! The shape of every key in the bucket.
//!
//! ```text
//! <tenant>/manifest/<20 digits>              a version of the tenant's block list
//! <tenant>/manifest/segments/<uuid>          an immutable piece of it
//! <tenant>/traces/<window>/<uuid>            a pack: the trace ids of many blocks, see the room `packs`
//! <tenant>/blocks/<uuid>/spans.parquet, traces.parquet, resources.parquet, bloom-<shard>, index, meta.json
//! ```
//!
//! All are relative to the prefix of the configuration. A `TenantId` is one path segment as it is.

use std::fmt;

use uuid::Uuid;

use super::Path;
use crate::tenant::TenantId;

/// The objects of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockObject {
    Spans,
    Traces,
    Resources,
    /// One shard of the trace-id bloom filter, from 0.
    Bloom(u32),
    Index,
    Meta,
}

impl BlockObject {
    /// The inverse of its text; `None` for any other name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "spans.parquet" => Some(Self::Spans),
            "traces.parquet" => Some(Self::Traces),
            "resources.parquet" => Some(Self::Resources),
            "index" => Some(Self::Index),
            "meta.json" => Some(Self::Meta),
            name => {
                let shard = name.strip_prefix("bloom-")?;
                let number: u32 = shard.parse().ok()?;
                // One name per object: no sign, no leading zeros.
                (number.to_string() == shard).then_some(Self::Bloom(number))
            }
        }
    }
}

/// The last segment of its key.
impl fmt::Display for BlockObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spans => f.write_str("spans.parquet"),
            Self::Traces => f.write_str("traces.parquet"),
            Self::Resources => f.write_str("resources.parquet"),
            Self::Bloom(shard) => write!(f, "bloom-{shard}"),
            Self::Index => f.write_str("index"),
            Self::Meta => f.write_str("meta.json"),
        }
    }
}

fn path(key: &str) -> Path {
    Path::parse(key).expect("tenants, numbers and ids are path segments")
}

/// The folder of the versions of a tenant's block list, and of `segments/`.
pub fn manifests(tenant: &TenantId) -> Path {
    path(&format!("{tenant}/manifest"))
}

/// Version `number` of a tenant's block list.
pub fn manifest(tenant: &TenantId, number: u64) -> Path {
    path(&format!("{tenant}/manifest/{number:020}"))
}

/// The number in a key made by [`manifest`]; `None` for any other key.
pub fn manifest_number(key: &Path) -> Option<u64> {
    let name = key.filename()?;
    let digits = name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit());
    if digits { name.parse().ok() } else { None }
}

/// The folder of the pieces of a tenant's block list.
pub fn manifest_segments(tenant: &TenantId) -> Path {
    path(&format!("{tenant}/manifest/segments"))
}

/// A piece of a tenant's block list.
pub fn manifest_segment(tenant: &TenantId, id: Uuid) -> Path {
    path(&format!("{tenant}/manifest/segments/{id}"))
}

/// The folder of a tenant's blocks: one folder per block, named by [`Uuid`].
pub fn blocks(tenant: &TenantId) -> Path {
    path(&format!("{tenant}/blocks"))
}

/// The folder of one block.
pub fn block_folder(tenant: &TenantId, block: Uuid) -> Path {
    path(&format!("{tenant}/blocks/{block}"))
}

/// One object of a block.
pub fn block(tenant: &TenantId, block: Uuid, object: BlockObject) -> Path {
    path(&format!("{tenant}/blocks/{block}/{object}"))
}

/// The folder of the packs of trace ids of a tenant.
pub fn filter_packs(tenant: &TenantId) -> Path {
    path(&format!("{tenant}/traces"))
}

/// A pack of the trace ids of some blocks. `window_start_unix_seconds` is the begin of the hour of the earliest; 10 digits, so
/// that names sort by time until the year 2286.
pub fn filter_pack(tenant: &TenantId, window_start_unix_seconds: u64, id: Uuid) -> Path {
    path(&format!("{tenant}/traces/{window_start_unix_seconds:010}/{id}"))
}

/// The id that ends a key or folder name made above; `None` for any other name. Only the form with hyphens in lower
/// case is a name.
pub fn id(name: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(name).ok()?;
    (id.to_string() == name).then_some(id)
}

/// An object that the start of a process creates and deletes. `@` is in no tenant's name.
pub(super) fn probe(id: Uuid) -> Path {
    path(&format!("@probe/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001);

    #[test]
    fn keys_have_the_shape_of_the_page() {
        let tenant = TenantId::parse("team-1*'()!_.").unwrap();
        let table = [
            (manifest(&tenant, 7), "manifest/00000000000000000007"),
            (manifest(&tenant, u64::MAX), "manifest/18446744073709551615"),
            (
                manifest_segment(&tenant, ID),
                "manifest/segments/01930000-0000-7000-8000-000000000001",
            ),
            (
                filter_pack(&tenant, 3600, ID),
                "traces/0000003600/01930000-0000-7000-8000-000000000001",
            ),
            (
                block(&tenant, ID, BlockObject::Bloom(12)),
                "blocks/01930000-0000-7000-8000-000000000001/bloom-12",
            ),
        ];
        for (key, wanted) in table {
            assert_eq!(key.as_ref(), format!("team-1*'()!_./{wanted}"));
        }
    }

    #[test]
    fn names_and_objects_are_inverses() {
        let objects = [
            BlockObject::Spans,
            BlockObject::Traces,
            BlockObject::Resources,
            BlockObject::Bloom(0),
            BlockObject::Bloom(u32::MAX),
            BlockObject::Index,
            BlockObject::Meta,
        ];
        for object in objects {
            assert_eq!(BlockObject::parse(&object.to_string()), Some(object));
        }
        for bad in ["", "bloom-", "bloom-01", "bloom-+1", "bloom--1", "Index", "spans.parquet#1"] {
            assert_eq!(BlockObject::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn numbers_and_ids_come_back_from_their_keys_only() {
        let tenant = TenantId::single();
        assert_eq!(manifest_number(&manifest(&tenant, 12)), Some(12));
        assert_eq!(manifest_number(&manifest(&tenant, u64::MAX)), Some(u64::MAX));
        assert_eq!(manifest_number(&manifest_segment(&tenant, ID)), None);
        assert_eq!(manifest_number(&Path::from("a/manifest/+0000000000000000012")), None);
        assert_eq!(id(&ID.to_string()), Some(ID));
        assert_eq!(id(&ID.simple().to_string()), None);
    }

    #[test]
    fn no_tenant_can_be_named_like_the_probe() {
        assert!(TenantId::parse("@probe").is_err());
    }
}
