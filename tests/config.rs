//! The shipped `tempo.yaml` is true, Tempo's own files are taken, and what is wrong is said well.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use vivace::config::{Backend, Config, Warning, per_tenant};

/// The shipped file with the keys that most leave out: `#key: …`, no space after the `#`.
fn whole() -> io::Result<String> {
    let text = fs::read_to_string("tempo.yaml")?;
    let lines = text.lines().map(|line| {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        match rest.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => {
                format!("{indent}{key}\n")
            }
            _ => format!("{line}\n"),
        }
    });
    Ok(lines.collect())
}

/// As [`whole`], with what is off turned on: `#+key: …`.
fn everything() -> io::Result<String> {
    Ok(whole()?.replace("#+", ""))
}

fn variables(name: &str) -> Option<String> {
    match name {
        "BUCKET" => Some("traces".to_owned()),
        "ACCESS_KEY" => Some("007".to_owned()),
        "SECRET_KEY" => Some("hush: # 12e4".to_owned()),
        "PORT" => Some("hush".to_owned()),
        _ => None,
    }
}

fn read(file: &str) -> anyhow::Result<(Config, Vec<Warning>)> {
    let text = fs::read_to_string(format!("tests/config/{file}"))?;
    Ok(Config::from_text(&text, Some(&variables))?)
}

fn error(text: &str) -> String {
    match Config::from_text(text, Some(&variables)) {
        Ok((config, _)) => format!("{config:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_shipped_file_is_the_defaults() {
    for text in [fs::read_to_string("tempo.yaml").unwrap(), whole().unwrap(), String::new()] {
        let (mut config, warnings) = Config::from_text(&text, None).unwrap();
        // A key that is usually left out is shown if it is there.
        config.shown = Config::default().shown;
        assert_eq!(config, Config::default());
        assert_eq!(warnings, []);
    }
    assert_eq!(Config::default().check().unwrap(), []);
}

#[test]
fn the_shipped_file_shows_every_key() {
    assert_eq!(Config::absent_keys(&everything().unwrap()).unwrap(), Vec::<String>::new());
    let (config, warnings) = Config::from_text(&everything().unwrap(), None).unwrap();
    assert_eq!((warnings, config.check().unwrap()), (vec![], vec![]));
    let endpoints = config.distributor.listening();
    let endpoints: Vec<_> = endpoints.iter().map(|one| one.endpoint.to_string()).collect();
    let ports = ["4317", "4318", "14250", "14268", "6831", "6832", "9411"];
    assert_eq!(endpoints, ports.map(|port| format!("0.0.0.0:{port}")));
    // The test sees what is missing.
    let absent = Config::absent_keys("server: {http_listen_port: 1}").unwrap();
    for key in ["server.log_level", "storage", "memory"] {
        assert!(absent.iter().any(|absent| absent == key), "{key} in {absent:?}");
    }
}

#[test]
fn a_file_is_optional_but_not_a_wrong_path() {
    assert_eq!(Config::load(None, false).unwrap().0, Config::default());
    assert_eq!(Config::load(Some(Path::new("tempo.yaml")), true).unwrap().0, Config::default());
    let error = Config::load(Some(Path::new("tests/config/none.yaml")), false).unwrap_err();
    assert_eq!(error.to_string(), "tests/config/none.yaml");
    assert!(std::error::Error::source(&error).is_some());
}

/// A text, and how its error begins.
const WRONG: &[(&str, &str)] = &[
    (
        "server:\n  log_level: info\n\n  htp_listen_port: 1\n",
        "unknown key `htp_listen_port` at line 4, column 3; did you mean `http_listen_port`?",
    ),
    ("colour: red", "unknown key `colour` at line 1, column 1"),
    (
        "storage: {trace: {s3: {buckett: a}}}",
        "unknown key `buckett` at line 1, column 24; did you mean `bucket`?",
    ),
    (
        "distributor: {receivers: {otlp: {protocols: {gprc: }}}}",
        "unknown key `gprc` at line 1, column 46; did you mean `grpc`?",
    ),
    (
        "a: 1\nservre: {}",
        "unknown key `a` at line 1, column 1\n\
             unknown key `servre` at line 2, column 1; did you mean `server`?",
    ),
    (
        "server:\n  http_listen_port: many\n",
        "`http_listen_port` at line 2, column 21: found `many`, \
             allowed is a whole number from 0 to 65535",
    ),
    (
        "server: {http_listen_port: 70000}",
        "`http_listen_port` at line 1, column 28: found `70000`, \
             allowed is a whole number from 0 to 65535",
    ),
    (
        "server: {http_listen_port: 1.5}",
        "`http_listen_port` at line 1, column 28: found `1.5`, allowed is a whole number",
    ),
    (
        "server: [1]",
        "`server` at line 1, column 9: found a list, allowed is a map with one of \
             `http_listen_address`, `http_listen_port`, `grpc_listen_address`, \
             `grpc_listen_port`, `http_tls_config`, `grpc_tls_config`, `tls_min_version`, `log_level`, `log_format`, `graceful_shutdown_timeout`",
    ),
    (
        "server: {log_level: loud}",
        "`log_level` at line 1, column 21: found `loud`, allowed is one of `trace`, \
             `debug`, `info`, `warn`, `error`",
    ),
    ("target: querier", "`target` at line 1, column 9: found `querier`, allowed is `all`"),
    (
        "multitenancy_enabled: maybe",
        "`multitenancy_enabled` at line 1, column 23: found `maybe`, allowed is `true` or `false`",
    ),
    (
        "ingester: {max_block_duration: 15}",
        "`max_block_duration` at line 1, column 32: found `15`, allowed is a time with its \
             unit, as in `30s`, `1h30m` or `7d`",
    ),
    (
        "distributor: {max_body_bytes: 64 cats}",
        "`max_body_bytes` at line 1, column 31: found `64 cats`, allowed is bytes as a whole \
             number or with a unit, as in `64MiB`",
    ),
    (
        "memory: {limit: much}",
        "`limit` at line 1, column 17: found `much`, allowed is bytes as a whole number or \
             with a unit, as in `2GiB`",
    ),
    (
        "distributor: {receivers: {otlp: {protocols: {grpc: {endpoint: 4317}}}}}",
        "`endpoint` at line 1, column 63: `4317` is not an address and a port, as in \
             `0.0.0.0:4317`",
    ),
    ("target: all\ntarget: all", "duplicate key `target` at line 2, column 1"),
    ("server: {\n", "not YAML at line "),
    (
        "server: {http_tls_config: {cert: a}}",
        "`server.http_tls_config.cert` at line 1, column 28: certificates and keys are read \
             from files",
    ),
    (
        "overrides: {ingestion_rate_limit_bytes: 5}",
        "`overrides.ingestion_rate_limit_bytes` at line 1, column 13: the flat form",
    ),
    (
        "server: {http_listen_address: '${NOBODY}'}",
        "the variable `NOBODY` in `http_listen_address` at line 1, column 31 is not set and \
             has no default",
    ),
];

#[test]
fn what_is_wrong_is_said_with_key_and_place() {
    for (text, says) in WRONG {
        let error = error(text);
        assert!(error.starts_with(says), "{text}\n{error}\n{says}");
    }
}

#[test]
fn secrets_are_never_shown() {
    for text in [
        "server: {http_listen_port: '${PORT}'}",
        "server: {log_level: '${PORT}'}",
        "memory: {limit: '${PORT}'}",
        "ingester: {max_block_duration: '${PORT}'}",
        "distributor: {receivers: {otlp: {protocols: {grpc: {endpoint: '${PORT}'}}}}}",
        "storage: {trace: {s3: '${SECRET_KEY}'}}",
    ] {
        let error = error(text);
        assert!(!error.contains("hush") && error.contains("a value that is not shown"), "{error}");
    }
    let (config, _) = read("s3.yaml").unwrap();
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn units_null_and_variables_are_read() {
    let text = "
server: {graceful_shutdown_timeout: 1h30m, log_format: json, http_listen_port: ~}
ingester: {trace_idle_period: 1.5s, max_block_duration: 7d, max_live_bytes: 1GiB, max_block_spans:}
distributor: {max_body_bytes: 5MB, receivers: {otlp: {protocols: {http: }}}}
query_frontend: {query_end_cutoff: 0}
memory: {limit: 2GiB}
overrides: {defaults: {global: {max_bytes_per_trace: 1.5e+07}}}
storage: {trace: {local: {path: '${HOME_OF_NOBODY:-/data}/blocks'}, wal: {path: '${NOBODY:-}'}}}
multitenancy_enabled: yes
";
    let (config, warnings) = Config::from_text(text, Some(&variables)).unwrap();
    assert_eq!(warnings, []);
    let default = Config::default();
    assert_eq!(config.server.graceful_shutdown_timeout, Duration::from_mins(90));
    assert_eq!(config.server.http_listen_port, 3200);
    assert_eq!(config.ingester.trace_idle_period, Duration::from_millis(1500));
    assert_eq!(config.ingester.max_block_duration, Duration::from_hours(168));
    assert_eq!(config.ingester.max_live_bytes, 1 << 30);
    assert_eq!(config.ingester.max_block_spans, default.ingester.max_block_spans);
    assert_eq!(config.distributor.max_body_bytes, 5_000_000);
    assert_eq!(config.distributor.otlp_grpc(), None);
    assert_eq!(config.distributor.otlp_http(), default.distributor.otlp_http());
    assert_eq!(config.memory.limit_bytes(), 2 << 30);
    assert_eq!(config.overrides.defaults.global.max_bytes_per_trace, 15_000_000);
    assert_eq!(config.storage.trace.local.path.to_str(), Some("/data/blocks"));
    assert_eq!(config.storage.trace.wal, default.storage.trace.wal);
    assert!(config.multitenancy_enabled);
}

#[test]
fn receivers_have_the_collectors_keys() {
    let text = "
distributor:
  receivers:
    otlp: {protocols: {grpc: {keepalive: {server_parameters: {max_connection_age: 1m}}}}}
    jaeger:
      protocols:
        grpc:
          max_recv_msg_size_mib: 5
          tls: {cert_file: a, key_file: b, client_ca_file: c, min_version: '1.3', reload_interval: 1h}
        thrift_compact: {queue_size: 5}
    zipkin: {max_request_body_size: 100, parse_string_tags: false}
";
    let (config, warnings) = Config::from_text(text, None).unwrap();
    assert_eq!(
        keys(&warnings),
        [
            "distributor.receivers.otlp.protocols.grpc.keepalive",
            "distributor.receivers.jaeger.protocols.thrift_compact.queue_size",
            "distributor.receivers.zipkin.parse_string_tags",
        ]
    );
    let listening = config.distributor.listening();
    let limits: Vec<_> = listening.iter().map(|one| one.max_body_bytes).collect();
    assert_eq!(limits, [None, Some(5 << 20), None, Some(100)]);
    let files = listening[1].tls.unwrap().files("key").unwrap();
    assert_eq!(files.clients, vivace::listener::Clients::Verified);
    assert_eq!(files.min_version, vivace::listener::Version::Tls13);
    assert_eq!(files.reload_interval, Some(Duration::from_hours(1)));
    assert_eq!(listening[0].tls.unwrap().files("key"), None);
}

#[test]
fn variables_are_left_alone_unless_asked_for() {
    let (config, warnings) =
        Config::from_text("storage: {trace: {s3: {bucket: '${BUCKET}'}}}", None).unwrap();
    assert_eq!(config.storage.trace.s3.bucket, "${BUCKET}");
    assert!(warnings[0].to_string().contains("-config.expand-env"), "{warnings:?}");
}

#[test]
fn tempos_own_files_are_taken_with_warnings() {
    let (local, warnings) = read("local.yaml").unwrap();
    assert_eq!(local.check().unwrap(), []);
    assert_eq!(local.compactor.compaction.block_retention, Duration::from_hours(1));
    assert_eq!(local.distributor.otlp_grpc().unwrap().to_string(), "0.0.0.0:4317");
    assert_eq!(local.distributor.otlp_http().unwrap().to_string(), "127.0.0.1:4318");
    let listening = local.distributor.listening();
    let endpoints: Vec<_> = listening.iter().map(|one| one.endpoint.to_string()).collect();
    assert_eq!(endpoints, ["0.0.0.0:4317", "127.0.0.1:4318", "0.0.0.0:14268", "0.0.0.0:9411"]);
    assert_eq!(
        keys(&warnings),
        [
            "query_frontend.search.duration_slo",
            "query_frontend.search.throughput_bytes_slo",
            "query_frontend.trace_by_id",
            "ingester.lifecycler",
            "metrics_generator",
            "overrides.defaults.metrics_generator",
        ]
    );

    let (s3, warnings) = read("s3.yaml").unwrap();
    assert_eq!(keys(&s3.check().unwrap()), ["overrides.per_tenant_override_config"]);
    assert_eq!(s3.storage.trace.backend, Backend::S3);
    assert_eq!(s3.storage.trace.s3.bucket, "traces");
    assert_eq!(s3.storage.trace.s3.access_key, "007");
    assert_eq!(s3.storage.trace.s3.secret_key.expose(), "hush: # 12e4");
    assert_eq!(s3.distributor.otlp_http(), None);
    let memberlist = warnings.iter().find(|warning| warning.key == "memberlist").unwrap();
    assert_eq!(
        memberlist.to_string(),
        "`memberlist` at line 5, column 1: not needed: processes meet in the bucket, there is no ring"
    );

    let (v3, warnings) = read("v3.yaml").unwrap();
    assert_eq!(v3.compactor.compaction.block_retention, Duration::from_hours(720));
    assert!(v3.query_frontend.mcp_server.enabled);
    assert!(
        keys(&warnings).contains(&"query_frontend.metrics.query_backend_after"),
        "{warnings:?}"
    );
}

fn keys(warnings: &[Warning]) -> Vec<&str> {
    warnings.iter().map(|warning| warning.key.as_str()).collect()
}

#[test]
fn values_that_do_not_fit_together_are_refused() {
    for (text, says) in [
        (
            "server: {http_listen_port: 4317}",
            "`distributor.receivers.otlp.protocols.grpc.endpoint`: port 4317 is taken by \
             `server.http_listen_port`",
        ),
        ("storage: {trace: {wal: {path: ''}}}", "`storage.trace.wal.path`: is empty"),
        ("storage: {trace: {backend: s3}}", "`storage.trace.s3.bucket`: is empty"),
        (
            "storage: {trace: {backend: s3, s3: {bucket: a, access_key: b}}}",
            "`storage.trace.s3.secret_key`: goes together with `access_key`",
        ),
        ("storage: {trace: {backend: gcs}}", "`storage.trace.gcs.bucket_name`: is empty"),
        ("storage: {trace: {backend: azure}}", "`storage.trace.azure.container_name`: is empty"),
        (
            "storage: {trace: {wal: {path: /a/b}, local: {path: /a}}}",
            "`storage.trace.local.path`: must not be inside",
        ),
        (
            "query_frontend: {search: {max_result_limit: 5}}",
            "`query_frontend.search.default_result_limit`: must be more than 0 and at most",
        ),
        ("memory: {limit: 1MiB}", "`memory.limit`: is 1048576 bytes; at least"),
        (
            "memory: {limit: 1GiB}\ningester: {max_live_bytes: 2GiB}",
            "`ingester.max_live_bytes`: is more than `memory.limit`",
        ),
        (
            "distributor: {receivers: {jaeger: {protocols: {grpc: {endpoint: ':3200'}}}}}",
            "`distributor.receivers.jaeger.protocols.grpc.endpoint`: port 3200 is taken by",
        ),
        (
            "distributor: {receivers: {zipkin: {tls: {cert_file: a}}}}",
            "`distributor.receivers.zipkin.tls`: `cert_file` and `key_file` go together",
        ),
        (
            "distributor: {receivers: {otlp: {protocols: {grpc: {tls: {client_ca_file: a}}}}}}",
            "`distributor.receivers.otlp.protocols.grpc.tls`: clients' certificates need",
        ),
        (
            "server: {http_tls_config: {cert_file: a, key_file: b, client_ca_file: c}}",
            "`server.http_tls_config`: `client_auth_type` and `client_ca_file` go together",
        ),
        (
            "overrides: {per_tenant_override_config: tests/config/local.yaml}",
            "`overrides.per_tenant_override_config`: tests/config/local.yaml: unknown key",
        ),
        ("ingester: {flush_check_period: 0}", "`ingester.flush_check_period`: must be more"),
    ] {
        let (config, _) = Config::from_text(text, None).unwrap();
        let error = config.check().unwrap_err().to_string();
        assert!(error.starts_with(says), "{text}\n{error}");
    }
    let (none, _) = Config::from_text("distributor: {receivers: {}}", None).unwrap();
    assert!(none.check().unwrap()[0].to_string().contains("no protocol is on"));
    let text = "multitenancy_enabled: true\n\
        distributor: {receivers: {jaeger: {protocols: {thrift_compact: {endpoint: ':4317'}}}}}";
    let (udp, _) = Config::from_text(text, None).unwrap();
    let warnings = udp.check().unwrap();
    assert_eq!(keys(&warnings), ["distributor.receivers.jaeger.protocols.thrift_compact"]);
    let (none, _) = Config::from_text("distributor: {receivers: {jaeger: }}", None).unwrap();
    assert_eq!(none.check().unwrap().len(), 2, "no protocol, and none of Jaeger's");
    let (free, _) =
        Config::from_text("server: {http_listen_port: 0, grpc_listen_port: 0}", None).unwrap();
    assert_eq!(free.check().unwrap(), []);
}

#[test]
fn limits_of_tenants_have_the_keys_of_the_defaults() {
    let text = "
overrides:
  '*': {global: {max_bytes_per_trace: 1MiB}}
  team.a:
    ingestion: {rate_limit_bytes: 5MB, tenant_shard_size: 3}
    compaction: {block_retention: 7d}
    metrics_generator: {processors: [span-metrics]}
  b:
";
    let (layers, warnings) = per_tenant(text).unwrap();
    assert_eq!(layers.keys().collect::<Vec<_>>(), ["*", "b", "team.a"]);
    assert_eq!(layers["*"].global.max_bytes_per_trace, Some(1 << 20));
    assert_eq!(layers["b"], vivace::tenant::Layer::default());
    let own = &layers["team.a"];
    assert_eq!(own.ingestion.rate_limit_bytes, Some(5_000_000));
    assert_eq!(own.ingestion.burst_size_bytes, None);
    assert_eq!(own.compaction.block_retention, Some(Duration::from_hours(168)));
    assert_eq!(
        keys(&warnings),
        ["overrides.team.a.ingestion.tenant_shard_size", "overrides.team.a.metrics_generator"]
    );
    assert!(per_tenant("").unwrap().0.is_empty());
    assert!(per_tenant("overrides:").unwrap().0.is_empty());

    for (text, says) in [
        ("override: {}", "unknown key `override` at line 1, column 1; did you mean `overrides`?"),
        (
            "overrides: [a]",
            "`overrides` at line 1, column 12: found something else, allowed is a map",
        ),
        (
            "overrides: {a/b: {}}",
            "`a/b` at line 1, column 13: tenant ID 'a/b' contains unsupported",
        ),
        ("overrides: {a: {}, a: {}}", "duplicate key `a` at line 1, column 20"),
        (
            "overrides: {a: {ingestion_rate_limit_bytes: 5}}",
            "`overrides.a.ingestion_rate_limit_bytes`",
        ),
        (
            "overrides:\n  a: {read: {max_search_duration: 5}}\n  b: {raed: {}}",
            "`max_search_duration` at line 2, column 35: found `5`, allowed is a time with its unit",
        ),
        (
            "overrides: {a: {raed: {}}}",
            "unknown key `raed` at line 1, column 17; did you mean `read`?",
        ),
    ] {
        let error = per_tenant(text).unwrap_err().to_string();
        assert!(error.starts_with(says), "{text}\n{error}");
    }
}
