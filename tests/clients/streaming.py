#!/usr/bin/env python3
"""Asks tempopb.StreamingQuerier with classes that grpcio made of the .proto files, and compares with the HTTP API.

What was sent by shop.py must be there: each question is asked on both ports, its last message compared with the HTTP answer.
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import grpc
from google.protobuf import json_format
from grpc_tools import protoc

PROTOS = ["tempopb/common.proto", "tempopb/tempo.proto"]


def compiled(folder):
    """The messages and stubs of the .proto files."""
    out = tempfile.mkdtemp(prefix="vivace-protos-")
    code = protoc.main(["protoc", f"-I{folder}", f"--python_out={out}", f"--grpc_python_out={out}", *PROTOS])
    if code != 0:
        raise SystemExit(f"protoc ended with {code}")
    sys.path.insert(0, out)
    return importlib.import_module("tempopb.tempo_pb2"), importlib.import_module("tempopb.tempo_pb2_grpc")


def http(url, path, params):
    query = urllib.parse.urlencode({name: value for name, value in params.items() if value})
    with urllib.request.urlopen(f"{url}{path}?{query}", timeout=30) as answer:
        return json.load(answer)


def plain(answer):
    """Without what is empty, and without the costs, which differ with what is cached."""
    if isinstance(answer, dict):
        kept = {name: plain(value) for name, value in answer.items()}
        return {name: value for name, value in kept.items() if value not in ([], {}, "")}
    if isinstance(answer, list):
        return [plain(value) for value in answer]
    return float(answer) if isinstance(answer, int) and not isinstance(answer, bool) else answer


def questions(pb, start, end):
    ns = 1_000_000_000
    window = {"start": start, "end": end}
    for query in ["{}", "{ status = error }", '{ resource.service.name = "task-service" } | count() > 1',
                  "{ kind = server } >> { kind = client }", '{ name = "no such name" }']:
        yield ("Search", pb.SearchRequest(Query=query, Limit=50, SpansPerSpanSet=5, **window),
               "/api/search", {"q": query, "limit": 50, "spss": 5, **window})
    for scope in ["", "resource", "span", "event", "intrinsic"]:
        request = pb.SearchTagsRequest(scope=scope, **window)
        yield "SearchTagsV2", request, "/api/v2/search/tags", {"scope": scope, **window}
        yield "SearchTags", request, "/api/search/tags", {"scope": scope, **window}
    for tag in ["resource.service.name", "span:status", "name", "span.http.request.method"]:
        yield ("SearchTagValuesV2", pb.SearchTagValuesRequest(tagName=tag, **window),
               f"/api/v2/search/tag/{tag}/values", window)
    yield ("SearchTagValues", pb.SearchTagValuesRequest(tagName="service.name", **window),
           "/api/search/tag/service.name/values", window)
    for query in ["{} | rate()", "{} | count_over_time() by (resource.service.name)",
                  "{} | quantile_over_time(duration, 0.5, 0.9)", "{} | compare({ status = error })"]:
        yield ("MetricsQueryRange", pb.QueryRangeRequest(query=query, start=start * ns, end=end * ns, step=60 * ns),
               "/api/metrics/query_range", {"q": query, "step": "60s", **window})
        yield ("MetricsQueryInstant", pb.QueryInstantRequest(query=query, start=start * ns, end=end * ns),
               "/api/metrics/query", {"q": query, **window})


def compare(stub, url, pb, window):
    wrong, asked, found = [], 0, 0
    for method, request, path, params in questions(pb, *window):
        messages = list(getattr(stub, method)(request, timeout=60))
        asked += 1
        if not all(message.HasField("metrics") for message in messages) or not messages:
            wrong.append(f"{method}: no messages, or one without metrics")
            continue
        called = json_format.MessageToDict(messages[-1])
        answered = http(url, path, params)
        for answer in (called, answered):
            answer.pop("metrics", None)
        found += any(called.values())
        if plain(called) != plain(answered):
            wrong.append(f"{method} {params}:\n  by gRPC   {plain(called)}\n  over HTTP {plain(answered)}")
    for query, code in [("{", grpc.StatusCode.INVALID_ARGUMENT), ("{} | rate(", grpc.StatusCode.INVALID_ARGUMENT)]:
        try:
            list(stub.Search(pb.SearchRequest(Query=query), timeout=60))
            wrong.append(f"{query!r} is answered")
        except grpc.RpcError as error:
            if error.code() != code:
                wrong.append(f"{query!r}: {error.code()}, not {code}")
    # Grafana's "Save & test" with streaming on: one message or an end is success.
    now = int(time.time())
    next(iter(stub.Search(pb.SearchRequest(Query="{}", start=now - 900, end=now, Limit=1), timeout=60)), None)
    return wrong, asked, found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="of the API, such as http://127.0.0.1:3200")
    parser.add_argument("--grpc", required=True, help="address of the gRPC port, such as 127.0.0.1:9095")
    parser.add_argument("--protos", default=os.path.join(os.path.dirname(__file__), "../../proto"))
    arguments = parser.parse_args()
    pb, pb_grpc = compiled(arguments.protos)
    now = int(time.time())
    wrong, asked, found = [], 0, 0
    for address in (urllib.parse.urlparse(arguments.url).netloc, arguments.grpc):
        with grpc.insecure_channel(address) as channel:
            differs, more, there = compare(pb_grpc.StreamingQuerierStub(channel), arguments.url, pb, (now - 3600, now + 60))
        wrong += [f"{address}: {text}" for text in differs]
        asked, found = asked + more, found + there
    print("\n".join(wrong), file=sys.stderr)
    print(f"{asked} questions on two ports, {found} with an answer that is not empty, {len(wrong)} differences")
    sys.exit(1 if wrong or found < asked // 2 else 0)


if __name__ == "__main__":
    main()
