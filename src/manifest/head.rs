//! The newest manifest: found once, then followed.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::TryStreamExt;
use prost::Message;
use uuid::Uuid;

use super::Error;
use super::envelope;
use super::envelope::HEADER_BYTES;
use super::envelope::Identity;
use super::envelope::Kind;
use super::snapshot::Manifest;
use super::snapshot::Segment;
use super::wire;
use crate::store::Store;
use crate::store::keys;
use crate::tenant::TenantId;

/// Manifests read one after the other before a listing is asked instead.
const FOLLOW_MAX: u64 = 256;

/// Listings that were overtaken, one after the other, before it is called an error. One is rare.
const FIND_ATTEMPTS_MAX: u32 = 8;

/// Segments read at once.
const PARALLEL_MAX: usize = 8;

/// The newest list of a tenant's blocks, for who only reads; number 0 if the tenant was never written to.
///
/// # Errors
/// The bucket's, or of a manifest that cannot be read.
pub async fn newest(store: &Store, tenant: &TenantId) -> Result<Arc<Manifest>, Error> {
    let reader = Reader { store: store.clone(), tenant: tenant.clone() };
    reader.find(&Manifest::empty()).await
}

/// Reads the manifests of one tenant.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub(super) store: Store,
    pub(super) tenant: TenantId,
}

/// One manifest as it was read, without its segments.
pub(super) type Found = (Identity, wire::Manifest);

impl Reader {
    /// The newest manifest, where `base` is one that was the newest once. Asks for the next number; lists only if
    /// `base` is gone or was none.
    pub(super) async fn newest(&self, base: Arc<Manifest>) -> Result<Arc<Manifest>, Error> {
        if base.number() > 0 {
            let last = self.last_after(base.number()).await?;
            // Whatever was read counts only if what it follows is still there.
            if self.is_there(base.identity).await? {
                match last {
                    Follow::Last(None) => return Ok(base),
                    Follow::Last(Some(found)) => {
                        if let Some(manifest) = self.load(found, &base).await? {
                            return Ok(manifest);
                        }
                    }
                    Follow::Far => {}
                }
            }
        }
        self.find(&base).await
    }

    /// The newest manifest by a listing, which is confirmed: number 0 if there is none.
    pub(super) async fn find(&self, base: &Manifest) -> Result<Arc<Manifest>, Error> {
        for _ in 0..FIND_ATTEMPTS_MAX {
            let Some(number) = self.listed().await?.into_iter().max() else {
                if base.number() > 0 {
                    let key = keys::manifest(&self.tenant, base.number());
                    return Err(Error::corrupt(
                        &key,
                        "was read before, and now no manifest is there",
                    ));
                }
                return Ok(Arc::new(Manifest::empty()));
            };
            let Some(found) = self.read(number).await? else { continue };
            let first = found.0;
            let last = match self.last_after(number).await? {
                Follow::Last(last) => last.unwrap_or(found),
                Follow::Far => continue,
            };
            if last.0.number < base.number() || !self.is_there(first).await? {
                continue;
            }
            if let Some(manifest) = self.load(last, base).await? {
                return Ok(manifest);
            }
        }
        let key = keys::manifests(&self.tenant);
        Err(Error::corrupt(
            &key,
            format!("overtaken in {FIND_ATTEMPTS_MAX} attempts to find the newest"),
        ))
    }

    /// The numbers that a listing tells.
    pub(super) async fn listed(&self) -> Result<Vec<u64>, Error> {
        let listed = self.store.list_folder(&keys::manifests(&self.tenant)).await?;
        Ok(listed.iter().filter_map(|object| keys::manifest_number(&object.key)).collect())
    }

    /// One manifest; `None` if it is not there.
    pub(super) async fn read(&self, number: u64) -> Result<Option<Found>, Error> {
        let key = keys::manifest(&self.tenant, number);
        let object = match self.store.get(&key).await {
            Ok(object) => object,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let corrupt = |reason| Error::corrupt(&key, reason);
        let (identity, body) = envelope::open(Kind::Manifest, &object).map_err(corrupt)?;
        if identity.number != number {
            return Err(corrupt(format!("says that it is number {}", identity.number)));
        }
        let body = wire::Manifest::decode(&*body).map_err(|e| corrupt(e.to_string()))?;
        if body.min_reader > wire::VERSION {
            let (min_reader, version) = (body.min_reader, wire::VERSION);
            return Err(Error::ReaderTooOld { key, min_reader, version });
        }
        Ok(Some((identity, body)))
    }

    /// Whether a manifest is still there, and still the same.
    pub(super) async fn is_there(&self, identity: Identity) -> Result<bool, Error> {
        let key = keys::manifest(&self.tenant, identity.number);
        match self.store.get_range(&key, 0..HEADER_BYTES as u64).await {
            Ok(header) => {
                let found = envelope::identity(Kind::Manifest, &header);
                Ok(found.map_err(|reason| Error::corrupt(&key, reason))? == identity)
            }
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    async fn last_after(&self, number: u64) -> Result<Follow, Error> {
        let mut last = None;
        for next in number + 1..=number + FOLLOW_MAX {
            match self.read(next).await? {
                Some(found) => last = Some(found),
                None => return Ok(Follow::Last(last)),
            }
        }
        Ok(Follow::Far)
    }

    /// Adds the segments: those that `base` has are not read again. `None` if one is gone, so that the manifest must be
    /// long superseded.
    pub(super) async fn load(
        &self,
        (identity, body): Found,
        base: &Manifest,
    ) -> Result<Option<Arc<Manifest>>, Error> {
        let key = keys::manifest(&self.tenant, identity.number);
        let known: HashMap<Uuid, &Arc<Segment>> =
            base.segments.iter().map(|segment| (segment.id, segment)).collect();
        let mut wanted = Vec::with_capacity(body.segments.len());
        for reference in &body.segments {
            let id = wire::id(&reference.id).map_err(|reason| Error::corrupt(&key, reason))?;
            let known = known.get(&id).map(|segment| Arc::clone(segment));
            wanted.push((id, reference.clone(), known));
        }
        let read = wanted.into_iter().map(|(id, reference, known)| async move {
            match known {
                Some(segment) => Ok(Some(segment)),
                None => self.read_segment(id, reference).await,
            }
        });
        let segments: Vec<Option<Arc<Segment>>> =
            futures::stream::iter(read).buffered(PARALLEL_MAX).try_collect().await?;
        let Some(segments) = segments.into_iter().collect() else { return Ok(None) };
        let decode = move || Manifest::from_wire(identity, body, segments);
        let manifest = tokio::task::spawn_blocking(decode).await.expect("decoding does not panic");
        Ok(Some(Arc::new(manifest.map_err(|reason| Error::corrupt(&key, reason))?)))
    }

    async fn read_segment(
        &self,
        id: Uuid,
        reference: wire::SegmentRef,
    ) -> Result<Option<Arc<Segment>>, Error> {
        let key = keys::manifest_segment(&self.tenant, id);
        let object = match self.store.get(&key).await {
            Ok(object) => object,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let open = move || Segment::open(&reference, &object);
        let segment = tokio::task::spawn_blocking(open).await.expect("decoding does not panic");
        Ok(Some(Arc::new(segment.map_err(|reason| Error::corrupt(&key, reason))?)))
    }
}

/// What comes after a manifest.
enum Follow {
    /// The last one; `None` if nothing follows.
    Last(Option<Found>),
    /// Too many to follow.
    Far,
}
