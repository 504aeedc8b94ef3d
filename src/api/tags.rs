//! Names of tags, and their values: what an editor completes.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::response::Response;
use http::request;
use serde_json::json;

use super::cost::{metadata, with_cost};
use super::format::{Form, llm};
use super::json::to_json;
use super::legacy::attribute;
use super::params::{WantedScope, tag_scope, tags_window};
use super::proto::{
    SearchTagValuesResponse, SearchTagValuesV2Response, SearchTagsResponse, SearchTagsV2Response,
    SearchTagsV2Scope, TagValue,
};
use super::{Answered, Api, ApiState, Call};
use crate::failure::{Failure, Kind};
use crate::listener::on_cpu;
use crate::querier::{Cost, TagNames, TagNamesRequest, TagScope, TagValues, TagValuesRequest};

/// The scopes by name, in the order of answers.
pub(super) const SCOPES: [(TagScope, &str); 6] = [
    (TagScope::Resource, "resource"),
    (TagScope::Span, "span"),
    (TagScope::Event, "event"),
    (TagScope::Link, "link"),
    (TagScope::Instrumentation, "instrumentation"),
    (TagScope::Intrinsic, "intrinsic"),
];

/// What editors complete of what every span has. Queries know some more.
const INTRINSICS: [&str; 25] = [
    "duration",
    "event:name",
    "event:timeSinceStart",
    "instrumentation:name",
    "instrumentation:version",
    "kind",
    "link:spanID",
    "link:traceID",
    "name",
    "rootName",
    "rootServiceName",
    "span:duration",
    "span:id",
    "span:kind",
    "span:name",
    "span:parentID",
    "span:status",
    "span:statusMessage",
    "status",
    "statusMessage",
    "trace:duration",
    "trace:id",
    "trace:rootName",
    "trace:rootService",
    "traceDuration",
];

const STATUSES: [&str; 3] = ["ok", "error", "unset"];
const KINDS: [&str; 6] = ["client", "server", "producer", "consumer", "internal", "unspecified"];

/// Intrinsics whose values are as many as spans: nothing to choose from.
const WITHOUT_VALUES: [&str; 14] = [
    "duration",
    "traceDuration",
    "span:duration",
    "trace:duration",
    "event:timeSinceStart",
    "span:id",
    "span:parentID",
    "trace:id",
    "link:spanID",
    "link:traceID",
    "span:childCount",
    "nestedSetLeft",
    "nestedSetRight",
    "nestedSetParent",
];

/// `/api/search/tags`: names without their scopes.
pub(super) async fn names_v1(State(api): ApiState, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let (message, cost) = names(&api, &call).await?;
    Ok(with_cost(call.form.answer(&message), &cost))
}

/// Names without their scopes, by the parameters of a call.
pub(super) async fn names(api: &Api, call: &Call) -> Result<(SearchTagsResponse, Cost), Failure> {
    let (scopes, cost) = found_names(api, call, "", false).await?;
    let names: BTreeSet<String> = scopes.into_iter().flat_map(|scope| scope.tags).collect();
    let limit = call.params.lenient_count("limit");
    let tag_names = names.into_iter().take(no_limit_if_zero(limit)).collect();
    Ok((SearchTagsResponse { tag_names, metrics: metadata(&cost) }, cost))
}

/// `/api/v2/search/tags`: names by scope.
pub(super) async fn names_v2(State(api): ApiState, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let (message, cost) = scoped_names(&api, &call).await?;
    Ok(with_cost(call.form.answer(&message), &cost))
}

/// Names by scope, by the parameters of a call.
pub(super) async fn scoped_names(
    api: &Api,
    call: &Call,
) -> Result<(SearchTagsV2Response, Cost), Failure> {
    let filter = call.params.get("q").unwrap_or_default();
    let (scopes, cost) = found_names(api, call, filter, true).await?;
    Ok((SearchTagsV2Response { scopes, metrics: metadata(&cost) }, cost))
}

/// The intrinsic names are there if they are asked for, or if all are, and those are wanted `with_intrinsics`.
async fn found_names(
    api: &Api,
    call: &Call,
    filter: &str,
    with_intrinsics: bool,
) -> Result<(Vec<SearchTagsV2Scope>, Cost), Failure> {
    let wanted = tag_scope(&call.params)?;
    let window = tags_window(&call.params, &call.config, api.now())?;
    let limit = call.params.lenient_count("limit");
    let asked = match wanted {
        WantedScope::All => Some(None),
        WantedScope::One(TagScope::Intrinsic) | WantedScope::Trace => None,
        WantedScope::One(scope) => Some(Some(scope)),
    };
    let mut found = match asked {
        Some(scope) => {
            let request = TagNamesRequest { scope, window, filter: filter.to_owned(), limit };
            api.within(call, Box::pin(api.parts.querier.tag_names(&call.tenants, request))).await?
        }
        None => TagNames { scopes: Vec::new(), cost: Cost::default() },
    };
    call.check_list(found.scopes.iter().flat_map(|(_, tags)| tags).map(String::as_str))?;
    let intrinsics = match wanted {
        WantedScope::All => with_intrinsics,
        WantedScope::One(scope) => scope == TagScope::Intrinsic,
        WantedScope::Trace => false,
    };
    if intrinsics {
        found.scopes.push((TagScope::Intrinsic, INTRINSICS.map(str::to_owned).to_vec()));
    }
    Ok((scopes_of(found.scopes, limit), found.cost))
}

/// In the order of answers, names sorted, empty scopes left out.
fn scopes_of(found: Vec<(TagScope, Vec<String>)>, limit: usize) -> Vec<SearchTagsV2Scope> {
    let mut scopes: Vec<_> = found.into_iter().filter(|(_, tags)| !tags.is_empty()).collect();
    scopes.sort_by_key(|(scope, _)| SCOPES.iter().position(|(known, _)| known == scope));
    let named = scopes.into_iter().map(|(scope, mut tags)| {
        tags.sort_unstable();
        tags.truncate(no_limit_if_zero(limit));
        let name = SCOPES.iter().find(|(known, _)| *known == scope).map_or("", |(_, name)| *name);
        SearchTagsV2Scope { name: name.to_owned(), tags }
    });
    named.collect()
}

fn no_limit_if_zero(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

/// `/api/search/tag/{name}/values`: values as texts.
pub(super) async fn values_v1(
    State(api): ApiState,
    Path(path): Path<String>,
    request: request::Parts,
) -> Answered {
    let Some(name) = name_in(&path)? else { return Ok(no_such_page()) };
    let call = api.enter(&request)?;
    let (message, cost) = texts(&api, &call, name).await?;
    Ok(with_cost(call.form.answer(&message), &cost))
}

/// Values of a tag as texts, by the parameters of a call.
pub(super) async fn texts(
    api: &Api,
    call: &Call,
    name: &str,
) -> Result<(SearchTagValuesResponse, Cost), Failure> {
    let (texts, cost) = match name {
        "status.code" => (["error", "ok", "unset"].map(str::to_owned).into(), Cost::default()),
        "error" => (BTreeSet::from(["true".to_owned()]), Cost::default()),
        name => {
            let attribute = match name {
                "name" => "name".to_owned(),
                "root.name" => "rootName".to_owned(),
                "root.service.name" => "rootServiceName".to_owned(),
                name => attribute(name),
            };
            let found = values(api, call, attribute, "").await?;
            call.check_list(found.values.iter().map(|value| value.text.as_str()))?;
            (found.values.into_iter().map(|value| value.text).collect(), found.cost)
        }
    };
    let limit = no_limit_if_zero(call.params.lenient_count("limit"));
    let tag_values = texts.into_iter().take(limit).collect();
    Ok((SearchTagValuesResponse { tag_values, metrics: metadata(&cost) }, cost))
}

/// `/api/v2/search/tag/{attribute}/values`: values with their types.
pub(super) async fn values_v2(
    State(api): ApiState,
    Path(path): Path<String>,
    request: request::Parts,
) -> Answered {
    let Some(name) = name_in(&path)? else { return Ok(no_such_page()) };
    let call = api.enter(&request)?;
    let found = typed_values(&api, &call, name).await?;
    let (form, cost) = (call.form, found.cost);
    Ok(with_cost(on_cpu(move || answer_values_v2(form, found)).await, &cost))
}

/// Values of an attribute with their types, by the parameters of a call.
pub(super) async fn typed_values(api: &Api, call: &Call, name: &str) -> Result<TagValues, Failure> {
    let filter = call.params.get("q").unwrap_or_default();
    if let Some(keywords) = fixed_values(name, filter) {
        // The range is checked all the same.
        tags_window(&call.params, &call.config, api.now())?;
        let values = keywords.iter().map(|text| keyword(text)).collect();
        return Ok(TagValues { values, cost: Cost::default() });
    }
    let found = values(api, call, name.to_owned(), filter).await;
    let found = found.map_err(|failure| match failure.kind {
        Kind::Invalid => Failure::invalid(format!("please provide a valid tagName: {failure}")),
        _ => failure,
    })?;
    call.check_list(found.values.iter().map(|value| value.text.as_str()))?;
    Ok(found)
}

fn keyword(text: &str) -> crate::querier::TagValue {
    crate::querier::TagValue { kind: "keyword", text: text.to_owned() }
}

/// As a message.
pub(super) fn message_of(found: TagValues) -> SearchTagValuesV2Response {
    let TagValues { values, cost } = found;
    let values =
        values.into_iter().map(|value| TagValue { kind: value.kind.to_owned(), value: value.text });
    SearchTagValuesV2Response { tag_values: values.collect(), metrics: metadata(&cost) }
}

fn answer_values_v2(form: Form, found: TagValues) -> Response {
    if form == Form::Llm { llm(llm_values(found)) } else { form.answer(&message_of(found)) }
}

/// For language models: by type.
pub(super) fn llm_values(found: TagValues) -> Vec<u8> {
    let TagValues { values, cost } = found;
    let mut by_type = serde_json::Map::new();
    for value in values {
        let texts = by_type.entry(value.kind).or_insert_with(|| json!([]));
        texts.as_array_mut().expect("each is a list").push(json!(value.text));
    }
    to_json(&json!({"tagValues": by_type, "metrics": {"inspectedBytes": cost.inspected_bytes}}))
}

/// The values that need no look at spans: keywords if nothing narrows them down, none of what has too many.
fn fixed_values(attribute: &str, filter: &str) -> Option<&'static [&'static str]> {
    let unfiltered = filter.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let unfiltered = matches!(unfiltered.as_str(), "" | "{}");
    match attribute {
        "status" | "span:status" if unfiltered => Some(&STATUSES),
        "kind" | "span:kind" if unfiltered => Some(&KINDS),
        name if WITHOUT_VALUES.contains(&name) => Some(&[]),
        _ => None,
    }
}

async fn values(
    api: &Api,
    call: &Call,
    attribute: String,
    filter: &str,
) -> Result<TagValues, Failure> {
    let window = tags_window(&call.params, &call.config, api.now())?;
    let limit = call.params.lenient_count("limit");
    let request = TagValuesRequest { attribute, window, filter: filter.to_owned(), limit };
    api.within(call, Box::pin(api.parts.querier.tag_values(&call.tenants, request))).await
}

/// The name in `{name}/values`; it may have slashes itself. `None` if the path is another.
fn name_in(path: &str) -> Result<Option<&str>, Failure> {
    match path.strip_suffix("values").map(|name| name.strip_suffix('/')) {
        Some(Some("")) => Err(Failure::invalid("please provide a non-empty tagName")),
        Some(Some(name)) => Ok(Some(name)),
        // `/api/search/tag/values`: the router takes the two slashes of an empty name for one.
        Some(None) if path == "values" => {
            Err(Failure::invalid("please provide a non-empty tagName"))
        }
        _ => Ok(None),
    }
}

fn no_such_page() -> Response {
    use axum::response::IntoResponse;
    (http::StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_all_before_the_last_part() {
        for (path, expected) in [
            ("a/values", Ok(Some("a"))),
            ("a/b/values", Ok(Some("a/b"))),
            ("values/values", Ok(Some("values"))),
            ("a", Ok(None)),
            ("a/b", Ok(None)),
            ("avalues", Ok(None)),
            ("/values", Err("please provide a non-empty tagName")),
            ("values", Err("please provide a non-empty tagName")),
        ] {
            let found = name_in(path).map_err(|failure| failure.message);
            assert_eq!(found, expected.map_err(str::to_owned), "{path}");
        }
    }

    #[test]
    fn keywords_need_no_look_unless_something_narrows_them_down() {
        assert_eq!(fixed_values("status", "").unwrap(), STATUSES);
        assert_eq!(fixed_values("span:kind", " { } ").unwrap(), KINDS);
        assert_eq!(fixed_values("status", "{ name = \"a\" }"), None);
        assert_eq!(fixed_values("duration", "{ name = \"a\" }"), Some(&[][..]));
        assert_eq!(fixed_values(".status", ""), None);
    }

    #[test]
    fn scopes_have_an_order_and_no_empty_ones() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let found = vec![
            (TagScope::Intrinsic, names(&["name"])),
            (TagScope::Event, names(&[])),
            (TagScope::Span, names(&["b", "c", "a"])),
            (TagScope::Resource, names(&["x"])),
        ];
        let scopes = scopes_of(found, 2);
        let text = String::from_utf8(to_json(&scopes)).unwrap();
        assert_eq!(
            text,
            r#"[{"name":"resource","tags":["x"]},{"name":"span","tags":["a","b"]},{"name":"intrinsic","tags":["name"]}]"#
        );
    }

    #[test]
    fn language_models_get_values_by_type() {
        let value = |kind, text: &str| crate::querier::TagValue { kind, text: text.to_owned() };
        let values = vec![value("string", "/<a>"), value("int", "200"), value("string", "/b")];
        let cost = Cost { inspected_bytes: 7, ..Cost::default() };
        let response = answer_values_v2(Form::Llm, TagValues { values, cost });
        assert_eq!(response.headers()["content-type"], "application/vnd.grafana.llm+json");
    }
}
