//! Who sent a span: a resource and an instrumentation scope, kept as they came and decoded for queries.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::trace::Value;
use crate::trace::wire::{Fields, WireError};

/// One distinct pair of resource and scope, with the schema URLs and unknown fields around them.
#[derive(Clone, PartialEq)]
pub struct Resource {
    parts: ResourceParts,
    hash: u64,
    view: ResourceView,
}

/// The bytes a [`Resource`] is made of: what came over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ResourceParts {
    /// The `Resource` message; `None` if there was none.
    pub resource: Option<Bytes>,
    pub resource_schema_url: String,
    /// Unknown fields of `ResourceSpans`.
    pub resource_unknown: Bytes,
    /// The `InstrumentationScope` message; `None` if there was none.
    pub scope: Option<Bytes>,
    pub scope_schema_url: String,
    /// Unknown fields of `ScopeSpans`.
    pub scope_unknown: Bytes,
}

/// The bytes of a [`ResourceParts`], borrowed: enough to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartsRef<'a> {
    pub resource: Option<&'a [u8]>,
    pub resource_schema_url: &'a [u8],
    pub resource_unknown: &'a [u8],
    pub scope: Option<&'a [u8]>,
    pub scope_schema_url: &'a [u8],
    pub scope_unknown: &'a [u8],
}

impl ResourceParts {
    pub fn borrowed(&self) -> PartsRef<'_> {
        let Self {
            resource,
            resource_schema_url,
            resource_unknown,
            scope,
            scope_schema_url,
            scope_unknown,
        } = self;
        PartsRef {
            resource: resource.as_deref(),
            resource_schema_url: resource_schema_url.as_bytes(),
            resource_unknown,
            scope: scope.as_deref(),
            scope_schema_url: scope_schema_url.as_bytes(),
            scope_unknown,
        }
    }
}

/// What a query can see of a [`Resource`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceView {
    /// In wire order. Of several attributes with one key the first is seen.
    pub attributes: Vec<(String, Value)>,
    pub scope_name: String,
    pub scope_version: String,
    pub scope_attributes: Vec<(String, Value)>,
    /// `service.name` if it is a string, else empty.
    pub service_name: Arc<str>,
}

impl Resource {
    /// # Errors
    /// When a message is not protobuf or a text in it is not UTF-8.
    pub fn from_parts(parts: ResourceParts) -> Result<Self, WireError> {
        let mut view = ResourceView::default();
        if let Some(resource) = &parts.resource {
            for field in Fields::of(resource) {
                let field = field?;
                if field.number == 1 {
                    push_attribute(&mut view.attributes, field.bytes()?)?;
                }
            }
        }
        if let Some(scope) = &parts.scope {
            for field in Fields::of(scope) {
                let field = field?;
                match field.number {
                    1 => field.text()?.clone_into(&mut view.scope_name),
                    2 => field.text()?.clone_into(&mut view.scope_version),
                    3 => push_attribute(&mut view.scope_attributes, field.bytes()?)?,
                    _ => {}
                }
            }
        }
        if let Some(Value::String(name)) = find(&view.attributes, "service.name") {
            view.service_name = Arc::from(name.as_str());
        }
        Ok(Self { hash: hash(&parts.borrowed()), parts, view })
    }

    pub fn parts(&self) -> &ResourceParts {
        &self.parts
    }

    /// Names the content: CRC-64/NVME over the parts, each preceded by its length. Stable: it is stored.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn view(&self) -> &ResourceView {
        &self.view
    }

    pub fn service_name(&self) -> &Arc<str> {
        &self.view.service_name
    }

    /// The resource's attribute; the first of several.
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        find(&self.view.attributes, key)
    }

    /// The instrumentation scope's attribute; the first of several.
    pub fn scope_attribute(&self, key: &str) -> Option<&Value> {
        find(&self.view.scope_attributes, key)
    }

    /// Bytes of memory held, roughly.
    pub fn memory_bytes(&self) -> usize {
        let ResourceParts {
            resource,
            resource_schema_url,
            resource_unknown,
            scope,
            scope_schema_url,
            scope_unknown,
        } = &self.parts;
        let bytes = resource.as_ref().map_or(0, Bytes::len)
            + resource_schema_url.len()
            + resource_unknown.len()
            + scope.as_ref().map_or(0, Bytes::len)
            + scope_schema_url.len()
            + scope_unknown.len();
        256 + bytes * 3 + (self.view.attributes.len() + self.view.scope_attributes.len()) * 80
    }
}

/// Resources that were seen lately, so that each is decoded and held once however many pushes name it.
#[derive(Default)]
pub struct ResourceCache {
    /// Of the parts: not the hash that names them, which takes longer.
    hasher: RandomState,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_hash: HashMap<u64, Arc<Resource>, RandomState>,
    bytes: usize,
}

/// Memory of a cache: past that it begins anew. What is in use stays in use.
const CACHED_BYTES_MAX: usize = 32 << 20;

impl ResourceCache {
    /// A resource of these parts that was made before.
    pub fn find(&self, parts: &PartsRef<'_>) -> Option<Arc<Resource>> {
        self.find_hashed(parts, self.hasher.hash_one(parts))
    }

    fn find_hashed(&self, parts: &PartsRef<'_>, hash: u64) -> Option<Arc<Resource>> {
        let known = self.known.lock().by_hash.get(&hash).map(Arc::clone);
        known.filter(|known| known.parts.borrowed() == *parts)
    }

    /// The resource of these parts. Who calls has checked them: what is found here is not checked again.
    ///
    /// # Errors
    /// As [`Resource::from_parts`].
    pub fn get_or_make(&self, parts: ResourceParts) -> Result<Arc<Resource>, WireError> {
        let hash = self.hasher.hash_one(parts.borrowed());
        if let Some(known) = self.find_hashed(&parts.borrowed(), hash) {
            return Ok(known);
        }
        let made = Arc::new(Resource::from_parts(parts)?);
        let mut known = self.known.lock();
        known.bytes += made.memory_bytes();
        if known.bytes > CACHED_BYTES_MAX {
            *known = Known { bytes: made.memory_bytes(), ..Known::default() };
        }
        known.by_hash.insert(hash, Arc::clone(&made));
        Ok(made)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("hash", &self.hash)
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

/// The first value of `key`.
pub fn find<'a>(attributes: &'a [(String, Value)], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

fn push_attribute(into: &mut Vec<(String, Value)>, key_value: &[u8]) -> Result<(), WireError> {
    let (mut key, mut value) = (String::new(), Value::Empty);
    for field in Fields::of(key_value) {
        let field = field?;
        match field.number {
            1 => field.text()?.clone_into(&mut key),
            2 => value = Value::decode(field.bytes()?)?,
            _ => {}
        }
    }
    into.push((key, value));
    Ok(())
}

fn hash(parts: &PartsRef<'_>) -> u64 {
    let PartsRef {
        resource,
        resource_schema_url,
        resource_unknown,
        scope,
        scope_schema_url,
        scope_unknown,
    } = parts;
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut add = |bytes: Option<&[u8]>| {
        // "None" and "empty" differ: OTLP tells a missing message from an empty one.
        let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        digest.update(&length.to_le_bytes());
        digest.update(bytes.unwrap_or_default());
    };
    add(*resource);
    add(Some(resource_schema_url));
    add(Some(resource_unknown));
    add(*scope);
    add(Some(scope_schema_url));
    add(Some(scope_unknown));
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::encode_key_value;
    use crate::trace::wire::put_bytes_field;

    fn resource(service: &str) -> Resource {
        let mut message = Vec::new();
        let value = Value::String(service.into()).encoded();
        put_bytes_field(&mut message, 1, &encode_key_value("service.name", &value));
        let parts = ResourceParts { resource: Some(message.into()), ..ResourceParts::default() };
        Resource::from_parts(parts).unwrap()
    }

    #[test]
    fn the_hash_is_stable() {
        // Stored in blocks: it may never change.
        assert_eq!(resource("cart").hash(), resource("cart").hash());
        assert_ne!(resource("cart").hash(), resource("card").hash());
        let (none, empty) = (
            ResourceParts::default(),
            ResourceParts { resource: Some(Bytes::new()), ..ResourceParts::default() },
        );
        assert_ne!(hash(&none.borrowed()), hash(&empty.borrowed()));
    }

    #[test]
    fn equal_resources_are_one() {
        let cache = ResourceCache::default();
        let get = |service| cache.get_or_make(resource(service).parts().clone()).unwrap();
        assert!(Arc::ptr_eq(&get("cart"), &get("cart")));
        assert_eq!(*get("card"), resource("card"));
    }

    #[test]
    fn the_service_is_seen() {
        let resource = resource("cart");
        assert_eq!(&**resource.service_name(), "cart");
        assert_eq!(resource.attribute("service.name"), Some(&Value::String("cart".into())));
        assert_eq!(resource.attribute("other"), None);
    }
}
