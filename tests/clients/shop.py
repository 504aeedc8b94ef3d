#!/usr/bin/env python3
"""Plays a small shop with the OpenTelemetry SDK and prints, as JSON, what it sent and what queries must find.

Every service has its own TracerProvider and resource, as if it were a process of its own; the exporter is the
SDK's, over gRPC or HTTP. Times are given, not slept, so a span may last a second and the script does not.
"""

import argparse
import json
import secrets
import sys
import time
import urllib.parse

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

MS = 1_000_000
S = 1_000 * MS
EXPORT_SECONDS = 20

RESOURCES = {
    "api-gateway": {"host.name": "edge-1", "service.replicas": 3, "service.beta": False},
    "auth-service": {"host.name": "core-1", "service.replicas": 2, "service.beta": True},
    "task-service": {"host.name": "core-2", "service.replicas": 5, "service.cpu_limit": 1.5},
}
SCOPES = {"api-gateway": "shop.http", "auth-service": "shop.auth", "task-service": "shop.tasks"}

SELECT_TASKS = "SELECT id, title FROM tasks WHERE owner = $1 ORDER BY created_at"
SELECT_USERS = 'SELECT * FROM users WHERE email = $1 -- "näme", \\ and 値'
DELETE_TASKS = "DELETE FROM tasks WHERE done AND updated_at < $1"


class Watched(SpanExporter):
    """The SDK's exporter, with its result kept: the SDK itself only logs a refused batch."""

    def __init__(self, exporter):
        self.exporter = exporter
        self.sent = 0
        self.refused = 0

    def export(self, spans):
        result = self.exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.sent += len(spans)
        else:
            self.refused += len(spans)
        return result

    def shutdown(self):
        self.exporter.shutdown()

    def force_flush(self, timeout_millis=30_000):
        return self.exporter.force_flush(timeout_millis)


def new_exporter(kind, endpoint, tenant):
    headers = {"x-scope-orgid": tenant} if tenant else {}
    if kind == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(
            endpoint=urllib.parse.urlsplit(endpoint).netloc or endpoint,
            insecure=True,
            headers=tuple(headers.items()),
            timeout=EXPORT_SECONDS,
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    url = endpoint if "://" in endpoint else f"http://{endpoint}"
    return OTLPSpanExporter(endpoint=url.rstrip("/") + "/v1/traces", headers=headers, timeout=EXPORT_SECONDS)


class Node:
    """One span to be: when it begins after its parent, how long it lasts, what is under it."""

    def __init__(self, service, name, after, lasts, kind=SpanKind.INTERNAL, attributes=None, error=None, children=()):
        self.service = service
        self.name = name
        self.after = after
        self.lasts = lasts
        self.kind = kind
        self.attributes = attributes or {}
        self.error = error
        self.children = children


class Shop:
    def __init__(self, new):
        self.exporters = {}
        self.providers = {}
        self.tracers = {}
        self.records = []
        for service, extra in RESOURCES.items():
            resource = Resource.create({"service.name": service, "service.version": "1.4.2", **extra})
            provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            exporter = Watched(new())
            provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=60_000))
            self.exporters[service] = exporter
            self.providers[service] = provider
            self.tracers[service] = provider.get_tracer(SCOPES[service], "0.9.1")

    def play(self, root, start_ns, links=()):
        """Sends one trace; returns the context of its root, for links to it."""
        root_record = {"service": root.service, "name": root.name, "lasts": root.lasts}
        return self._play(root, start_ns, trace.set_span_in_context(trace.INVALID_SPAN), None, root_record, links)

    def _play(self, node, start_ns, context, parent, root, links=()):
        end_ns = start_ns + node.lasts
        span = self.tracers[node.service].start_span(
            node.name, context=context, kind=node.kind, attributes=node.attributes, links=links, start_time=start_ns
        )
        if node.error:
            span.record_exception(node.error, attributes={"retry.left": 0}, timestamp=end_ns - 1)
            span.set_status(Status(StatusCode.ERROR, str(node.error)))
        if node.service == "auth-service" and node.kind is SpanKind.SERVER:
            span.add_event("token.checked", {"token.age_s": 12.5, "token.cached": False}, timestamp=start_ns + MS)
        here = span.get_span_context()
        for child in node.children:
            self._play(child, start_ns + child.after, trace.set_span_in_context(span), here.span_id, root)
        span.end(end_time=end_ns)
        self.records.append(
            {
                "trace": f"{here.trace_id:032x}",
                "span": f"{here.span_id:016x}",
                "parent": f"{parent:016x}" if parent else "",
                "service": node.service,
                "name": node.name,
                "kind": node.kind.name.lower(),
                "start": start_ns,
                "end": end_ns,
                "status": "error" if node.error else "unset",
                "attributes": {k: list(v) if isinstance(v, tuple) else v for k, v in node.attributes.items()},
                "events": [e.name for e in span.events],
                "links": [f"{link.context.trace_id:032x}" for link in links],
                "root_service": root["service"],
                "root_name": root["name"],
                "trace_ns": root["lasts"],
            }
        )
        return here

    def finish(self):
        """Sends what waits. Returns how many spans were acknowledged and how many were refused."""
        for provider in self.providers.values():
            provider.force_flush(2 * EXPORT_SECONDS * 1000)
            provider.shutdown()
        exporters = self.exporters.values()
        return sum(e.sent for e in exporters), sum(e.refused for e in exporters)


def query(table, lasts, after=2 * MS, text=SELECT_TASKS, service="task-service"):
    attributes = {"db.table": table, "db.query": text, "db.system": "postgresql", "db.rows": lasts // MS, "db.prepared": True}
    return Node(service, "db:query", after, lasts, SpanKind.CLIENT, attributes)


def cache(hit, after=MS, service="task-service"):
    return Node(service, "cache:get", after, 400_000, SpanKind.CLIENT, {"cache.hit": hit, "cache.ttl_s": 300.5, "cache.key": ""})


def serialize(after, lasts=3 * MS):
    attributes = {
        "serialize.format": "json",
        "serialize.bytes": 2**63 - 1,
        "serialize.ratio": -0.25,
        "serialize.fields": ("id", "title", "größe"),
        "serialize.sizes": (1, 2, 3),
        "serialize.weights": (0.5, 1.5),
        "serialize.flags": (True, False),
    }
    return Node("task-service", "serialize", after, lasts, attributes=attributes)


def request(tasks, users=None, status=200, hit=False, lasts=400 * MS, error=None):
    """A request: gateway, then auth, then tasks. `tasks` and `users` are how long the two queries last."""
    http = {"http.request.method": "GET", "http.route": "/tasks", "http.response.status_code": status}
    auth_parts = [cache(users is None, service="auth-service")]
    if users is not None:
        auth_parts.append(query("users", users, text=SELECT_USERS, service="auth-service"))
    auth_lasts = (users or 0) + 5 * MS
    auth = Node(
        "auth-service", "verify", 2 * MS, auth_lasts, SpanKind.SERVER, {"user.role": "owner"}, error if status == 401 else None, auth_parts
    )
    parts = [auth]
    if status != 401:
        inside = [cache(hit), *([] if hit else [query("tasks", tasks)]), serialize((0 if hit else tasks) + 3 * MS)]
        task_lasts = (0 if hit else tasks) + 8 * MS
        failed = error if status >= 500 else None
        parts.append(Node("task-service", "list tasks", auth_lasts + 3 * MS, task_lasts, SpanKind.SERVER, dict(http), failed, inside))
    return Node("api-gateway", "GET /tasks", 0, lasts, SpanKind.SERVER, http, children=parts)


def job(lasts, *parts):
    """A scheduled job: the task service is the root."""
    return Node("task-service", "nightly cleanup", 0, lasts, SpanKind.INTERNAL, {"job.attempt": 1, "job.dry_run": False}, children=parts)


def play_the_day(shop, begin):
    """Around the border of 100 ms on purpose: one nanosecond less, exactly, one more."""
    timeout = TimeoutError("no answer from the pool after 350 ms")
    denied = PermissionError("token expired")
    requests = [
        request(tasks=20 * MS),
        request(tasks=140 * MS),
        request(tasks=100 * MS),
        request(tasks=100 * MS + 1),
        request(tasks=100 * MS - 1, users=180 * MS),
        request(tasks=250 * MS, users=30 * MS, lasts=900 * MS),
        request(tasks=350 * MS, status=503, error=timeout),
        request(tasks=0, status=401, error=denied),
        request(tasks=0, hit=True),
    ]
    contexts = [shop.play(root, begin + n * 7 * S) for n, root in enumerate(requests)]
    jobs = [
        job(300 * MS, query("tasks", 220 * MS, text=DELETE_TASKS)),
        job(90 * MS, query("tasks", 40 * MS, text=DELETE_TASKS)),
        job(260 * MS, query("users", 160 * MS, text=SELECT_USERS)),
        job(500 * MS, query("tasks", 30 * MS), serialize(50 * MS, lasts=400 * MS)),
        job(800 * MS, query("tasks", 120 * MS), query("users", 130 * MS, after=200 * MS), query("tasks", 100 * MS, after=400 * MS)),
    ]
    for n, root in enumerate(jobs):
        links = [Link(contexts[n], {"link.reason": "scheduled by"})] if n < 2 else []
        shop.play(root, begin + 90 * S + n * 11 * S, links)


def expected(records):
    """Queries with what they must find, decided by plain Python over what was sent."""
    cases = []

    def case(name, text, test, select=()):
        found = {}
        for r in records:
            if test(r):
                found.setdefault(r["trace"], []).append(r["span"])
        cases.append({"name": name, "q": text, "select": list(select), "spans": {t: sorted(s) for t, s in found.items()}})

    def at(r, key):
        return r["attributes"].get(key)

    def lasts(r):
        return r["end"] - r["start"]

    case(
        "slow queries on the tasks table",
        '{ span.db.table = "tasks" && duration > 100ms } | select(span.db.query, rootName, traceDuration)',
        lambda r: at(r, "db.table") == "tasks" and lasts(r) > 100 * MS,
        ["db.query"],
    )
    case(
        "traces whose db.query took over 100 ms and whose root service is task-service",
        '{ name = "db:query" && duration > 100ms && trace:rootService = "task-service" }',
        lambda r: r["name"] == "db:query" and lasts(r) > 100 * MS and r["root_service"] == "task-service",
    )
    case("all", "{}", lambda r: True)
    case("failed in auth", '{ resource.service.name = "auth-service" && status = error }', lambda r: r["service"] == "auth-service" and r["status"] == "error")
    case("an exception", '{ event.exception.type = "TimeoutError" }', lambda r: r["status"] == "error" and r["service"] == "task-service")
    case("an int", "{ span.http.response.status_code >= 500 }", lambda r: (at(r, "http.response.status_code") or 0) >= 500)
    case("a double", "{ span.serialize.ratio < 0.0 }", lambda r: r["name"] == "serialize")
    case("a bool", "{ span.cache.hit = true }", lambda r: at(r, "cache.hit") is True)
    case("the largest int", "{ span.serialize.bytes = 9223372036854775807 }", lambda r: r["name"] == "serialize")
    case("one of an array", '{ span.serialize.fields = "größe" }', lambda r: r["name"] == "serialize")
    case("an empty string", '{ span.cache.key = "" }', lambda r: r["name"] == "cache:get")
    case("exactly 100 ms", "{ duration = 100ms }", lambda r: lasts(r) == 100 * MS)
    case("a link", '{ link.link.reason = "scheduled by" }', lambda r: bool(r["links"]))
    case("roots", "{ nestedSetParent < 0 }", lambda r: not r["parent"])
    case("nothing", '{ span.db.table = "tasks" && span.db.table = "users" }', lambda r: False)

    below_gateway = {r["trace"] for r in records if r["service"] == "api-gateway"}
    case(
        "slow queries below the gateway",
        '{ resource.service.name = "api-gateway" } >> { name = "db:query" && duration > 100ms }',
        lambda r: r["trace"] in below_gateway and r["name"] == "db:query" and lasts(r) > 100 * MS,
    )
    return cases


def tags_and_values(records):
    kinds = {str: "string", bool: "bool", int: "int", float: "float"}
    values = {}
    for r in records:
        for key in ("db.table", "db.query", "http.response.status_code", "cache.hit", "cache.ttl_s", "job.attempt"):
            if key in r["attributes"]:
                v = r["attributes"][key]
                text = str(v).lower() if isinstance(v, bool) else str(v)
                values.setdefault(f"span.{key}", set()).add((kinds[type(v)], text))
        values.setdefault("resource.service.name", set()).add(("string", r["service"]))
        values.setdefault("name", set()).add(("string", r["name"]))
        values.setdefault("rootServiceName", set()).add(("string", r["root_service"]))
    tags = {
        "span": sorted({key for r in records for key in r["attributes"]}),
        "resource": sorted({"service.name", "service.version"} | {key for extra in RESOURCES.values() for key in extra}),
        "event": sorted(["exception.type", "exception.message", "exception.stacktrace", "retry.left", "token.age_s", "token.cached"]),
        "link": ["link.reason"],
    }
    return tags, {key: sorted(map(list, found)) for key, found in values.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exporter", choices=["grpc", "http"], required=True)
    parser.add_argument("--endpoint", required=True, help="host:port, or http://host:port")
    parser.add_argument("--tenant", help="sent as X-Scope-OrgID")
    parser.add_argument("--minutes-ago", type=float, default=5, help="when the first span began (default: %(default)s)")
    args = parser.parse_args()

    shop = Shop(lambda: new_exporter(args.exporter, args.endpoint, args.tenant))
    begin = time.time_ns() - int(args.minutes_ago * 60 * S) + secrets.randbelow(MS)
    play_the_day(shop, begin)
    sent, refused = shop.finish()
    if refused or sent != len(shop.records):
        print(f"{sent} of {len(shop.records)} spans acknowledged, {refused} refused", file=sys.stderr)
        return 1

    records = shop.records
    tags, values = tags_and_values(records)
    manifest = {
        "exporter": args.exporter,
        "start": min(r["start"] for r in records) // S,
        "end": max(r["end"] for r in records) // S + 1,
        "spans": records,
        "queries": expected(records),
        "tags": tags,
        "values": values,
    }
    json.dump(manifest, sys.stdout, ensure_ascii=False, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
