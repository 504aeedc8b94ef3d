//! What one value cannot know: whether the values fit together.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::per_tenant::per_tenant;
use super::problem::{Error, Place, Problem, Warning};
use super::storage::{Backend, S3, Trace};
use super::{Config, Distributor, Ingester, JaegerProtocols, Listening, ReceiverTls, Server};

/// Less, and the process would refuse its first batch.
const MEMORY_BYTES_MIN: u64 = 64 << 20;

/// What is found wrong and what is only worth a word.
#[derive(Default)]
struct Findings {
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Findings {
    fn wrong_if(&mut self, wrong: bool, key: &str, message: &str) {
        if wrong {
            self.problems.push(Problem::check(key, message));
        }
    }

    fn warn_if(&mut self, so: bool, key: &str, reason: &str) {
        if so {
            let (key, reason) = (key.to_owned(), reason.to_owned());
            self.warnings.push(Warning { key, place: Place::default(), reason });
        }
    }
}

/// # Errors
/// All values that cannot work together.
pub(super) fn check(config: &Config) -> Result<Vec<Warning>, Error> {
    let mut findings = Findings::default();
    ports(&config.server, &config.distributor, &mut findings);
    receivers(config, &mut findings);
    storage(&config.storage.trace, &mut findings);
    ingester(&config.ingester, &mut findings);
    queries(config, &mut findings);
    memory(config, &mut findings);
    overrides(config, &mut findings);
    let Findings { problems, warnings } = findings;
    if problems.is_empty() { Ok(warnings) } else { Err(Error::Wrong(problems)) }
}

fn ports(server: &Server, distributor: &Distributor, findings: &mut Findings) {
    let listening = distributor.listening();
    findings.warn_if(
        listening.is_empty(),
        "distributor.receivers",
        "no protocol is on: spans are not taken in",
    );
    let mut listeners = vec![
        ("server.http_listen_port".to_owned(), false, server.http_listen_port),
        ("server.grpc_listen_port".to_owned(), false, server.grpc_listen_port),
    ];
    listeners.extend(listening.iter().map(|listening| {
        // Over UDP there is no TLS, and the port of the same number is another one.
        let key = format!("{}.endpoint", listening.key);
        (key, listening.tls.is_none(), listening.endpoint.port())
    }));
    for (rank, (key, is_udp, port)) in listeners.iter().enumerate() {
        // Two interfaces may share a port, but nobody does it on purpose.
        let same =
            |other: &&(String, bool, u16)| other.1 == *is_udp && other.2 == *port && *port != 0;
        if let Some((other, ..)) = listeners.iter().take(rank).find(same) {
            let message = format!("port {port} is taken by `{other}`");
            findings.problems.push(Problem::check(key, message));
        }
    }
}

fn receivers(config: &Config, findings: &mut Findings) {
    let listening = config.distributor.listening();
    for Listening { key, tls, .. } in &listening {
        if let Some(problem) = tls.and_then(ReceiverTls::problem) {
            findings.problems.push(Problem::check(&format!("{key}.tls"), problem));
        }
        findings.warn_if(
            tls.is_none() && config.multitenancy_enabled,
            key,
            "cannot carry a tenant: its spans are those of the tenant `single-tenant`",
        );
    }
    let is_jaeger_empty = config
        .distributor
        .receivers
        .jaeger
        .as_ref()
        .is_some_and(|jaeger| jaeger.protocols == JaegerProtocols::default());
    findings.warn_if(
        is_jaeger_empty,
        "distributor.receivers.jaeger.protocols",
        "names no protocol: nothing is listened on",
    );
    let server = &config.server;
    for (tls, key) in [
        (&server.http_tls_config, "server.http_tls_config"),
        (&server.grpc_tls_config, "server.grpc_tls_config"),
    ] {
        if let Some(problem) = tls.problem() {
            findings.problems.push(Problem::check(key, problem));
        }
    }
}

fn storage(trace: &Trace, findings: &mut Findings) {
    let empty = "is empty: give a path";
    let wal = &trace.wal;
    findings.wrong_if(wal.path.as_os_str().is_empty(), "storage.trace.wal.path", empty);
    findings.wrong_if(
        wal.segment_bytes_max == 0 || wal.segment_bytes_max > wal.wal_bytes_max,
        "storage.trace.wal.segment_bytes_max",
        "must be more than 0 and at most `wal_bytes_max`",
    );
    match trace.backend {
        Backend::Local => {
            let path = &trace.local.path;
            let key = "storage.trace.local.path";
            findings.wrong_if(path.as_os_str().is_empty(), key, empty);
            findings.wrong_if(
                is_inside(&wal.path, path) || is_inside(path, &wal.path),
                key,
                "must not be inside `storage.trace.wal.path`, nor that inside it",
            );
        }
        Backend::S3 => s3(&trace.s3, findings),
        Backend::Gcs => {
            let key = "storage.trace.gcs.bucket_name";
            findings.wrong_if(trace.gcs.bucket_name.is_empty(), key, "is empty: name the bucket");
        }
        Backend::Azure => {
            let azure = &trace.azure;
            let key = "storage.trace.azure.container_name";
            let message = "is empty: name the container";
            findings.wrong_if(azure.container_name.is_empty(), key, message);
            let key = "storage.trace.azure.storage_account_name";
            let message = "is empty: name the account";
            findings.wrong_if(azure.storage_account_name.is_empty(), key, message);
        }
        Backend::Memory => findings.warn_if(
            true,
            "storage.trace.backend",
            "`memory` forgets everything when the process ends",
        ),
    }
}

fn s3(s3: &S3, findings: &mut Findings) {
    let message = "is empty: name the bucket";
    findings.wrong_if(s3.bucket.is_empty(), "storage.trace.s3.bucket", message);
    findings.wrong_if(
        s3.access_key.is_empty() != s3.secret_key.is_empty(),
        "storage.trace.s3.secret_key",
        "goes together with `access_key`: give both or neither",
    );
    findings.wrong_if(
        s3.endpoint.contains("://"),
        "storage.trace.s3.endpoint",
        "is a host without a scheme: for `http://` set `insecure: true`",
    );
}

fn is_inside(path: &Path, folder: &Path) -> bool {
    !folder.as_os_str().is_empty() && path.starts_with(folder)
}

fn ingester(ingester: &Ingester, findings: &mut Findings) {
    let positive = "must be more than 0";
    for (time, key) in [
        (ingester.trace_idle_period, "ingester.trace_idle_period"),
        (ingester.trace_live_period, "ingester.trace_live_period"),
        (ingester.max_block_duration, "ingester.max_block_duration"),
        (ingester.flush_check_period, "ingester.flush_check_period"),
    ] {
        findings.wrong_if(time.is_zero(), key, positive);
    }
    findings.wrong_if(ingester.max_block_spans == 0, "ingester.max_block_spans", positive);
    findings.warn_if(
        ingester.trace_idle_period > ingester.trace_live_period,
        "ingester.trace_idle_period",
        "is longer than `trace_live_period`, which then decides alone",
    );
}

fn queries(config: &Config, findings: &mut Findings) {
    let search = &config.query_frontend.search;
    let above = |value: usize, bound: usize| bound > 0 && value > bound;
    findings.wrong_if(
        search.default_result_limit == 0
            || above(search.default_result_limit, search.max_result_limit),
        "query_frontend.search.default_result_limit",
        "must be more than 0 and at most `max_result_limit`",
    );
    findings.wrong_if(
        above(search.default_spans_per_span_set, search.max_spans_per_span_set),
        "query_frontend.search.default_spans_per_span_set",
        "must be at most `max_spans_per_span_set`",
    );
    let positive = "must be more than 0";
    let querier = &config.querier;
    let key = "querier.max_concurrent_queries";
    findings.wrong_if(querier.max_concurrent_queries == 0, key, positive);
    let key = "querier.max_concurrent_blocks";
    findings.wrong_if(querier.max_concurrent_blocks == 0, key, positive);
    for (time, key) in [
        (querier.search.query_timeout, "querier.search.query_timeout"),
        (querier.trace_by_id.query_timeout, "querier.trace_by_id.query_timeout"),
    ] {
        findings.wrong_if(time == Duration::ZERO, key, positive);
    }
}

fn memory(config: &Config, findings: &mut Findings) {
    let limit = config.memory.limit_bytes();
    findings.wrong_if(
        limit < MEMORY_BYTES_MIN,
        "memory.limit",
        &format!("is {limit} bytes; at least {MEMORY_BYTES_MIN} are needed"),
    );
    findings.wrong_if(
        config.ingester.max_live_bytes > limit,
        "ingester.max_live_bytes",
        &format!("is more than `memory.limit`, which is {limit} bytes"),
    );
    let body = config.distributor.max_body_bytes;
    findings.wrong_if(body == 0, "distributor.max_body_bytes", "must be more than 0");
}

fn overrides(config: &Config, findings: &mut Findings) {
    let overrides = &config.overrides;
    findings.wrong_if(
        overrides.per_tenant_override_period.is_zero(),
        "overrides.per_tenant_override_period",
        "must be more than 0",
    );
    let path = &overrides.per_tenant_override_config;
    if !path.as_os_str().is_empty() {
        let key = "overrides.per_tenant_override_config";
        match fs::read_to_string(path).map(|text| per_tenant(&text)) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let message = format!("{}: {error}", path.display());
                findings.problems.push(Problem::check(key, message));
            }
            // Where a config is only looked at it may be elsewhere; a start needs it.
            Err(error) => findings.warn_if(true, key, &format!("{}: {error}", path.display())),
        }
    }
    let ingestion = &overrides.defaults.ingestion;
    let body = u64::try_from(config.distributor.max_body_bytes).unwrap_or(u64::MAX);
    findings.warn_if(
        ingestion.rate_limit_bytes > 0 && ingestion.burst_size_bytes < body,
        "overrides.defaults.ingestion.burst_size_bytes",
        "is less than `distributor.max_body_bytes`: a request between the two is always refused",
    );
}
