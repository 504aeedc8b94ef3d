#!/usr/bin/env python3
"""Writes the payloads under tests/jaeger and tests/zipkin: the same spans in each format that Jaeger's and Zipkin's senders speak.

Encoded by hand from the published schemas, so that the server's own decoders are not their own witnesses. Each payload has a trace
id of its own, and all say what tests/receivers.rs expects. Run it from anywhere; it needs nothing but Python.
"""

import json
import pathlib
import struct

TESTS = pathlib.Path(__file__).resolve().parent.parent
START = 1_700_000_000_000_000  # microseconds

# ---------------------------------------------------------------- Thrift
# A value is (type, value); a struct is {field: value}; a list is (element type, [values]).

BOOL, DOUBLE, I16, I32, I64, TEXT, STRUCT, LIST = "bool double i16 i32 i64 text struct list".split()
BINARY_TYPES = {BOOL: 2, DOUBLE: 4, I16: 6, I32: 8, I64: 10, TEXT: 11, STRUCT: 12, LIST: 15}
COMPACT_TYPES = {BOOL: 1, I16: 4, I32: 5, I64: 6, DOUBLE: 7, TEXT: 8, LIST: 9, STRUCT: 12}


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def zigzag(n):
    return varint((n << 1) ^ (n >> 63) if n >= 0 else ((-n) << 1) - 1)


def raw(value):
    return value if isinstance(value, bytes) else value.encode()


def signed(n):
    return n - (1 << 64) if n >= 1 << 63 else n


def binary(kind, value):
    if kind == BOOL:
        return bytes([value])
    if kind == DOUBLE:
        return struct.pack(">d", value)
    if kind in (I16, I32, I64):
        return struct.pack({I16: ">h", I32: ">i", I64: ">q"}[kind], signed(value))
    if kind == TEXT:
        return struct.pack(">i", len(raw(value))) + raw(value)
    if kind == LIST:
        of, items = value
        return struct.pack(">bi", BINARY_TYPES[of], len(items)) + b"".join(binary(of, i) for i in items)
    return b"".join(struct.pack(">bh", BINARY_TYPES[k], f) + binary(k, v) for f, (k, v) in value.items()) + b"\0"


def compact(kind, value):
    if kind == BOOL:
        return bytes([1 if value else 2])
    if kind == DOUBLE:
        return struct.pack("<d", value)
    if kind in (I16, I32, I64):
        return zigzag(signed(value))
    if kind == TEXT:
        return varint(len(raw(value))) + raw(value)
    if kind == LIST:
        of, items = value
        count = len(items)
        head = bytes([count << 4 | COMPACT_TYPES[of]]) if count < 15 else bytes([0xF0 | COMPACT_TYPES[of]]) + varint(count)
        return head + b"".join(compact(of, i) for i in items)
    out, before = b"", 0
    for field, (k, v) in value.items():
        number = (1 if v else 2) if k == BOOL else COMPACT_TYPES[k]
        delta = field - before
        out += bytes([delta << 4 | number]) if 0 < delta < 16 else bytes([number]) + zigzag(field)
        out += b"" if k == BOOL else compact(k, v)
        before = field
    return out + b"\0"


def structs(items):
    return (LIST, (STRUCT, items))


# ---------------------------------------------------------------- protobuf


def field(number, value):
    if isinstance(value, bool) or isinstance(value, int):
        return varint(number << 3) + varint(value & (1 << 64) - 1)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    return varint(number << 3 | 2) + varint(len(raw(value))) + raw(value)


def fixed64(number, value):
    return varint(number << 3 | 1) + struct.pack("<Q", value)


def message(*fields):
    return b"".join(field(number, value) for number, value in fields)


# ---------------------------------------------------------------- Jaeger

PROCESS = ("shop", [("hostname", "h1"), ("ip", "10.0.0.1"), ("jaeger.version", "Go-2.30"), ("pid", 42)])
ROOT_TAGS = [
    ("span.kind", "server"),
    ("http.status_code", 200),
    ("ratio", 0.5),
    ("cached", True),
    ("blob", b"\0\xff"),
    ("otel.library.name", "lib"),
    ("otel.library.version", "1.2"),
    ("w3c.tracestate", "k=v"),
    ("internal.span.format", "proto"),
]
ROOT_LOGS = [(10, [("event", "cache miss"), ("key", "k")]), (20, [("message", "no name")])]
CHILD_TAGS = [("span.kind", "client"), ("error", True), ("otel.status_description", "gone")]


def thrift_tag(key, value):
    kinds = {str: (0, 3, TEXT), float: (1, 4, DOUBLE), bool: (2, 5, BOOL), int: (3, 6, I64), bytes: (4, 7, TEXT)}
    number, at, kind = kinds[type(value)]
    return {1: (TEXT, key), 2: (I32, number), at: (kind, value)}


def thrift_tags(tags):
    return structs([thrift_tag(*tag) for tag in tags])


def thrift_batch(low):
    logs = [{1: (I64, START + at), 2: thrift_tags(fields)} for at, fields in ROOT_LOGS]
    root = {
        1: (I64, low), 2: (I64, 0x11), 3: (I64, 1), 4: (I64, 0), 5: (TEXT, "GET /cart"), 7: (I32, 1),
        8: (I64, START), 9: (I64, 2500), 10: thrift_tags(ROOT_TAGS), 11: structs(logs),
    }
    references = [
        {1: (I32, 0), 2: (I64, low), 3: (I64, 0x11), 4: (I64, 1)},
        {1: (I32, 1), 2: (I64, 0x99), 3: (I64, 0), 4: (I64, 0x8877665544332211)},
    ]
    child = {
        1: (I64, low), 2: (I64, 0x11), 3: (I64, 2), 4: (I64, 1), 5: (TEXT, "redis"), 6: structs(references),
        7: (I32, 0), 8: (I64, START + 100), 9: (I64, 1000), 10: thrift_tags(CHILD_TAGS),
    }
    process = {1: (TEXT, PROCESS[0]), 2: thrift_tags(PROCESS[1])}
    return {1: (STRUCT, process), 2: structs([root, child]), 3: (I64, 7)}


def proto_tag(key, value):
    number, at = {str: (0, 3), bool: (1, 4), int: (2, 5), float: (3, 6), bytes: (4, 7)}[type(value)]
    return message((1, key), (2, number), (at, value))


def proto_time(micros):
    return message((1, micros // 1_000_000), (2, micros % 1_000_000 * 1000))


def post_spans(low):
    trace = struct.pack(">QQ", 0x11, low)
    span_id = lambda number: struct.pack(">Q", number)
    logs = [message((1, proto_time(START + at)), *[(2, proto_tag(*tag)) for tag in fields]) for at, fields in ROOT_LOGS]
    root = message(
        (1, trace), (2, span_id(1)), (3, "GET /cart"), (5, 1), (6, proto_time(START)), (7, proto_time(2500)),
        *[(8, proto_tag(*tag)) for tag in ROOT_TAGS], *[(9, log) for log in logs],
    )
    references = [
        message((1, trace), (2, span_id(1))),
        message((1, struct.pack(">QQ", 0, 0x99)), (2, span_id(0x8877665544332211)), (3, 1)),
    ]
    child = message(
        (1, trace), (2, span_id(2)), (3, "redis"), *[(4, reference) for reference in references],
        (6, proto_time(START + 100)), (7, proto_time(1000)), *[(8, proto_tag(*tag)) for tag in CHILD_TAGS],
        (12, "clock skew"),
    )
    process = message((1, PROCESS[0]), *[(2, proto_tag(*tag)) for tag in PROCESS[1]])
    return message((1, message((1, root), (1, child), (2, process))))


# ---------------------------------------------------------------- Zipkin

LOCAL = {"serviceName": "shop", "ipv4": "10.0.0.1", "port": 40000}
REMOTE = {"serviceName": "redis", "ipv4": "10.0.0.2", "ipv6": "2001:db8::2", "port": 6379}
TAGS = {"http.path": "/cart", "error": "gone"}


def zipkin_2(trace):
    common = {"traceId": trace, "localEndpoint": LOCAL}
    root = common | {
        "id": "0000000000000001", "kind": "SERVER", "name": "get /cart", "timestamp": START, "duration": 2500,
        "annotations": [{"timestamp": START + 10, "value": "cache miss"}], "debug": True, "shared": True,
    }
    child = common | {
        "id": "2", "parentId": "0000000000000001", "kind": "CLIENT", "name": "get", "timestamp": START + 100,
        "duration": 1000, "remoteEndpoint": REMOTE, "tags": TAGS,
    }
    return [root, child]


def proto_endpoint(endpoint):
    fields = [(1, endpoint["serviceName"]), (2, bytes(int(part) for part in endpoint["ipv4"].split(".")))]
    if "ipv6" in endpoint:
        fields.append((3, bytes.fromhex("20010db8" + "0" * 23 + "2")))
    return message(*fields, (4, endpoint["port"]))


def zipkin_proto(trace):
    spans = b""
    for span in zipkin_2(trace):
        fields = [(1, bytes.fromhex(trace)), (3, struct.pack(">Q", int(span["id"], 16)))]
        if "parentId" in span:
            fields.append((2, bytes.fromhex(span["parentId"])))
        fields += [(4, {"CLIENT": 1, "SERVER": 2}[span["kind"]]), (5, span["name"]), (7, span["duration"])]
        fields.append((8, proto_endpoint(span["localEndpoint"])))
        if "remoteEndpoint" in span:
            fields.append((9, proto_endpoint(span["remoteEndpoint"])))
        for note in span.get("annotations", []):
            fields.append((10, fixed64(1, note["timestamp"]) + message((2, note["value"]))))
        fields += [(11, message((1, key), (2, value))) for key, value in span.get("tags", {}).items()]
        fields += [(12, True)] * span.get("debug", False) + [(13, True)] * span.get("shared", False)
        spans += field(1, message(*fields) + fixed64(6, span["timestamp"]))
    return spans


def zipkin_1(trace):
    note = lambda at, value: {"timestamp": START + at, "value": value, "endpoint": LOCAL}
    tag = lambda key, value, endpoint=LOCAL: {"key": key, "value": value, "endpoint": endpoint}
    root = {
        "traceId": trace, "id": "0000000000000001", "name": "get /cart", "timestamp": START, "duration": 2500,
        "debug": True, "annotations": [note(0, "sr"), note(10, "cache miss"), note(2500, "ss")],
    }
    child = {
        "traceId": trace, "id": "0000000000000002", "parentId": "0000000000000001", "name": "get",
        "annotations": [note(100, "cs"), note(1100, "cr")],
        "binaryAnnotations": [tag(key, value) for key, value in TAGS.items()] + [tag("sa", True, REMOTE)],
    }
    return [root, child]


def thrift_endpoint(endpoint):
    ipv4 = int.from_bytes(bytes(int(part) for part in endpoint["ipv4"].split(".")), "big")
    port = endpoint["port"]
    fields = {1: (I32, ipv4), 2: (I16, port - (1 << 16) if port >= 1 << 15 else port), 3: (TEXT, endpoint["serviceName"])}
    if "ipv6" in endpoint:
        fields[4] = (TEXT, bytes.fromhex("20010db8" + "0" * 23 + "2"))
    return (STRUCT, fields)


def zipkin_thrift(trace):
    spans = []
    for span in zipkin_1(trace):
        fields = {1: (I64, int(trace[16:], 16)), 3: (TEXT, span["name"]), 4: (I64, int(span["id"], 16))}
        if "parentId" in span:
            fields[5] = (I64, int(span["parentId"], 16))
        fields[6] = structs([
            {1: (I64, note["timestamp"]), 2: (TEXT, note["value"]), 3: thrift_endpoint(note["endpoint"])}
            for note in span["annotations"]
        ])
        fields[8] = structs([
            {1: (TEXT, tag["key"]), 2: (TEXT, b"\1" if tag["value"] is True else tag["value"]),
             3: (I32, 0 if tag["value"] is True else 6), 4: thrift_endpoint(tag["endpoint"])}
            for tag in span.get("binaryAnnotations", [])
        ])
        fields[9] = (BOOL, span.get("debug", False))
        if "timestamp" in span:
            fields |= {10: (I64, span["timestamp"]), 11: (I64, span["duration"])}
        fields[12] = (I64, int(trace[:16], 16))
        spans.append(fields)
    return binary(LIST, (STRUCT, spans))


# ---------------------------------------------------------------- files


def write(name, content):
    (TESTS / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content, indent=1).encode() + b"\n")


def main():
    method = b"emitBatch"
    call = lambda low: {1: (STRUCT, thrift_batch(low))}
    write("jaeger/batch.thrift", binary(STRUCT, thrift_batch(0x22)))
    write("jaeger/post_spans.pb", post_spans(0x23))
    write("jaeger/compact.packet", b"\x82\x81\x07" + varint(len(method)) + method + compact(STRUCT, call(0x24)))
    head = struct.pack(">I", 0x80010004) + binary(TEXT, method) + struct.pack(">i", 7)
    write("jaeger/binary.packet", head + binary(STRUCT, call(0x25)))
    trace = lambda low: f"{0x11:016x}{low:016x}"
    write("zipkin/version_2.json", zipkin_2(trace(0x32)))
    write("zipkin/version_2.pb", zipkin_proto(trace(0x33)))
    write("zipkin/version_1.json", zipkin_1(trace(0x34)))
    write("zipkin/version_1.thrift", zipkin_thrift(trace(0x35)))


main()
