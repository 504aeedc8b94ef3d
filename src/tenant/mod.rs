//! Whose data it is, and what they may use.

mod limits;
mod overrides;

use std::fmt;
use std::sync::Arc;

pub use self::limits::{
    Compaction, CompactionLayer, Global, GlobalLayer, Ingestion, IngestionLayer, Layer, Limits,
    Read, ReadLayer,
};
pub use self::overrides::{ALL_TENANTS, Overrides};

/// The tenant of all data when multi-tenancy is off. Tempo's name, so that buckets look alike.
pub const SINGLE_TENANT: &str = "single-tenant";

/// Longest tenant id in bytes, as in Tempo.
const ID_BYTES_MAX: usize = 150;

/// A checked tenant id: safe as one segment of an object key and as a folder name. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

/// Why a text is not a tenant id. The words are Tempo's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantIdError {
    #[error("no org id")]
    Empty,
    #[error("tenant ID is too long: max {ID_BYTES_MAX} characters")]
    TooLong,
    #[error("tenant ID is '.' or '..'")]
    Dots,
    #[error("tenant ID '{id}' contains unsupported character '{found}'")]
    Character { id: String, found: char },
}

impl TenantId {
    /// Accepts 1 to 150 of `0-9 a-z A-Z ! - _ . * ' ( )`, but not `.` or `..`.
    ///
    /// # Errors
    /// Names the rule that is broken.
    pub fn parse(id: &str) -> Result<Self, TenantIdError> {
        if id.is_empty() {
            return Err(TenantIdError::Empty);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        if let Some(found) = id.chars().find(|c| !allowed(*c)) {
            return Err(TenantIdError::Character { id: id.to_owned(), found });
        }
        if id.len() > ID_BYTES_MAX {
            return Err(TenantIdError::TooLong);
        }
        if id == "." || id == ".." {
            return Err(TenantIdError::Dots);
        }
        Ok(Self(Arc::from(id)))
    }

    pub fn single() -> Self {
        Self(Arc::from(SINGLE_TENANT))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_their_prefix_are_refused() {
        for bad in ["", ".", "..", "a/b", "a\\b", "a b", "ü", "a\0"] {
            assert!(TenantId::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "team-1", "A_b.c*'()!", &"x".repeat(150)] {
            assert_eq!(TenantId::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(TenantId::parse(&"x".repeat(151)), Err(TenantIdError::TooLong));
    }

    #[test]
    fn an_error_names_the_character() {
        assert_eq!(
            TenantId::parse("a/b").unwrap_err().to_string(),
            "tenant ID 'a/b' contains unsupported character '/'"
        );
    }
}
