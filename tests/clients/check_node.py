#!/usr/bin/env python3
"""Asks for every trace that node/sender.mjs sent and compares it field by field."""

import argparse
import base64
import json
import sys
import urllib.request


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def value_of(value):
    (kind, content), = value.items()
    match kind:
        case "intValue":
            return int(content)
        case "arrayValue":
            return [value_of(element) for element in content["values"]]
        case _:
            return content


def attributes_of(holder):
    return {each["key"]: value_of(each["value"]) for each in holder.get("attributes", [])}


def check(url, sent, told, wrong):
    name = f"{told['kind']} trace {sent['trace']}"

    def expect(what, found, expected):
        if found != expected:
            wrong.append(f"{name}: {what} is {found!r}, not {expected!r}")

    trace = get(f"{url}/api/v2/traces/{sent['trace']}")["trace"]
    groups = trace.get("resourceSpans", [])
    expect("number of resources", len(groups), 1)
    if not groups:
        return
    expect("resource", attributes_of(groups[0]["resource"]), told["resource"])
    scopes = groups[0]["scopeSpans"]
    expect("scopes", [[each["scope"]["name"], each["scope"]["version"]] for each in scopes], [told["scope"]])
    spans = {base64.b64decode(span["spanId"]).hex(): span for each in scopes for span in each["spans"]}
    expect("span ids", sorted(spans), sorted([sent["root"], sent["child"]]))
    root, child = spans.get(sent["root"], {}), spans.get(sent["child"], {})
    expect("attributes of the root", attributes_of(root), sent["attributes"])
    expect("kind of the root", root.get("kind"), "SPAN_KIND_SERVER")
    expect("kind of the child", child.get("kind"), "SPAN_KIND_CLIENT")
    expect("parent of the child", base64.b64decode(child.get("parentSpanId", "")).hex(), sent["root"])
    expect("status of the child", child.get("status"), {"message": "refused", "code": "STATUS_CODE_ERROR"})
    expect("events of the child", [(each["name"], attributes_of(each)) for each in child.get("events", [])], [("retry", {"attempt": 2})])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="of the API, such as http://127.0.0.1:3200")
    parser.add_argument("manifest", nargs="+", help="output of node/sender.mjs")
    arguments = parser.parse_args()
    wrong, traces = [], 0
    for path in arguments.manifest:
        with open(path) as file:
            told = json.load(file)
        for sent in told["sent"]:
            check(arguments.url, sent, told, wrong)
            traces += 1
    print("\n".join(wrong), file=sys.stderr)
    print(f"{traces} traces of {len(arguments.manifest)} exporters, {len(wrong)} differences")
    sys.exit(1 if wrong or not traces else 0)


if __name__ == "__main__":
    main()
