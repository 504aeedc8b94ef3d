//! The envelope of manifests and segments: what it is, whose it is, and whether it is whole.

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use uuid::Uuid;

/// Bytes before the body.
pub(super) const HEADER_BYTES: usize = 68;

const VERSION: u16 = 1;

/// Fast, and close to the best for lists of names.
const ZSTD_LEVEL: i32 = 3;

/// Largest body before the codec: more than any that was ever written, less than what hurts.
const BODY_BYTES_MAX: u32 = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Manifest,
    Segment,
}

impl Kind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Manifest => b"VIVAMANI",
            Self::Segment => b"VIVASEGM",
        }
    }
}

/// Which object this is, of all that ever had its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// 0 for a segment.
    pub(super) number: u64,
    pub(super) writer: Uuid,
    /// The commit; for a segment its own id.
    pub(super) id: Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Raw = 0,
    Zstd = 1,
}

/// Puts a body into an envelope; compressed where that is shorter.
pub(super) fn seal(kind: Kind, identity: Identity, body: &[u8]) -> Bytes {
    let packed = zstd::bulk::compress(body, ZSTD_LEVEL).expect("memory to memory");
    let (codec, stored) =
        if packed.len() < body.len() { (Codec::Zstd, &packed[..]) } else { (Codec::Raw, body) };
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("bodies are a few KiB or MiB");
    let mut out = Vec::with_capacity(HEADER_BYTES + stored.len());
    out.extend_from_slice(kind.magic());
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[codec as u8, 0]);
    out.extend_from_slice(&length(stored).to_le_bytes());
    out.extend_from_slice(&crc32c(stored).to_le_bytes());
    out.extend_from_slice(&length(body).to_le_bytes());
    out.extend_from_slice(&identity.number.to_le_bytes());
    out.extend_from_slice(identity.writer.as_bytes());
    out.extend_from_slice(identity.id.as_bytes());
    out.extend_from_slice(&crc32c(&out).to_le_bytes());
    out.extend_from_slice(stored);
    out.into()
}

/// What a header says.
struct Header {
    codec: Codec,
    stored_bytes: u32,
    stored_crc32c: u32,
    body_bytes: u32,
    identity: Identity,
}

impl Header {
    fn decode(kind: Kind, object: &[u8]) -> Result<Self, String> {
        let Some(header) = object.first_chunk::<HEADER_BYTES>() else {
            return Err(format!("{} bytes, too short for a header", object.len()));
        };
        if !header.starts_with(kind.magic()) {
            return Err(format!("not a {kind:?}"));
        }
        if crc32c(&header[..64]) != u32::from_le_bytes(field(header, 64)) {
            return Err("damaged header".to_owned());
        }
        let version = u16::from_le_bytes(field(header, 8));
        if version != VERSION {
            return Err(format!("layout of version {version}; this program reads {VERSION}"));
        }
        let codec = match header[10] {
            0 => Codec::Raw,
            1 => Codec::Zstd,
            codec => return Err(format!("unknown codec {codec}")),
        };
        let identity = Identity {
            number: u64::from_le_bytes(field(header, 24)),
            writer: Uuid::from_bytes(field(header, 32)),
            id: Uuid::from_bytes(field(header, 48)),
        };
        Ok(Self {
            codec,
            stored_bytes: u32::from_le_bytes(field(header, 12)),
            stored_crc32c: u32::from_le_bytes(field(header, 16)),
            body_bytes: u32::from_le_bytes(field(header, 20)),
            identity,
        })
    }
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    *header[at..].first_chunk().expect("every field ends within the header")
}

/// The identity alone, from the first [`HEADER_BYTES`] of an object.
pub(super) fn identity(kind: Kind, header: &[u8]) -> Result<Identity, String> {
    Ok(Header::decode(kind, header)?.identity)
}

/// Identity and body of a whole object; or what is wrong with it.
pub(super) fn open(kind: Kind, object: &[u8]) -> Result<(Identity, Vec<u8>), String> {
    let header = Header::decode(kind, object)?;
    let stored = &object[HEADER_BYTES..];
    if stored.len() as u64 != u64::from(header.stored_bytes) {
        return Err(format!("body of {} bytes, wanted {}", stored.len(), header.stored_bytes));
    }
    if crc32c(stored) != header.stored_crc32c {
        return Err("damaged body".to_owned());
    }
    if header.body_bytes > BODY_BYTES_MAX {
        return Err(format!("body of {} bytes; at most {BODY_BYTES_MAX}", header.body_bytes));
    }
    let bytes = header.body_bytes as usize;
    let body = match header.codec {
        Codec::Raw => stored.to_vec(),
        Codec::Zstd => zstd::bulk::decompress(stored, bytes).map_err(|e| format!("zstd: {e}"))?,
    };
    if body.len() != bytes {
        return Err(format!("unpacked to {} bytes, wanted {bytes}", body.len()));
    }
    Ok((header.identity, body))
}

pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let crc = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(crc).expect("a CRC of 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity =
        Identity { number: 9, writer: Uuid::from_u128(3), id: Uuid::from_u128(4) };

    #[test]
    fn what_was_sealed_opens_and_any_change_is_seen() {
        for body in [&b"short"[..], &[b'x'; 5000]] {
            let sealed = seal(Kind::Manifest, IDENTITY, body);
            assert_eq!(open(Kind::Manifest, &sealed), Ok((IDENTITY, body.to_vec())));
            assert_eq!(identity(Kind::Manifest, &sealed[..HEADER_BYTES]), Ok(IDENTITY));
            assert_eq!(open(Kind::Segment, &sealed), Err("not a Segment".to_owned()));
            for at in 0..sealed.len() {
                let mut changed = sealed.to_vec();
                changed[at] ^= 1;
                assert!(open(Kind::Manifest, &changed).is_err(), "{at}");
                assert!(open(Kind::Manifest, &sealed[..at]).is_err(), "{at}");
            }
        }
    }

    #[test]
    fn a_check_value_of_crc32c_holds() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
