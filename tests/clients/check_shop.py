#!/usr/bin/env python3
"""Asks a server about the shop's traces (`shop.py`) and compares with what was sent, to the last span.

Searches, every trace by id (JSON and protobuf, both versions), tags and values. With --flush all of it twice:
before and after POST /flush, so that live and stored spans give the same answers. Exit 1 tells what is wrong.
"""

import argparse
import base64
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

REQUEST_SECONDS = 30
FLUSH_SECONDS = 120
SEARCH_LIMIT = 1000
SPANS_PER_SET = 100
UNKNOWN_TRACE = "f" * 30 + "01"


class Server:
    def __init__(self, url, tenant):
        self.url = url.rstrip("/")
        self.tenant = tenant

    def ask(self, path, args=None, accept="application/json", method="GET", seconds=REQUEST_SECONDS):
        """(status, content type, body); a refused connection is status 0 with the reason as body."""
        url = self.url + path + ("?" + urllib.parse.urlencode(args) if args else "")
        headers = {"Accept": accept, **({"X-Scope-OrgID": self.tenant} if self.tenant else {})}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method), timeout=seconds) as r:
                return r.status, r.headers.get("Content-Type", ""), r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers.get("Content-Type", ""), e.read()
        except OSError as e:
            return 0, "", str(e).encode()


class Report:
    def __init__(self):
        self.phase = ""
        self.checks = 0
        self.wrong = []

    def that(self, holds, what):
        self.checks += 1
        if not holds:
            self.wrong.append(f"{self.phase}: {what}")
        return holds

    def same(self, got, want, what):
        return self.that(got == want, f"{what}: got {brief(got)}, want {brief(want)}")


def brief(value):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 300 else text[:300] + " …"


def json_of(report, answer, what):
    status, _, body = answer
    if not report.that(status == 200, f"{what}: HTTP {status} {brief(body.decode('utf-8', 'replace'))}"):
        return None
    try:
        return json.loads(body)
    except ValueError as e:
        report.that(False, f"{what}: the body is no JSON: {e}")
        return None


# ---------------------------------------------------------------- what was sent
class Sent:
    """One or more manifests as one: a server may hold the shop of both exporters."""

    def __init__(self, manifests):
        self.start = min(m["start"] for m in manifests)
        self.end = max(m["end"] for m in manifests)
        self.traces = {}
        self.queries = {}
        self.tags = {}
        self.values = {}
        for m in manifests:
            for r in m["spans"]:
                self.traces.setdefault(r["trace"], {})[r["span"]] = r
            for q in m["queries"]:
                known = self.queries.setdefault(q["name"], {**q, "spans": {}})
                known["spans"].update(q["spans"])
            for scope, names in m["tags"].items():
                self.tags.setdefault(scope, set()).update(names)
            for tag, values in m["values"].items():
                self.values.setdefault(tag, set()).update(map(tuple, values))

    def window(self):
        return {"start": self.start - 60, "end": self.end + 60}


# ---------------------------------------------------------------- search
def plain(value):
    """An AnyValue of Tempo's JSON as (type, value)."""
    if not value:
        return None
    kind, inner = next(iter(value.items()))
    if kind == "intValue":
        return ("int", int(inner))
    if kind == "doubleValue":
        return ("float", float(inner))
    if kind == "arrayValue":
        return ("list", [plain(v) for v in (inner or {}).get("values", [])])
    return ({"stringValue": "str", "boolValue": "bool"}.get(kind, kind), inner)


def typed(value):
    """A value of the manifest in the same form."""
    if isinstance(value, list):
        return ("list", [typed(v) for v in value])
    return (type(value).__name__, value)


def check_search(report, server, sent, query, window):
    what = f"search {query['q']}" + ("" if window else " without a time range")
    args = {"q": query["q"], "limit": SEARCH_LIMIT, "spss": SPANS_PER_SET, **window}
    doc = json_of(report, server.ask("/api/search", args), what)
    if doc is None:
        return
    report.that("metrics" in doc, f"{what}: no `metrics` in the answer")
    found = {t["traceID"].rjust(32, "0"): t for t in doc.get("traces", [])}
    want = query["spans"]
    missing, extra = sorted(set(want) - set(found)), sorted(set(found) - set(want))
    report.that(not missing, f"{what}: {len(missing)} of {len(want)} traces are missing: {brief(missing)}")
    report.that(not extra, f"{what}: {len(extra)} traces do not match: {brief(extra)}")
    starts = [int(t.get("startTimeUnixNano", 0)) for t in doc.get("traces", [])]
    report.that(starts == sorted(starts, reverse=True), f"{what}: not newest first")
    for trace_id in sorted(set(want) & set(found)):
        check_found_trace(report, sent.traces[trace_id], found[trace_id], query, f"{what}: trace {trace_id}")


def check_found_trace(report, records, found, query, what):
    root = next(r for r in records.values() if not r["parent"])
    report.same(found.get("rootServiceName"), root["service"], f"{what}: rootServiceName")
    report.same(found.get("rootTraceName"), root["name"], f"{what}: rootTraceName")
    report.same(int(found.get("durationMs", 0)), root["trace_ns"] // 1_000_000, f"{what}: durationMs")
    report.same(int(found.get("startTimeUnixNano", 0)), root["start"], f"{what}: startTimeUnixNano")
    stats = {}
    for r in records.values():
        one = stats.setdefault(r["service"], [0, 0])
        one[0] += 1
        one[1] += r["status"] == "error"
    got = {k: [v.get("spanCount", 0), v.get("errorCount", 0)] for k, v in found.get("serviceStats", {}).items()}
    report.same(got, stats, f"{what}: serviceStats")

    want = query["spans"][root["trace"]]
    sets = found.get("spanSets", [])
    report.same(sum(int(s.get("matched", 0)) for s in sets), len(want), f"{what}: matched")
    spans = {s["spanID"]: s for one in sets for s in one.get("spans", [])}
    if not report.same(sorted(spans), sorted(want), f"{what}: spans"):
        return
    for span_id, span in spans.items():
        record = records[span_id]
        report.same(int(span.get("startTimeUnixNano", 0)), record["start"], f"{what}: start of span {span_id}")
        report.same(int(span.get("durationNanos", 0)), record["end"] - record["start"], f"{what}: duration of span {span_id}")
        attributes = {a["key"]: plain(a.get("value")) for a in span.get("attributes", [])}
        for key in query["select"]:
            report.same(attributes.get(key), typed(record["attributes"][key]), f"{what}: selected {key} of span {span_id}")


# ---------------------------------------------------------------- trace by id
def first_field(body):
    """The bytes of field 1 of a protobuf message: the trace in its envelope."""

    def varint(at):
        value = shift = 0
        while True:
            value |= (body[at] & 0x7F) << shift
            shift += 7
            at += 1
            if body[at - 1] < 0x80:
                return value, at

    at = 0
    while at < len(body):
        key, at = varint(at)
        if key & 7 == 0:
            _, at = varint(at)
            continue
        if key & 7 != 2:
            raise ValueError(f"wire type {key & 7} in the envelope")
        size, at = varint(at)
        if key >> 3 == 1:
            return body[at : at + size]
        at += size
    raise ValueError("no field 1 in the envelope")


def trace_of(version, accept, body):
    if accept == "application/protobuf":
        return TracesData.FromString(first_field(body) if version == "v2" else body)
    doc = json.loads(body)
    doc = {"resourceSpans": doc.get("batches", [])} if version == "v1" else doc.get("trace", {})
    return json_format.ParseDict(doc, TracesData(), ignore_unknown_fields=False)


def any_value(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return ("list", [any_value(v) for v in value.array_value.values])
    if kind == "bytes_value":
        return ("bytes", base64.b64encode(value.bytes_value).decode())
    names = {"string_value": "str", "bool_value": "bool", "int_value": "int", "double_value": "float"}
    return (names.get(kind, kind), getattr(value, kind) if kind else None)


def check_trace(report, server, records, trace_id, version, accept):
    path = f"/api/v2/traces/{trace_id}" if version == "v2" else f"/api/traces/{trace_id}"
    what = f"{path} as {accept.rpartition('/')[2]}"
    status, content_type, body = server.ask(path, accept=accept)
    if not report.that(status == 200, f"{what}: HTTP {status} {brief(body.decode('utf-8', 'replace'))}"):
        return
    report.that(content_type.startswith(accept), f"{what}: content type {content_type!r}")
    try:
        data = trace_of(version, accept, body)
    except Exception as e:  # whatever the decoders throw at a bad body
        report.that(False, f"{what}: cannot be decoded: {type(e).__name__}: {e}")
        return
    got = {}
    count = 0
    for rs in data.resource_spans:
        service = next((a.value.string_value for a in rs.resource.attributes if a.key == "service.name"), "")
        report.that(rs.HasField("resource"), f"{what}: a ResourceSpans without resource")
        for ss in rs.scope_spans:
            report.that(ss.HasField("scope"), f"{what}: a ScopeSpans without scope")
            for span in ss.spans:
                count += 1
                got[span.span_id.hex()] = (service, ss.scope, span)
                report.that(span.HasField("status"), f"{what}: span {span.span_id.hex()} without status")
    report.same(count, len(records), f"{what}: spans")
    if not report.same(sorted(got), sorted(records), f"{what}: span ids"):
        return
    for span_id, (service, scope, span) in got.items():
        check_span(report, records[span_id], service, scope, span, f"{what}: span {span_id}")


def check_span(report, record, service, scope, span, what):
    report.same(span.trace_id.hex(), record["trace"], f"{what}: trace id")
    report.same(span.parent_span_id.hex(), record["parent"], f"{what}: parent")
    report.same(span.name, record["name"], f"{what}: name")
    report.same(service, record["service"], f"{what}: service.name")
    report.that(scope.name.startswith("shop.") and scope.version == "0.9.1", f"{what}: scope {scope.name!r} {scope.version!r}")
    report.same(Span.SpanKind.Name(span.kind), f"SPAN_KIND_{record['kind'].upper()}", f"{what}: kind")
    report.same(span.start_time_unix_nano, record["start"], f"{what}: start")
    report.same(span.end_time_unix_nano, record["end"], f"{what}: end")
    report.same(Status.StatusCode.Name(span.status.code), f"STATUS_CODE_{record['status'].upper()}", f"{what}: status")
    got = {a.key: any_value(a.value) for a in span.attributes}
    report.same(got, {k: typed(v) for k, v in record["attributes"].items()}, f"{what}: attributes")
    report.same(sorted(e.name for e in span.events), sorted(record["events"]), f"{what}: events")
    for event in span.events:
        if event.name == "exception":
            keys = {a.key for a in event.attributes}
            report.that({"exception.type", "exception.message", "retry.left"} <= keys, f"{what}: exception has only {sorted(keys)}")
    report.same([link.trace_id.hex() for link in span.links], record["links"], f"{what}: links")


def check_unknown_trace(report, server):
    status, _, body = server.ask(f"/api/traces/{UNKNOWN_TRACE}")
    report.same(status, 404, "an unknown trace, v1: HTTP status")
    doc = json_of(report, server.ask(f"/api/v2/traces/{UNKNOWN_TRACE}"), "an unknown trace, v2")
    if doc is not None:
        report.that(not doc.get("trace", {}).get("resourceSpans"), f"an unknown trace, v2: {brief(doc)}")
    status, _, _ = server.ask("/api/traces/not-hex")
    report.same(status, 400, "a trace id that is no hex: HTTP status")


# ---------------------------------------------------------------- tags, values, status
def check_tags(report, server, sent):
    doc = json_of(report, server.ask("/api/v2/search/tags", sent.window()), "tags")
    if doc is None:
        return
    scopes = {s["name"]: set(s.get("tags", [])) for s in doc.get("scopes", [])}
    for scope, names in sent.tags.items():
        missing = sorted(names - scopes.get(scope, set()))
        report.that(not missing, f"tags: scope {scope} lacks {missing}")
    extra = sorted(scopes.get("span", set()) - sent.tags["span"])
    report.that(not extra, f"tags: scope span has {extra}, which nobody sent")
    report.that({"duration", "name", "status"} <= scopes.get("intrinsic", set()), "tags: scope intrinsic lacks duration, name or status")


def check_values(report, server, sent):
    for tag, want in sent.values.items():
        path = f"/api/v2/search/tag/{urllib.parse.quote(tag, safe='')}/values"
        doc = json_of(report, server.ask(path, sent.window()), f"values of {tag}")
        if doc is not None:
            got = sorted((v.get("type", ""), v.get("value", "")) for v in doc.get("tagValues", []))
            report.same(got, sorted(want), f"values of {tag}")
    only = {"q": '{ resource.service.name = "auth-service" }', **sent.window()}
    doc = json_of(report, server.ask("/api/v2/search/tag/span.db.table/values", only), "values of span.db.table in auth-service")
    if doc is not None:
        report.same([v.get("value") for v in doc.get("tagValues", [])], ["users"], "values of span.db.table in auth-service")


def check_status(report, server):
    report.same(server.ask("/ready")[0], 200, "/ready")
    report.same(server.ask("/api/echo")[2].strip(), b"echo", "/api/echo")
    doc = json_of(report, server.ask("/api/status/buildinfo"), "/api/status/buildinfo")
    report.that(bool(doc and doc.get("version")), "/api/status/buildinfo: no version")
    status, _, body = server.ask("/metrics", accept="text/plain")
    report.that(status == 200 and b"# TYPE" in body, f"/metrics: HTTP {status}, {len(body)} bytes")
    report.same(server.ask("/api/search", {"q": "{ name > 3 }"})[0], 400, "a query with a type error: HTTP status")


def check_all(report, server, sent):
    check_status(report, server)
    recent = sent.start > time.time() - 14 * 60
    for query in sent.queries.values():
        check_search(report, server, sent, query, sent.window())
        if recent:
            check_search(report, server, sent, query, {})
    for trace_id, records in sent.traces.items():
        for version in ("v1", "v2"):
            for accept in ("application/json", "application/protobuf"):
                check_trace(report, server, records, trace_id, version, accept)
    check_unknown_trace(report, server)
    check_tags(report, server, sent)
    check_values(report, server, sent)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="of the API, such as http://127.0.0.1:3200")
    parser.add_argument("--manifest", action="append", required=True, help="output of shop.py; may be given again")
    parser.add_argument("--tenant", help="sent as X-Scope-OrgID")
    parser.add_argument("--flush", action="store_true", help="check, POST /flush, check again")
    parser.add_argument("--phase", default="now", help="what to call this run in the texts")
    args = parser.parse_args()

    manifests = []
    for path in args.manifest:
        with open(path, encoding="utf-8") as f:
            manifests.append(json.load(f))
    sent = Sent(manifests)
    server = Server(args.url, args.tenant)
    report = Report()

    report.phase = "before /flush" if args.flush else args.phase
    check_all(report, server, sent)
    if args.flush:
        report.phase = "/flush"
        status, _, body = server.ask("/flush", method="POST", seconds=FLUSH_SECONDS)
        report.that(200 <= status < 300, f"HTTP {status} {brief(body.decode('utf-8', 'replace'))}")
        report.phase = "after /flush"
        check_all(report, server, sent)

    for text in report.wrong[:60]:
        print(f"WRONG {text}")
    if len(report.wrong) > 60:
        print(f"… and {len(report.wrong) - 60} more")
    print(f"{len(sent.traces)} traces, {report.checks - len(report.wrong)} checks passed, {len(report.wrong)} failed")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
