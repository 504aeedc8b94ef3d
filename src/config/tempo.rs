//! Keys that Tempo has and Vivace has not, each with what that means for the operator.

/// What becomes of such a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing that was asked for is lost, or it is plain that it is not there: a warning.
    NotNeeded(&'static str),
    /// It asks for something that would silently not happen: an error, unless it is off.
    Missing(&'static str),
}

use Verdict::{Missing, NotNeeded};

/// What one row says of keys that stand side by side: the key above them, their names (with spaces between;
/// `*` at the end stands for any rest), the verdict.
type Row = (&'static str, &'static str, Verdict);

const RING: &str = "not needed: processes meet in the bucket, there is no ring";
const CACHE: &str =
    "not needed: bytes are kept near in the process's own memory, there is no cache server";
const CUT: &str =
    "not needed: blocks are cut by `ingester.max_block_spans` and `ingester.max_block_duration`";
const LAYOUT: &str = "not needed: blocks choose their own layout and columns";
const LIST: &str = "not needed: the manifest says which blocks exist, nothing is polled by listing";
const JOBS: &str = "not needed: a query is cut into jobs by what its blocks hold";
const RECEIVER: &str = "not listened on: put an OpenTelemetry Collector in front";
const LIVE: &str = "not needed: live spans are in the ingester, see `ingester`";
const GENERATOR: &str =
    "not written, there is no metrics generator: TraceQL metrics answer from the spans";
const TLS: &str = "certificates and keys are read from files";
const OLD_TLS: &str = "write it as `tls`";
const NO_CLIENT: &str = "not needed: it is for clients";
const SUITES: &str = "not needed: only cipher suites that are good are offered";
const AUTH: &str = "requests are not authenticated: put a proxy in front that does";
const SCHEDULER: &str = "not needed: every process compacts, two at once do no harm";
const COMPACT: &str = "not needed: the compactor chooses by what there is";
const GO: &str = "not needed: it tunes the Go runtime";
const SLO: &str = "not needed: the histogram of request times answers this";
const FLAT: &str = "the flat form of Tempo before 2.3: write it in the scoped form, \
    as in `overrides.defaults.ingestion.rate_limit_bytes`";
const CLIENT: &str = "not needed: the bucket's client looks after this itself";
const BODY: &str = "not needed: requests are bounded by `distributor.max_body_bytes`";
const PREFIX: &str = "paths have no prefix: let the proxy in front strip it";
const FORWARD: &str = "spans are not forwarded: let a Collector send them to both places";
const COST: &str = "not written, there is no cost attribution";
const COUNTED: &str = "not needed: received and discarded spans are counted, not logged";

/// Of `compaction`, wherever it stands.
const COMPACTION: &str = "max_compaction_objects max_block_bytes \
    retention_concurrency max_time_per_tenant v2_in_buffer_bytes \
    v2_out_buffer_bytes v2_prefetch_traces_count iterator_buffer_size chunk_size_bytes \
    flush_size_bytes";

/// A key below one of these has its verdict.
const ROWS: &[Row] = &[
    ("", "auth_enabled", Missing("the old name: write `multitenancy_enabled`")),
    ("", "http_api_prefix", Missing(PREFIX)),
    (
        "",
        "shutdown_delay",
        NotNeeded(
            "not needed: a stop waits for running requests, see `server.graceful_shutdown_timeout`",
        ),
    ),
    ("", "enable_go_runtime_metrics span_profiling", NotNeeded(GO)),
    ("", "search_enabled", NotNeeded("not needed: search is always on")),
    ("", "use_otel_tracer", NotNeeded("not needed: the process sends no traces of itself")),
    (
        "",
        "metrics_generator metrics_generator_enabled metrics_generator_client",
        NotNeeded(GENERATOR),
    ),
    ("", "memberlist ingester_client", NotNeeded(RING)),
    ("", "live_store live_store_client block_builder", NotNeeded(LIVE)),
    (
        "",
        "ingest",
        NotNeeded("not needed: spans go to the write-ahead log at once, there is no broker"),
    ),
    ("", "backend_scheduler backend_scheduler_client", NotNeeded(SCHEDULER)),
    ("", "query_scheduler", NotNeeded("not needed: queries are answered where they arrive")),
    ("", "usage_report", NotNeeded("not needed: nothing is reported to anybody")),
    ("", "cache", NotNeeded(CACHE)),
    ("", "internal_server", NotNeeded("not needed: everything is on `server.http_listen_port`")),
    (
        "memory",
        "automemlimit_enabled automemlimit_ratio",
        NotNeeded("not needed: `memory.limit` is taken from the machine or the cgroup"),
    ),
    ("server", "tls_cipher_suites", NotNeeded(SUITES)),
    ("server.http_tls_config", "cert key client_ca", Missing(TLS)),
    ("server.grpc_tls_config", "cert key client_ca", Missing(TLS)),
    ("server", "http_path_prefix", Missing(PREFIX)),
    ("server", "proxy_protocol_enabled", Missing("the PROXY protocol is not spoken")),
    (
        "server",
        "http_server_read_timeout http_server_read_header_timeout http_server_write_timeout \
         http_server_idle_timeout",
        NotNeeded("not needed: a request ends by its own limits"),
    ),
    (
        "server",
        "http_listen_network grpc_listen_network",
        NotNeeded("not needed: the address says which network"),
    ),
    ("server", "http_listen_conn_limit grpc_listen_conn_limit grpc_server_*", NotNeeded(BODY)),
    (
        "server",
        "log_source_ips_enabled log_source_ips_header log_source_ips_regex log_request_headers \
         log_request_at_info_level_enabled log_request_exclude_headers_list",
        NotNeeded("not needed: what is logged is ruled by `server.log_level` and `RUST_LOG`"),
    ),
    ("server", "register_instrumentation", NotNeeded("not needed: metrics are always on")),
    ("server", "cluster_validation", NotNeeded(RING)),
    ("distributor", "ring extend_writes", NotNeeded(RING)),
    ("distributor", "forwarders", Missing(FORWARD)),
    (
        "distributor",
        "search_tags_deny_list",
        NotNeeded("not needed: every attribute can be searched"),
    ),
    (
        "distributor",
        "log_received_spans log_received_traces log_discarded_spans metric_received_spans",
        NotNeeded(COUNTED),
    ),
    ("distributor", "usage", NotNeeded(COST)),
    ("distributor", "artificial_delay", Missing("nothing is slowed down on purpose")),
    (
        "distributor",
        "max_attribute_bytes max_span_attr_byte",
        NotNeeded("not needed: see `overrides.defaults.ingestion.max_attribute_bytes`"),
    ),
    (
        "distributor",
        "retry_after_on_resource_exhausted",
        NotNeeded("not needed: a refusal always says when to try again"),
    ),
    ("distributor.receivers", "opencensus kafka", NotNeeded(RECEIVER)),
    ("distributor.receivers.*.grpc", "tls_settings", Missing(OLD_TLS)),
    ("distributor.receivers.*.grpc", "auth", Missing(AUTH)),
    (
        "distributor.receivers.*.grpc",
        "max_concurrent_streams read_buffer_size write_buffer_size keepalive include_metadata \
         transport",
        NotNeeded(BODY),
    ),
    ("distributor.receivers.*.http", "tls_settings", Missing(OLD_TLS)),
    ("distributor.receivers.*.http", "auth", Missing(AUTH)),
    (
        "distributor.receivers.*.http",
        "cors",
        Missing("browsers are not answered across origins: put a proxy in front that does"),
    ),
    ("distributor.receivers.*.http", "traces_url_path", Missing("spans are taken at `/v1/traces`")),
    (
        "distributor.receivers.*.http",
        "include_metadata compression_algorithms read_timeout read_header_timeout write_timeout \
         idle_timeout keep_alives_enabled metrics_url_path logs_url_path response_headers transport",
        NotNeeded(BODY),
    ),
    (
        "distributor.receivers.*.http",
        "parse_string_tags",
        Missing("tags are texts, as Zipkin has them"),
    ),
    (
        "distributor.receivers.*.udp",
        "queue_size max_packet_size workers socket_buffer_size",
        NotNeeded("not needed: 1000 packets of any size wait, and many are stored at once"),
    ),
    (
        "distributor.receivers.jaeger",
        "remote_sampling",
        NotNeeded("not answered: sampling strategies are the business of a Collector"),
    ),
    ("distributor.receivers.*.tls", "cert_pem key_pem client_ca_pem", Missing(TLS)),
    (
        "distributor.receivers.*.tls",
        "insecure insecure_skip_verify server_name_override ca_file ca_pem \
         include_system_ca_certs_pool",
        NotNeeded(NO_CLIENT),
    ),
    (
        "distributor.receivers.*.tls",
        "cipher_suites curve_preferences max_version",
        NotNeeded(SUITES),
    ),
    (
        "distributor.receivers.*.tls",
        "client_ca_file_reload",
        NotNeeded("not needed: `reload_interval` is of all files"),
    ),
    ("ingester", "lifecycler partition_ring override_ring_key", NotNeeded(RING)),
    ("ingester", "max_block_bytes concurrent_flushes complete_block_concurrency", NotNeeded(CUT)),
    (
        "ingester",
        "flush_all_on_shutdown flush_op_timeout flush_object_storage",
        NotNeeded(
            "not needed: the write-ahead log keeps what is not in a block, over a restart too",
        ),
    ),
    (
        "ingester",
        "complete_block_timeout",
        NotNeeded("not needed: a span is searched in one place, memory or bucket"),
    ),
    ("ingester", "dedicated_columns", NotNeeded(LAYOUT)),
    ("compactor", "ring override_ring_key", NotNeeded(RING)),
    ("compactor.compaction", COMPACTION, NotNeeded(COMPACT)),
    ("backend_worker.compaction", COMPACTION, NotNeeded(COMPACT)),
    (
        "backend_worker",
        "ring backend_scheduler_addr backoff finish_on_shutdown_timeout override_ring_key",
        NotNeeded(SCHEDULER),
    ),
    ("storage.trace", "block", NotNeeded(LAYOUT)),
    ("storage.trace", "search pool", NotNeeded(JOBS)),
    (
        "storage.trace",
        "blocklist_poll blocklist_poll_* empty_tenant_deletion_enabled empty_tenant_deletion_age",
        NotNeeded(LIST),
    ),
    (
        "storage.trace",
        "cache background_cache memcached redis cache_min_compaction_level cache_max_block_age",
        NotNeeded(CACHE),
    ),
    (
        "storage.trace.wal",
        "ingestion_time_range_slack",
        NotNeeded("not needed: spans are taken whatever their time"),
    ),
    (
        "storage.trace.wal",
        "encoding search_encoding v2_encoding version blocksfilepath completedfilepath",
        NotNeeded("not needed: the write-ahead log has one form"),
    ),
    (
        "storage.trace.s3.sse",
        "kms_encryption_context",
        Missing("the key is used without a context"),
    ),
    ("storage.trace.s3", "signature_v2", Missing("requests are signed by version 4 only")),
    (
        "storage.trace.s3",
        "storage_class tags metadata",
        Missing("objects get the bucket's defaults"),
    ),
    (
        "storage.trace.s3",
        "tls_cert_path tls_key_path tls_server_name",
        Missing("the bucket is spoken to without a client certificate"),
    ),
    (
        "storage.trace.s3",
        "tls_cipher_suites tls_min_version part_size enable_dual_stack native_aws_auth_enabled \
         list_blocks_concurrency checksum_type",
        NotNeeded(CLIENT),
    ),
    (
        "storage.trace.gcs",
        "object_cache_control object_metadata",
        Missing("objects get the bucket's defaults"),
    ),
    ("storage.trace.gcs", "chunk_buffer_size list_blocks_concurrency", NotNeeded(CLIENT)),
    ("storage.trace.azure", "max_buffers buffer_size use_v2_sdk", NotNeeded(CLIENT)),
    (
        "query_frontend",
        "url_deny_list",
        Missing("queries are not refused by their URL: put a proxy in front that does"),
    ),
    (
        "query_frontend",
        "multi_tenant_queries_enabled",
        NotNeeded("not needed: a query asks one tenant"),
    ),
    (
        "query_frontend",
        "max_outstanding_per_tenant weights",
        NotNeeded("not needed: `querier.max_concurrent_queries` bounds what runs"),
    ),
    ("query_frontend", "max_retries", NotNeeded(CLIENT)),
    (
        "query_frontend",
        "max_batch_size response_consumers trace_by_id tolerate_failed_blocks rf1_after \
         skip_ast_transformations max_grpc_streaming_packet_size",
        NotNeeded(JOBS),
    ),
    (
        "query_frontend",
        "log_query_request_headers allowed_headers",
        NotNeeded("not needed: requests are logged without their headers"),
    ),
    ("query_frontend.search", "duration_slo throughput_bytes_slo metadata_slo", NotNeeded(SLO)),
    ("query_frontend.metrics", "duration_slo throughput_bytes_slo", NotNeeded(SLO)),
    (
        "query_frontend.search",
        "concurrent_jobs target_bytes_per_job query_backend_after query_ingesters_until \
         ingester_shards most_recent_shards streaming_shards interval",
        NotNeeded(JOBS),
    ),
    (
        "query_frontend.metrics",
        "concurrent_jobs target_bytes_per_job query_backend_after query_ingesters_until \
         ingester_shards most_recent_shards streaming_shards interval",
        NotNeeded(JOBS),
    ),
    ("querier", "frontend_worker", NotNeeded("not needed: queries are answered where they arrive")),
    (
        "querier",
        "partition_ring shuffle_sharding_ingesters_enabled \
         shuffle_sharding_ingesters_lookback_period query_relevant_ingesters",
        NotNeeded(RING),
    ),
    ("querier", "metrics", NotNeeded(JOBS)),
    ("querier", "extra_query_delay", NotNeeded("not needed: spans are visible at once")),
    (
        "querier.search",
        "prefer_self external_endpoints external_backend external_hedge_requests_at \
         external_hedge_requests_up_to google_cloud_run",
        NotNeeded(JOBS),
    ),
    ("querier.trace_by_id", "external", NotNeeded(JOBS)),
    ("overrides", "user_configurable_overrides", Missing("limits cannot be set over the API")),
    ("overrides", "metrics_generator_*", NotNeeded(GENERATOR)),
    (
        "overrides",
        "enable_legacy_overrides ingestion_* max_* block_retention forwarders \
         parquet_dedicated_columns unsafe_query_hints",
        Missing(FLAT),
    ),
    (
        "overrides.defaults",
        "ingestion_* max_* block_retention parquet_dedicated_columns unsafe_query_hints",
        Missing(FLAT),
    ),
    ("overrides.defaults", "metrics_generator metrics_generator_*", NotNeeded(GENERATOR)),
    ("overrides.defaults", "forwarders", Missing(FORWARD)),
    ("overrides.defaults", "storage", NotNeeded(LAYOUT)),
    ("overrides.defaults", "cost_attribution", NotNeeded(COST)),
    (
        "overrides.defaults.ingestion",
        "rate_strategy",
        NotNeeded("not needed: each process counts for itself"),
    ),
    (
        "overrides.defaults.ingestion",
        "max_global_traces_per_user",
        NotNeeded("not needed: each process counts for itself, see `max_traces_per_user`"),
    ),
    ("overrides.defaults.ingestion", "tenant_shard_size", NotNeeded(RING)),
    (
        "overrides.defaults.ingestion",
        "retry_info_enabled",
        NotNeeded("not needed: a refusal always says when to try again"),
    ),
    (
        "overrides.defaults.ingestion",
        "artificial_delay",
        Missing("nothing is slowed down on purpose"),
    ),
    ("overrides.defaults.compaction", "compaction_window", NotNeeded(COMPACT)),
    (
        "overrides.defaults.read",
        "max_blocks_per_tag_values_query max_condition_groups_per_tag_query unsafe_query_hints \
         metrics_spanonly_fetch",
        NotNeeded(JOBS),
    ),
];

/// One name for what all receivers of a kind have.
fn alike(under: &str) -> &str {
    let Some(receiver) = under.strip_prefix("distributor.receivers.") else { return under };
    match receiver.rsplit('.').next().unwrap_or_default() {
        "grpc" => "distributor.receivers.*.grpc",
        "http" | "thrift_http" | "zipkin" => "distributor.receivers.*.http",
        "thrift_compact" | "thrift_binary" => "distributor.receivers.*.udp",
        "tls" => "distributor.receivers.*.tls",
        _ => under,
    }
}

/// The verdict on a key that no type has; none if Tempo has it neither. `path` is the whole key, with dots.
pub(super) fn verdict(path: &str) -> Option<Verdict> {
    let (under, name) = path.rsplit_once('.').unwrap_or(("", path));
    let under = alike(under);
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    let row =
        ROWS.iter().find(|(above, names, _)| *above == under && names.split(' ').any(fits))?;
    Some(row.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_tempo_is_known_in_its_place_only() {
        assert_eq!(verdict("memberlist"), Some(NotNeeded(RING)));
        assert_eq!(verdict("ingester.lifecycler"), Some(NotNeeded(RING)));
        assert_eq!(verdict("storage.trace.blocklist_poll_jitter_ms"), Some(NotNeeded(LIST)));
        assert_eq!(verdict("server.http_tls_config.cert"), Some(Missing(TLS)));
        let key = "distributor.receivers.jaeger.protocols.grpc.tls.cert_pem";
        assert_eq!(verdict(key), Some(Missing(TLS)));
        assert_eq!(
            verdict("distributor.receivers.zipkin.cors"),
            verdict("distributor.receivers.otlp.protocols.http.cors")
        );
        assert_eq!(verdict("server.memberlist"), None);
        assert_eq!(verdict("storage.trace.s3.buckett"), None);
        assert_eq!(verdict("lifecycler"), None);
    }

    #[test]
    fn reasons_are_one_clause_without_a_full_stop() {
        for (under, names, verdict) in ROWS {
            let (NotNeeded(reason) | Missing(reason)) = verdict;
            assert!(
                !reason.ends_with('.') && !reason.contains("  "),
                "{under} {names:?}: {reason}"
            );
        }
    }
}
