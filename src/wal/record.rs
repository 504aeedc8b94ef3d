//! One record: to bytes and back.

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use crc_fast::Digest;

use crate::tenant::TenantId;

/// Largest payload of a record: twice the largest request, for the sake of transcoded bodies.
pub const RECORD_BYTES_MAX: u64 = 128 << 20;

/// Bytes of length and CRC before every payload.
pub(super) const PREFIX_BYTES: usize = 8;

/// Receive time, format and length of the tenant id.
const FIXED_BYTES: usize = 10;

/// One accepted push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub tenant: TenantId,
    /// When the push came in, by our clock.
    pub received_unix_nano: u64,
    pub format: Format,
    /// Accepted spans of the body: all but the refused ones.
    pub spans: u32,
    pub refused: Refused,
    /// The push as it came in, or transcoded to `format`.
    pub body: Bytes,
}

/// What the body of a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Format {
    /// A protobuf `ExportTraceServiceRequest`.
    Otlp = 0,
}

/// Where a record is. Ordered as the records were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub segment: u64,
    /// The number of the record's first accepted span among the accepted spans of the segment, from 0. Its spans are
    /// `first_span .. first_span + spans`.
    pub first_span: u32,
}

/// Which spans of a body were refused, by their place in the body, from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused(Vec<u8>);

impl Refused {
    /// No span.
    pub fn none() -> Self {
        Self::default()
    }

    /// Marks one span. A body has fewer than 2³² spans.
    pub fn insert(&mut self, span: u32) {
        let (byte, bit) = place(span);
        if self.0.len() <= byte {
            self.0.resize(byte + 1, 0);
        }
        self.0[byte] |= bit;
    }

    pub fn contains(&self, span: u32) -> bool {
        let (byte, bit) = place(span);
        self.0.get(byte).is_some_and(|bits| bits & bit != 0)
    }

    /// How many spans are marked.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|bits| bits.count_ones()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn place(span: u32) -> (usize, u8) {
    (usize::try_from(span / 8).expect("fits in memory"), 1 << (span % 8))
}

impl FromIterator<u32> for Refused {
    fn from_iter<I: IntoIterator<Item = u32>>(spans: I) -> Self {
        let mut refused = Self::none();
        spans.into_iter().for_each(|span| refused.insert(span));
        refused
    }
}

impl Record {
    /// Bytes in the file, prefix included.
    pub(super) fn file_bytes(&self) -> u64 {
        (PREFIX_BYTES + self.payload_bytes()) as u64
    }

    fn payload_bytes(&self) -> usize {
        FIXED_BYTES + self.tenant.as_str().len() + 8 + self.refused.0.len() + self.body.len()
    }

    /// Appends prefix and payload to `out`. The payload is at most [`RECORD_BYTES_MAX`].
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let Self { tenant, received_unix_nano, format, spans, refused, body } = self;
        let tenant = tenant.as_str().as_bytes();
        let tenant_bytes = u8::try_from(tenant.len()).expect("a tenant id has at most 150 bytes");
        let refused_bytes =
            u32::try_from(refused.0.len()).expect("a bit for fewer than 2^32 spans");
        let length = u32::try_from(self.payload_bytes()).expect("checked against RECORD_BYTES_MAX");
        out.extend_from_slice(&length.to_le_bytes());
        let crc_at = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&received_unix_nano.to_le_bytes());
        out.extend_from_slice(&[*format as u8, tenant_bytes]);
        out.extend_from_slice(tenant);
        out.extend_from_slice(&spans.to_le_bytes());
        out.extend_from_slice(&refused_bytes.to_le_bytes());
        out.extend_from_slice(&refused.0);
        out.extend_from_slice(body);
        let crc = crc_of(length, &out[crc_at + 4..]);
        out[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// The inverse of [`Record::encode`] for a payload whose CRC holds; `None` if it does not parse.
    pub(super) fn decode(payload: &Bytes) -> Option<Self> {
        let mut at = payload.as_ref();
        let received_unix_nano = u64::from_le_bytes(take(&mut at)?);
        let [format, tenant_bytes] = take(&mut at)?;
        let format = match format {
            0 => Format::Otlp,
            _ => return None,
        };
        let (tenant, mut at) = at.split_at_checked(usize::from(tenant_bytes))?;
        let tenant = TenantId::parse(std::str::from_utf8(tenant).ok()?).ok()?;
        let spans = u32::from_le_bytes(take(&mut at)?);
        let refused_bytes = u32::from_le_bytes(take(&mut at)?);
        let (refused, body) = at.split_at_checked(usize::try_from(refused_bytes).ok()?)?;
        let refused = Refused(refused.to_vec());
        let body = payload.slice_ref(body);
        Some(Self { tenant, received_unix_nano, format, spans, refused, body })
    }
}

/// The first `N` bytes, cut off.
fn take<const N: usize>(at: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = at.split_first_chunk::<N>()?;
    *at = rest;
    Some(*first)
}

pub(super) fn crc_of(length: u32, payload: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&length.to_le_bytes());
    digest.update(payload);
    u32::try_from(digest.finalize()).expect("a CRC of 32 bits")
}

/// Length and CRC; `None` if no payload can be that long.
pub(super) fn decode_prefix(prefix: [u8; PREFIX_BYTES]) -> Option<(u32, u32)> {
    let [a, b, c, d, crc @ ..] = prefix;
    let length = u32::from_le_bytes([a, b, c, d]);
    let possible = u64::from(length) <= RECORD_BYTES_MAX && length >= MIN_PAYLOAD_BYTES;
    possible.then_some((length, u32::from_le_bytes(crc)))
}

/// A payload with a tenant of one letter and nothing else.
const MIN_PAYLOAD_BYTES: u32 = 19;

/// Bytes that [`may_begin`] looks at.
pub(super) const LOOK_BYTES: usize = PREFIX_BYTES + FIXED_BYTES + 1;

/// Whether a record may begin with these bytes: a cheap look before its CRC is computed.
pub(super) fn may_begin(look: [u8; LOOK_BYTES]) -> bool {
    let Some((prefix, payload)) = look.split_first_chunk() else { return false };
    let [format, tenant_bytes, first] = [payload[8], payload[9], payload[10]];
    decode_prefix(*prefix).is_some()
        && format == Format::Otlp as u8
        && (1..=150).contains(&tenant_bytes)
        && first.is_ascii_graphic()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(body: Vec<u8>, refused: Vec<u32>, tenant: &str) -> Record {
        Record {
            tenant: TenantId::parse(tenant).unwrap(),
            received_unix_nano: u64::MAX - 1,
            format: Format::Otlp,
            spans: 7,
            refused: refused.into_iter().collect(),
            body: body.into(),
        }
    }

    proptest! {
        #[test]
        fn encode_and_decode_are_inverses(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            refused in proptest::collection::vec(0_u32..1000, 0..9),
            tenant in "[a-z0-9]{1,150}",
        ) {
            let record = record(body, refused, &tenant);
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            prop_assert_eq!(bytes.len() as u64, record.file_bytes());
            let (prefix, payload) = bytes.split_first_chunk().unwrap();
            let (length, crc) = decode_prefix(*prefix).unwrap();
            prop_assert_eq!(length as usize, payload.len());
            prop_assert_eq!(crc, crc_of(length, payload));
            prop_assert!(may_begin(*bytes.first_chunk().unwrap()));
            prop_assert_eq!(Record::decode(&Bytes::copy_from_slice(payload)), Some(record));
        }

        #[test]
        fn any_bytes_decode_or_not_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            Record::decode(&bytes.into());
        }
    }

    #[test]
    fn zeros_are_no_record() {
        assert_eq!(decode_prefix([0; 8]), None);
        assert_ne!(crc_of(0, &[]), 0);
    }

    #[test]
    fn the_smallest_payload_is_the_least_that_decodes() {
        let mut bytes = Vec::new();
        record(Vec::new(), Vec::new(), "a").encode(&mut bytes);
        assert_eq!(bytes.len(), PREFIX_BYTES + MIN_PAYLOAD_BYTES as usize);
    }

    #[test]
    fn refused_spans_are_a_set() {
        let refused: Refused = [9, 0, 9].into_iter().collect();
        assert_eq!(refused.count(), 2);
        assert!(refused.contains(0) && refused.contains(9) && !refused.contains(1));
        assert!(!refused.contains(1_000_000) && !refused.is_empty() && Refused::none().is_empty());
    }
}
