//! Which bucket, in the words of Tempo's `storage.trace`.
//!
//! Keys of Tempo that have no use here, and for which the reader of the configuration warns instead of refusing:
//!
//! - `s3`: `part_size` (objects are written whole), `enable_dual_stack`, `signature_v2`, `tags`, `storage_class`, `metadata`,
//!   `native_aws_auth_enabled` (always on), `list_blocks_concurrency` (no listing decides anything), `tls_cert_path`, `tls_key_path`, `tls_server_name`, `tls_cipher_suites`, `tls_min_version`,
//!   `sse.kms_encryption_context`;
//! - `gcs`: `chunk_buffer_size`, `object_cache_control`, `object_metadata`, `list_blocks_concurrency`;
//! - `azure`: `max_buffers`, `buffer_size`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;

/// The bucket: which kind, and the section of that kind. Sections of other kinds are not read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub backend: Backend,
    pub local: Local,
    pub s3: S3,
    pub gcs: Gcs,
    pub azure: Azure,
}

/// What kind of bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A folder on a file system with hard links.
    #[default]
    Local,
    S3,
    Gcs,
    Azure,
    /// Gone when the process ends: for trying out.
    Memory,
}

/// A local folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Local {
    /// Created if it is not there. Default `./vivace-data/blocks`.
    pub path: PathBuf,
}

impl Default for Local {
    fn default() -> Self {
        Self { path: PathBuf::from("./vivace-data/blocks") }
    }
}

/// S3, or a server that speaks its protocol with conditional writes (`If-None-Match: *`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3 {
    pub bucket: String,
    /// Path before all keys. Default none.
    pub prefix: String,
    /// `host` or `host:port`, without a scheme. Empty, or `s3.<region>.amazonaws.com`: AWS.
    pub endpoint: String,
    /// Default: the one in `endpoint`, else that of the environment, else `us-east-1`.
    pub region: String,
    /// Without it: environment, web identity, container or instance role, in this order.
    pub access_key: String,
    pub secret_key: Secret,
    pub session_token: Secret,
    /// HTTP without TLS. Default false.
    pub insecure: bool,
    /// The bucket in the path, not in the host name. Always so for an `endpoint` outside AWS, unless
    /// `bucket_lookup_type` is 1. Default false.
    pub forcepathstyle: bool,
    /// 0: by the endpoint; 1: in the host name; 2: in the path. Default 0.
    pub bucket_lookup_type: u8,
    /// PEM file of certificates to trust beside those of the system. Default none.
    pub tls_ca_path: PathBuf,
    /// Trust any certificate. Default false.
    pub tls_insecure_skip_verify: bool,
    pub sse: Sse,
    /// Attempts of one operation, the first included. Default 10.
    pub retry_max_attempts: u32,
    /// Default 200 ms.
    #[serde(deserialize_with = "duration")]
    pub retry_backoff_initial: Duration,
    /// Default 5 s.
    #[serde(deserialize_with = "duration")]
    pub retry_backoff_max: Duration,
    /// A GET whose answer has not begun after so long is sent again; zero: never. Default zero.
    #[serde(deserialize_with = "duration")]
    pub hedge_requests_at: Duration,
    /// Requests of one GET at most, the first included. Default 2.
    pub hedge_requests_up_to: u32,
}

impl Default for S3 {
    fn default() -> Self {
        let retry = super::Retry::default();
        Self {
            bucket: String::new(),
            prefix: String::new(),
            endpoint: String::new(),
            region: String::new(),
            access_key: String::new(),
            secret_key: Secret::default(),
            session_token: Secret::default(),
            insecure: false,
            forcepathstyle: false,
            bucket_lookup_type: 0,
            tls_ca_path: PathBuf::new(),
            tls_insecure_skip_verify: false,
            sse: Sse::default(),
            retry_max_attempts: retry.attempts_max,
            retry_backoff_initial: retry.backoff_initial,
            retry_backoff_max: retry.backoff_max,
            hedge_requests_at: Duration::ZERO,
            hedge_requests_up_to: super::Hedge::default().up_to,
        }
    }
}

/// Encryption by S3.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sse {
    /// Empty or `SSE-S3`: the bucket's default. `SSE-KMS`: with `kms_key_id`. `SSE-C`: with `encryption_key`.
    #[serde(rename = "type")]
    pub kind: String,
    pub kms_key_id: String,
    /// 32 bytes in base64.
    pub encryption_key: Secret,
}

/// Google Cloud Storage, with application-default credentials.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gcs {
    pub bucket_name: String,
    /// Path before all keys. Default none.
    pub prefix: String,
    /// URL or `host:port` of an emulator; a path like `/storage/v1/` is dropped. Default none.
    pub endpoint: String,
    /// HTTP without TLS and without credentials, as emulators want it. Default false.
    pub insecure: bool,
    /// Attempts of one operation after the first. Default 9.
    pub max_retries: u32,
    /// A GET whose answer has not begun after so long is sent again; zero: never. Default zero.
    #[serde(deserialize_with = "duration")]
    pub hedge_requests_at: Duration,
    /// Requests of one GET at most, the first included. Default 2.
    pub hedge_requests_up_to: u32,
}

impl Default for Gcs {
    fn default() -> Self {
        Self {
            bucket_name: String::new(),
            prefix: String::new(),
            endpoint: String::new(),
            insecure: false,
            max_retries: super::Retry::default().attempts_max - 1,
            hedge_requests_at: Duration::ZERO,
            hedge_requests_up_to: super::Hedge::default().up_to,
        }
    }
}

/// Azure Blob Storage.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Azure {
    pub storage_account_name: String,
    /// Without it: the environment, or what the two flags below say.
    pub storage_account_key: Secret,
    /// Default false.
    pub use_managed_identity: bool,
    /// Workload identity, from the variables that Azure sets. Default false.
    pub use_federated_token: bool,
    /// Client id of a user-assigned managed identity. Default none.
    pub user_assigned_id: String,
    pub container_name: String,
    /// Path before all keys. Default none.
    pub prefix: String,
    /// Default `blob.core.windows.net`. One that does not begin with `blob.` is an emulator at `host:port`, spoken to
    /// without TLS, with the account in the path.
    pub endpoint_suffix: String,
    /// A GET whose answer has not begun after so long is sent again; zero: never. Default zero.
    #[serde(deserialize_with = "duration")]
    pub hedge_requests_at: Duration,
    /// Requests of one GET at most, the first included. Default 2.
    pub hedge_requests_up_to: u32,
}

impl Default for Azure {
    fn default() -> Self {
        Self {
            storage_account_name: String::new(),
            storage_account_key: Secret::default(),
            use_managed_identity: false,
            use_federated_token: false,
            user_assigned_id: String::new(),
            container_name: String::new(),
            prefix: String::new(),
            endpoint_suffix: "blob.core.windows.net".to_owned(),
            hedge_requests_at: Duration::ZERO,
            hedge_requests_up_to: super::Hedge::default().up_to,
        }
    }
}

/// A text that is never printed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// `200ms`, `1m30s`: Go's durations as Tempo's configuration has them.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tempos_keys_are_read() {
        let config: Config = serde_json::from_str(
            r#"{"backend": "s3", "s3": {"bucket": "traces", "endpoint": "minio:9000", "insecure": true,
                "secret_key": "s3cr3t", "sse": {"type": "SSE-KMS"}, "retry_backoff_max": "1m30s",
                "hedge_requests_at": "500ms", "hedge_requests_up_to": 3}}"#,
        )
        .unwrap();
        assert_eq!(config.backend, Backend::S3);
        assert_eq!(config.s3.retry_backoff_max, Duration::from_secs(90));
        assert_eq!(config.s3.secret_key.expose(), "s3cr3t");
        assert_eq!(config.s3.hedge_requests_at, Duration::from_millis(500));
        assert_eq!(Config::default().local.path, PathBuf::from("./vivace-data/blocks"));
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error = serde_json::from_str::<Config>(r#"{"s3": {"buckett": "a"}}"#).unwrap_err();
        assert!(error.to_string().contains("buckett"), "{error}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut config = Config::default();
        config.s3.secret_key = Secret::new("s3cr3t");
        config.azure.storage_account_key = Secret::new("s3cr3t");
        let text = format!("{config:?} {}", config.s3.secret_key);
        assert!(!text.contains("s3cr3t") && text.contains("<redacted>"), "{text}");
    }
}
