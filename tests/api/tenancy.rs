//! No tenant sees another's data, or that there is any: whatever is asked with another's ids and names is answered as if they were nowhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::server::{Headers, Server};
use super::{Answer, query_string};

/// What is another tenant's, beside something of the same form that nobody has.
const THEIRS: [(&str, &str); 6] = [
    ("000000000000000000000000000000a1", "000000000000000000000000000000f7"),
    ("b0000000000000000000000000000002", "b0000000000000000000000000000f07"),
    ("00000000000000a2", "00000000000000f7"),
    ("shop", "zzzz"),
    ("SELECT", "NOTHIN"),
    ("http.method", "nobody.has."),
];

const START: &str = "1789999000";
const END: &str = "1790001000";

/// Each endpoint that answers with data, asked for what is another's: `{trace}`, `{other}`, `{span}`, `{service}`, `{name}` and `{key}` stand for it.
const QUESTIONS: [(&str, &[(&str, &str)]); 44] = [
    ("/api/traces/{trace}", &[]),
    ("/api/traces/{other}", &[("start", START), ("end", END)]),
    ("/api/v2/traces/{trace}", &[]),
    ("/api/v2/traces/{other}", &[]),
    ("/api/search", &[("q", "{}")]),
    ("/api/search", &[("q", "{ trace:id = \"{trace}\" }")]),
    ("/api/search", &[("q", "{ span:id = \"{span}\" }")]),
    ("/api/search", &[("q", "{ resource.service.name = \"{service}\" }")]),
    ("/api/search", &[("q", "{ name = \"{name}\" } << {} | select(span.{key})")]),
    ("/api/search", &[("q", "{ link:traceID = \"{trace}\" }")]),
    ("/api/search", &[("tags", "service.name={service}")]),
    ("/api/search", &[("q", "{ span.{key} != nil }"), ("explain", "1")]),
    ("/api/search/tags", &[]),
    ("/api/v2/search/tags", &[]),
    ("/api/v2/search/tags", &[("q", "{ resource.service.name = \"{service}\" }")]),
    ("/api/search/tag/service.name/values", &[]),
    ("/api/search/tag/{key}/values", &[]),
    ("/api/v2/search/tag/resource.service.name/values", &[]),
    ("/api/v2/search/tag/span.{key}/values", &[]),
    ("/api/v2/search/tag/name/values", &[("q", "{ resource.service.name = \"{service}\" }")]),
    ("/api/metrics/query_range", &[("q", "{} | rate() by (resource.service.name)")]),
    ("/api/metrics/query_range", &[("q", "{ name = \"{name}\" } | count_over_time()")]),
    ("/api/metrics/query_range", &[("q", "{} | compare({ name = \"{name}\" })")]),
    ("/api/metrics/query", &[("q", "{ span.{key} != nil } | count_over_time() by (span.{key})")]),
    ("/status/overrides", &[]),
    ("/status/runtime_config", &[]),
    ("/jaeger/api/services", &[]),
    ("/jaeger/api/services/{service}/operations", &[]),
    ("/jaeger/api/operations", &[("service", "{service}")]),
    ("/jaeger/api/traces", &[("service", "{service}")]),
    ("/jaeger/api/traces", &[("traceID", "{trace}")]),
    ("/jaeger/api/traces/{trace}", &[]),
    ("/jaeger/api/dependencies", &[("endTs", "1790001000000"), ("lookback", "3600000")]),
    ("/jaeger/api/v3/services", &[]),
    ("/jaeger/api/v3/operations", &[("service", "{service}")]),
    ("/jaeger/api/v3/traces/{trace}", &[]),
    ("/zipkin/api/v2/services", &[]),
    ("/zipkin/api/v2/spans", &[("serviceName", "{service}")]),
    ("/zipkin/api/v2/remoteServices", &[("serviceName", "{service}")]),
    ("/zipkin/api/v2/traces", &[("serviceName", "{service}")]),
    ("/zipkin/api/v2/trace/{trace}", &[]),
    ("/zipkin/api/v2/traceMany", &[("traceIds", "{trace},{other}")]),
    ("/zipkin/api/v2/dependencies", &[("endTs", "1790001000000"), ("lookback", "3600000")]),
    ("/zipkin/api/v2/autocompleteValues", &[("key", "{key}")]),
];

/// A template filled with the other tenant's ids and names, or with those of nobody.
fn filled(template: &str, whose: fn(&(&'static str, &'static str)) -> &'static str) -> String {
    let places = ["{trace}", "{other}", "{span}", "{service}", "{name}", "{key}"];
    let texts = THEIRS.iter().map(whose);
    places
        .iter()
        .zip(texts)
        .fold(template.to_owned(), |text, (place, own)| text.replace(place, own))
}

fn asked(
    server: &Server,
    (path, params): (&str, &[(&str, &str)]),
    tenant: &str,
    whose: fn(&(&'static str, &'static str)) -> &'static str,
) -> (u16, String) {
    let mut named: BTreeMap<String, String> =
        params.iter().map(|(name, value)| ((*name).to_owned(), filled(value, whose))).collect();
    if path.starts_with("/api") && !path.contains("/traces/") {
        named.insert("start".to_owned(), START.to_owned());
        named.insert("end".to_owned(), END.to_owned());
    }
    if path.starts_with("/jaeger/api/traces") && named.contains_key("service") {
        named.insert("start".to_owned(), format!("{START}000000"));
        named.insert("end".to_owned(), format!("{END}000000"));
    }
    if path.starts_with("/zipkin/api/v2/traces") {
        named.insert("endTs".to_owned(), format!("{END}000"));
        named.insert("lookback".to_owned(), "3600000".to_owned());
    }
    let headers: Headers = vec![("x-scope-orgid".to_owned(), tenant.to_owned())];
    let path = filled(path, whose) + &query_string(&named);
    let Answer { status, content_type: _, body } = server.get(&path, &headers).into();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// What an answer says whoever's ids it was asked by: costs and times differ by what is cached.
fn told(text: &str) -> String {
    let text = THEIRS.iter().fold(text.to_owned(), |text, (theirs, nobodys)| {
        text.replace(theirs, "*").replace(nobodys, "*")
    });
    // Of short forms of ids, too.
    let text = ["a1", "f7"].iter().fold(text, |text, id| {
        text.replace(&format!("\"{id}\""), "*").replace(&format!("00000000000000{id}"), "*")
    });
    let costs = ["CPU", "time", "window", "bucket", "\"now\""];
    let is_told = |line: &&str| !costs.iter().any(|cost| line.trim_start().starts_with(cost));
    let text = text.lines().filter(is_told).collect::<Vec<_>>().join("\n");
    let mut json: serde_json::Value = match serde_json::from_str(&text) {
        Ok(json) => json,
        Err(_) => return text,
    };
    if let Some(fields) = json.as_object_mut() {
        fields.remove("metrics");
        fields.remove("now");
    }
    json.to_string()
}

/// `alpha` has the traces of the shop, `beta` one of its own.
pub(crate) fn check(server: &Server) {
    let mut wrong = String::new();
    let mut seen = 0;
    for title in ["live", "from blocks"] {
        for (path, params) in QUESTIONS {
            let theirs = asked(server, (path, params), "beta", |(theirs, _)| theirs);
            let nobodys = asked(server, (path, params), "beta", |(_, nobodys)| nobodys);
            if theirs.0 != nobodys.0 || told(&theirs.1) != told(&nobodys.1) {
                writeln!(wrong, "{path} {params:?} ({title})\n  {theirs:?}\n  {nobodys:?}")
                    .unwrap();
            }
            // It is there for its owner: the question would tell.
            let owners = asked(server, (path, params), "alpha", |(theirs, _)| theirs);
            seen += usize::from(told(&owners.1) != told(&theirs.1));
            for (secret, _) in [("GET /cart", ""), ("POST /order", ""), ("<timeout>", "")] {
                if theirs.1.contains(secret) {
                    writeln!(wrong, "{path} {params:?} ({title}) tells {secret:?}").unwrap();
                }
            }
        }
        assert_eq!(server.get("/flush", &Headers::new()).status(), 204);
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(
        seen > QUESTIONS.len(),
        "{seen} of {} answers tell their owner more",
        QUESTIONS.len() * 2
    );
    // A query over both is allowed, and names both.
    let both = asked(server, ("/api/search", &[("q", "{}")]), "alpha|beta", |(theirs, _)| theirs);
    assert!(both.1.contains("own thing") && both.1.contains("GET /cart"), "{both:?}");
    for tenant in ["../alpha", "alpha/x", "alpha%2f", ".", "..", "a b"] {
        let (status, text) = asked(server, ("/api/search", &[]), tenant, |(theirs, _)| theirs);
        assert_eq!(status, 400, "{tenant}: {text}");
    }
}
