//! From a configuration to a store that holds what it promises.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use object_store::Certificate;
use object_store::ClientOptions;
use object_store::ObjectStore;
use object_store::RetryConfig;
use object_store::aws::AmazonS3Builder;
use object_store::aws::S3ConditionalPut;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use uuid::Uuid;

use super::Azure;
use super::Backend;
use super::Config;
use super::Error;
use super::Gcs;
use super::Hedge;
use super::Local;
use super::Path;
use super::PutOutcome;
use super::Retry;
use super::S3;
use super::Store;
use super::keys;

pub(super) async fn open(config: &Config) -> Result<Store, Error> {
    let Config { backend, local, s3, gcs, azure } = config;
    let retry = retry_of(config);
    let (objects, prefix_key, prefix): (Arc<dyn ObjectStore>, _, _) = match backend {
        Backend::Local => {
            let folder = open_local(local.clone()).await?;
            return Ok(Store::from_folder(folder).with_retry(retry));
        }
        Backend::Memory => (Arc::new(InMemory::new()), "backend", ""),
        Backend::S3 => (Arc::new(open_s3(s3)?), "s3.prefix", s3.prefix.as_str()),
        Backend::Gcs => (Arc::new(open_gcs(gcs)?), "gcs.prefix", gcs.prefix.as_str()),
        Backend::Azure => (Arc::new(open_azure(azure)?), "azure.prefix", azure.prefix.as_str()),
    };
    let prefix = Path::parse(prefix).map_err(|e| wrong(prefix_key, &e))?;
    let objects =
        if prefix.is_root() { objects } else { Arc::new(PrefixStore::new(objects, prefix)) };
    Ok(Store::from_object_store(objects).with_retry(retry).with_hedge(hedge_of(config)))
}

/// Creates one object twice. The name is new each time, so nobody else can be in the way.
pub(super) async fn probe(store: &Store) -> Result<(), Error> {
    let key = keys::probe(Uuid::now_v7());
    // Also after "already exists", by a retry of this very call, it is there.
    store.put_if_absent(&key, Bytes::from_static(b"vivace")).await?;
    let second = store.put_if_absent(&key, Bytes::from_static(b"second")).await?;
    store.delete(&key).await?;
    match second {
        PutOutcome::AlreadyExists => Ok(()),
        PutOutcome::Created => Err(Error::NoPutIfAbsent { store: format!("{store:?}") }),
    }
}

fn wrong(key: &'static str, reason: &dyn fmt::Display) -> Error {
    Error::Config { key, reason: reason.to_string() }
}

fn needed(key: &'static str, value: &str) -> Result<(), Error> {
    if value.is_empty() {
        Err(wrong(key, &"is needed for this backend, but empty"))
    } else {
        Ok(())
    }
}

fn retry_of(config: &Config) -> Retry {
    let retry = Retry::default();
    match config.backend {
        Backend::S3 => Retry {
            attempts_max: config.s3.retry_max_attempts.max(1),
            backoff_initial: config.s3.retry_backoff_initial,
            backoff_max: config.s3.retry_backoff_max,
            ..retry
        },
        Backend::Gcs => Retry { attempts_max: config.gcs.max_retries.saturating_add(1), ..retry },
        Backend::Local | Backend::Azure | Backend::Memory => retry,
    }
}

fn hedge_of(Config { backend, local: _, s3, gcs, azure }: &Config) -> Hedge {
    let (at, up_to) = match backend {
        Backend::S3 => (s3.hedge_requests_at, s3.hedge_requests_up_to),
        Backend::Gcs => (gcs.hedge_requests_at, gcs.hedge_requests_up_to),
        Backend::Azure => (azure.hedge_requests_at, azure.hedge_requests_up_to),
        Backend::Local | Backend::Memory => return Hedge::default(),
    };
    Hedge { at, up_to }
}

/// The stores' own retries: none, `retry.rs` has them.
fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// All client settings in one place: a later `with_client_options` would drop earlier ones. Time is limited per attempt
/// by `retry.rs`, which knows the bytes.
fn client(insecure: bool) -> ClientOptions {
    ClientOptions::new().with_allow_http(insecure).with_timeout_disabled()
}

async fn open_local(Local { path }: Local) -> Result<LocalFileSystem, Error> {
    let open = move || {
        std::fs::create_dir_all(&path)
            .map_err(|source| Error::Folder { path: path.clone(), source })?;
        let folder =
            LocalFileSystem::new_with_prefix(&path).map_err(|e| wrong("local.path", &e))?;
        Ok(folder.with_fsync(true).with_automatic_cleanup(true))
    };
    tokio::task::spawn_blocking(open).await.expect("opening a folder does not panic")
}

/// Where an S3 `endpoint` leads.
#[derive(Debug, PartialEq, Eq)]
enum Endpoint<'a> {
    Aws { region: Option<&'a str> },
    Other(&'a str),
}

fn endpoint_of(endpoint: &str) -> Endpoint<'_> {
    match endpoint.strip_suffix(".amazonaws.com") {
        None if endpoint.is_empty() => Endpoint::Aws { region: None },
        Some("s3") => Endpoint::Aws { region: Some("us-east-1") },
        Some(host) => match host.strip_prefix("s3.") {
            Some(region) if !region.contains('.') => Endpoint::Aws { region: Some(region) },
            _ => Endpoint::Other(endpoint),
        },
        None => Endpoint::Other(endpoint),
    }
}

fn url_of(host: &str, insecure: bool) -> String {
    if host.contains("://") {
        return host.to_owned();
    }
    format!("{}://{host}", if insecure { "http" } else { "https" })
}

fn open_s3(config: &S3) -> Result<impl ObjectStore + use<>, Error> {
    needed("s3.bucket", &config.bucket)?;
    let mut client =
        client(config.insecure).with_allow_invalid_certificates(config.tls_insecure_skip_verify);
    if !config.tls_ca_path.as_os_str().is_empty() {
        let pem = std::fs::read(&config.tls_ca_path).map_err(|e| wrong("s3.tls_ca_path", &e))?;
        let bundle = Certificate::from_pem_bundle(&pem).map_err(|e| wrong("s3.tls_ca_path", &e))?;
        client = bundle.into_iter().fold(client, ClientOptions::with_root_certificate);
    }
    let mut builder = if config.access_key.is_empty() {
        AmazonS3Builder::from_env()
    } else {
        AmazonS3Builder::new()
            .with_access_key_id(&config.access_key)
            .with_secret_access_key(config.secret_key.expose())
    };
    if !config.session_token.is_empty() {
        builder = builder.with_token(config.session_token.expose());
    }
    let path_style = config.forcepathstyle || config.bucket_lookup_type == 2;
    let mut region = Some(config.region.as_str()).filter(|region| !region.is_empty());
    match endpoint_of(&config.endpoint) {
        Endpoint::Aws { region: named } => {
            region = region.or(named);
            // A dot in the bucket's name would not match the certificate of the host name.
            let in_host = !path_style && !config.bucket.contains('.');
            builder = builder.with_virtual_hosted_style_request(in_host);
        }
        Endpoint::Other(host) => {
            let in_host = !path_style && config.bucket_lookup_type == 1;
            let url = if in_host {
                url_of(&format!("{}.{host}", config.bucket), config.insecure)
            } else {
                url_of(host, config.insecure)
            };
            builder = builder.with_endpoint(url).with_virtual_hosted_style_request(in_host);
            region = region.or(Some("us-east-1"));
        }
    }
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    with_encryption(builder, config)?
        .with_bucket_name(&config.bucket)
        .with_client_options(client)
        .with_retry(no_retries())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .build()
        .map_err(|e| wrong("s3", &e))
}

fn with_encryption(builder: AmazonS3Builder, config: &S3) -> Result<AmazonS3Builder, Error> {
    match config.sse.kind.as_str() {
        "" | "SSE-S3" => Ok(builder),
        "SSE-KMS" => {
            needed("s3.sse.kms_key_id", &config.sse.kms_key_id)?;
            Ok(builder.with_sse_kms_encryption(&config.sse.kms_key_id))
        }
        "SSE-C" => {
            needed("s3.sse.encryption_key", config.sse.encryption_key.expose())?;
            Ok(builder.with_ssec_encryption(config.sse.encryption_key.expose()))
        }
        other => Err(wrong("s3.sse.type", &format!("'{other}' is not SSE-S3, SSE-KMS or SSE-C"))),
    }
}

fn open_gcs(config: &Gcs) -> Result<impl ObjectStore + use<>, Error> {
    needed("gcs.bucket_name", &config.bucket_name)?;
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(&config.bucket_name)
        .with_client_options(client(config.insecure))
        .with_retry(no_retries());
    if !config.endpoint.is_empty() {
        builder = builder.with_base_url(&gcs_base(&config.endpoint, config.insecure));
    }
    if config.insecure {
        builder = builder.with_skip_signature(true);
    }
    builder.build().map_err(|e| wrong("gcs", &e))
}

/// Scheme and host: the JSON API's path of Tempo's configurations is not that of the XML API, which is spoken here.
fn gcs_base(endpoint: &str, insecure: bool) -> String {
    let url = url_of(endpoint, insecure);
    let url = url.trim_end_matches('/');
    url.strip_suffix("/storage/v1").unwrap_or(url).to_owned()
}

fn open_azure(config: &Azure) -> Result<impl ObjectStore + use<>, Error> {
    needed("azure.container_name", &config.container_name)?;
    needed("azure.storage_account_name", &config.storage_account_name)?;
    let (url, insecure) = azure_url(config);
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_account(&config.storage_account_name)
        .with_container_name(&config.container_name)
        .with_endpoint(url)
        .with_client_options(client(insecure))
        .with_retry(no_retries());
    if !config.user_assigned_id.is_empty() {
        builder = builder.with_client_id(&config.user_assigned_id);
    }
    if config.use_federated_token {
        builder = builder.with_credential_type("workload_identity");
    } else if config.use_managed_identity {
        builder = builder.with_credential_type("managed_identity");
    } else if !config.storage_account_key.is_empty() {
        builder = builder
            .with_access_key(config.storage_account_key.expose())
            .with_credential_type("access_key");
    }
    builder.build().map_err(|e| wrong("azure", &e))
}

/// The URL of the account, and whether it is spoken to without TLS.
fn azure_url(config: &Azure) -> (String, bool) {
    let Azure { storage_account_name: account, endpoint_suffix: suffix, .. } = config;
    if suffix.starts_with("blob.") {
        return (format!("https://{account}.{suffix}"), false);
    }
    let url = format!("{}/{account}", url_of(suffix.trim_end_matches('/'), true));
    let insecure = url.starts_with("http://");
    (url, insecure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_told_apart() {
        let table = [
            ("", Endpoint::Aws { region: None }),
            ("s3.amazonaws.com", Endpoint::Aws { region: Some("us-east-1") }),
            ("s3.eu-west-1.amazonaws.com", Endpoint::Aws { region: Some("eu-west-1") }),
            (
                "s3.dualstack.eu-west-1.amazonaws.com",
                Endpoint::Other("s3.dualstack.eu-west-1.amazonaws.com"),
            ),
            ("minio:9000", Endpoint::Other("minio:9000")),
        ];
        for (endpoint, wanted) in table {
            assert_eq!(endpoint_of(endpoint), wanted);
        }
    }

    #[test]
    fn emulators_are_spoken_to_without_tls() {
        let azurite = Azure {
            storage_account_name: "devstoreaccount1".to_owned(),
            endpoint_suffix: "azurite:10000".to_owned(),
            ..Azure::default()
        };
        assert_eq!(azure_url(&azurite), ("http://azurite:10000/devstoreaccount1".to_owned(), true));
        let cloud = Azure { storage_account_name: "prod".to_owned(), ..Azure::default() };
        assert_eq!(azure_url(&cloud), ("https://prod.blob.core.windows.net".to_owned(), false));
        assert_eq!(gcs_base("http://gcs:4443/storage/v1/", true), "http://gcs:4443");
        assert_eq!(gcs_base("gcs:4443", true), "http://gcs:4443");
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        for (backend, key) in [
            (Backend::S3, "storage.trace.s3.bucket"),
            (Backend::Gcs, "storage.trace.gcs.bucket_name"),
            (Backend::Azure, "storage.trace.azure.container_name"),
        ] {
            let config = Config { backend, ..Config::default() };
            let error = Store::open(&config).await.unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }

    #[tokio::test]
    async fn every_cloud_can_be_opened() {
        let s3 = S3 { bucket: "b".to_owned(), access_key: "k".to_owned(), ..S3::default() };
        assert!(open_s3(&s3).is_ok());
        let gcs = Gcs {
            bucket_name: "b".to_owned(),
            endpoint: "gcs:4443".to_owned(),
            insecure: true,
            ..Gcs::default()
        };
        assert!(open_gcs(&gcs).is_ok());
        let azure = Azure {
            storage_account_name: "devstoreaccount1".to_owned(),
            storage_account_key: super::super::Secret::new("a2V5"),
            container_name: "c".to_owned(),
            endpoint_suffix: "azurite:10000".to_owned(),
            ..Azure::default()
        };
        assert!(open_azure(&azure).is_ok());
    }
}
