//! `/api/mcp`, as a language model's program asks it.

use serde_json::{Value, json};

use super::server::Server;

/// Sends one message; its status and its answer, null if there is none.
fn send(server: &Server, message: &Value) -> (u16, Value) {
    let headers =
        [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let answer = server.post_to("/api/mcp", message.to_string().into_bytes(), &headers.to_vec());
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().unwrap()).unwrap_or_default())
}

fn ask(server: &Server, method: &str, params: &Value) -> Value {
    let message = json!({"jsonrpc": "2.0", "id": "q", "method": method, "params": params});
    let (status, answer) = send(server, &message);
    assert_eq!((status, &answer["id"], &answer["jsonrpc"]), (200, &json!("q"), &json!("2.0")));
    answer
}

/// Calls a tool; whether it failed, and its text.
fn call(server: &Server, tool: &str, arguments: &Value) -> (bool, String) {
    let answer = ask(server, "tools/call", &json!({"name": tool, "arguments": arguments}));
    let result = &answer["result"];
    assert!(result["_meta"]["type"].is_string(), "{answer}");
    let text = result["content"][0]["text"].as_str().unwrap().to_owned();
    (result["isError"] == true, text)
}

/// Over the traces of `shop.yaml`.
pub(crate) fn check(server: &Server) {
    let begun = ask(server, "initialize", &json!({"protocolVersion": "2025-06-18"}));
    assert_eq!(begun["result"]["protocolVersion"], "2025-06-18");
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(send(server, &note), (202, Value::Null));

    let tools = ask(server, "tools/list", &json!({}))["result"]["tools"].clone();
    let names: Vec<&str> =
        tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 8);
    assert!(tools.as_array().unwrap().iter().all(|tool| tool["inputSchema"]["type"] == "object"));

    let hour =
        |query: &str| json!({"query": query, "start": "1789999000", "end": "2026-09-21T14:20:00Z"});
    let json_of = |(failed, text): (bool, String)| -> Value {
        assert!(!failed, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let found = json_of(call(server, "traceql-search", &hour("{ status = error }")));
    assert_eq!(found["traces"][0]["rootServiceName"], "shop");
    let instant = hour("{ } | count_over_time() by (resource.service.name)");
    let counted = json_of(call(server, "traceql-metrics-instant", &instant));
    let of_shop = |series: &&Value| series["labels"][0]["value"]["stringValue"] == "shop";
    let counted =
        counted["series"].as_array().unwrap().iter().find(of_shop).unwrap()["value"].clone();
    assert_eq!(counted, 2);
    let ranged = json_of(call(server, "traceql-metrics-range", &hour("{ } | rate()")));
    assert!(ranged["series"][0]["samples"].as_array().unwrap().len() > 10);
    let trace = json_of(call(server, "get-trace", &json!({"trace_id": "a1"})));
    assert_eq!(trace["trace"]["services"].as_array().unwrap().len(), 2);
    let names = json_of(call(server, "get-attribute-names", &json!({"scope": "intrinsic"})));
    assert_eq!(names["scopes"][0]["name"], "intrinsic");
    let values = json_of(call(server, "get-attribute-values", &json!({"name": "span:kind"})));
    assert_eq!(values["tagValues"]["keyword"].as_array().unwrap().len(), 6);
    let (failed, text) = call(server, "docs-traceql", &json!({"name": "structural"}));
    assert!(!failed && text.contains("## Between spansets"));

    for (tool, arguments, part) in [
        ("traceql-search", hour("{} | rate()"), "traceql-metrics-instant"),
        ("traceql-search", hour("{"), "parse error"),
        ("traceql-search", json!({}), "\"query\" is missing"),
        ("get-trace", json!({"trace_id": "dead"}), "no trace"),
        ("docs-config", json!({"name": "x"}), "overview, reference"),
    ] {
        let (failed, text) = call(server, tool, &arguments);
        assert!(failed && text.contains(part), "{tool} {arguments}: {text}");
    }

    let resources = ask(server, "resources/list", &json!({}))["result"]["resources"].clone();
    assert_eq!(resources.as_array().unwrap().len(), 7);
    let read = ask(server, "resources/read", &json!({"uri": "docs://config/reference"}));
    let text = read["result"]["contents"][0]["text"].as_str().unwrap();
    assert!(text.contains("http_listen_port"));
    for (method, params, code) in [
        ("nothing", json!({}), -32601),
        ("tools/call", json!({"name": "none"}), -32602),
        ("resources/read", json!({"uri": "docs://none"}), -32002),
    ] {
        assert_eq!(ask(server, method, &params)["error"]["code"], code, "{method}");
    }
    let (status, answer) = send(server, &json!("no message"));
    assert_eq!((status, &answer["error"]["code"]), (200, &json!(-32700)));
    assert_eq!(server.get("/api/mcp", &Vec::new()).status(), 405);
}
