#!/usr/bin/env python3
"""What the same question costs when there is 10 and 40 times as much that does not match, and when 1 % of traces are split.

    cargo build --release --bin vivace --example load
    benches/scale.py --bin target/release/vivace --load target/release/examples/load --spans 470000

Starts the server on loopback with data in a folder of its own, sends the traces of the load generator in rounds, stores them,
and asks each question several times over all of the time. A round is an hour: the first is the last one, the others lie before it. One trace of the
first round is a needle: its attribute, its service and its id are nowhere else. Blocks stay as they are cut. CPU is that of the server process; bytes are what the answers say of themselves. Only the standard library
is needed.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

NEEDLE = "5ca1e000000000000000000000000001"
ROUNDS = [1, 10, 40]
ASKED = 10


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Server:
    def __init__(self, binary, folder):
        http, grpc, otlp_grpc, otlp_http = free_ports(4)
        self.api = f"http://127.0.0.1:{http}"
        self.otlp = f"http://127.0.0.1:{otlp_http}"
        config = os.path.join(folder, "tempo.yaml")
        with open(config, "w") as file:
            json.dump({
                "server": {"http_listen_address": "127.0.0.1", "http_listen_port": http,
                           "grpc_listen_address": "127.0.0.1", "grpc_listen_port": grpc},
                "distributor": {"receivers": {"otlp": {"protocols": {
                    "grpc": {"endpoint": f"127.0.0.1:{otlp_grpc}"}, "http": {"endpoint": f"127.0.0.1:{otlp_http}"}}}}},
                "compactor": {"disabled": True},
                "query_frontend": {"metrics": {"max_duration": "0s"}},
                "storage": {"trace": {"backend": "local", "local": {"path": f"{folder}/data"},
                                      "wal": {"path": f"{folder}/wal"}}},
            }, file)
        self.process = subprocess.Popen([binary, f"-config.file={config}"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                urllib.request.urlopen(self.api + "/ready", timeout=2).read()
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the server is not ready after 20 s")

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def get(self, path, **params):
        url = self.api + path + ("?" + urllib.parse.urlencode(params) if params else "")
        with urllib.request.urlopen(url, timeout=120) as answer:
            return answer.read(), answer.headers

    def flush(self):
        urllib.request.urlopen(urllib.request.Request(self.api + "/flush", method="POST"), timeout=600).read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def send_needle(server, at):
    span = {"traceId": NEEDLE, "spanId": "5ca1e00000000001", "name": "needle", "kind": 2,
            "startTimeUnixNano": str(at), "endTimeUnixNano": str(at + 1_000_000),
            "attributes": [{"key": "app.request.id", "value": {"stringValue": "needle"}}]}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "needle-service"}}]}
    body = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}).encode()
    request = urllib.request.Request(server.otlp + "/v1/traces", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=30).read()


def questions(window):
    search = lambda query: ("/api/search", {"q": query, "limit": 20, **window})
    series = lambda query: ("/api/metrics/query_range", {"q": query, "step": "60s", **window})
    return {
        "needle": search('{ span.app.request.id = "needle" }'),
        "rare service": search('{ resource.service.name = "needle-service" }'),
        "newest 20": search("{}"),
        "trace by id": (f"/api/v2/traces/{NEEDLE}", {}),
        "errors": search("{ status = error }"),
        "structure": search('{ resource.service.name = "frontend" } >> { resource.service.name = "payment" && duration > 300ms }'),
        "rate by service": series("{} | rate() by (resource.service.name)"),
        "tag values": ("/api/v2/search/tag/span.http.route/values", window),
    }


def ask(server, window):
    """CPU milliseconds and bytes by question, of one of several times asked; the first time is not counted."""
    costs = {}
    for name, (path, params) in questions(window).items():
        server.get(path, **params)
        begun = server.cpu()
        for _ in range(ASKED):
            body, headers = server.get(path, **params)
        cpu = (server.cpu() - begun) / ASKED * 1000
        if name in ("needle", "rare service", "trace by id") and b"needle" not in body:
            raise SystemExit(f"{name}: not found")
        costs[name] = (cpu, int(headers.get("x-vivace-inspected-bytes", 0)))
    return costs


def load(arguments, server, rounds, done=0, late=0):
    traces = arguments.spans * rounds // 9
    subprocess.run([arguments.load, "--endpoint", server.otlp, "--traces", str(traces), "--past", str(3600 * rounds),
                    "--ago", str(3600 * done), "--late", str(late)], check=True, stderr=subprocess.DEVNULL)
    server.flush()


def grown(arguments):
    folder = tempfile.mkdtemp(prefix="vivace-scale-")
    server = Server(arguments.bin, folder)
    try:
        begun = time.time()
        send_needle(server, int((begun - 1800) * 1e9))
        done, tables = 0, []
        for rounds in ROUNDS:
            load(arguments, server, rounds - done, done)
            done = rounds
            tables.append(ask(server, {"start": int(begun) - 3600 * rounds - 400, "end": int(time.time()) + 60}))
        return tables
    finally:
        server.stop()
        shutil.rmtree(folder)


def split(arguments, late):
    folder = tempfile.mkdtemp(prefix="vivace-split-")
    server = Server(arguments.bin, folder)
    try:
        begun = time.time()
        send_needle(server, int((begun - 1800) * 1e9))
        load(arguments, server, 1, late=late)
        return ask(server, {"start": int(begun) - 4000, "end": int(time.time()) + 60})
    finally:
        server.stop()
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="the server")
    parser.add_argument("--load", required=True, help="the load generator")
    parser.add_argument("--spans", type=int, default=470_000, help="spans of one round, about")
    arguments = parser.parse_args()
    tables = grown(arguments)
    heads = "".join(f" {rounds}x: CPU ms | {rounds}x: KiB |" for rounds in ROUNDS)
    print(f"| question |{heads}\n|---|" + "---|" * (2 * len(ROUNDS)))
    for name in tables[0]:
        cells = "".join(f" {cpu:.1f} | {size / 1024:.0f} |" for cpu, size in (table[name] for table in tables))
        print(f"| {name} |{cells}")
    whole, parted = split(arguments, 0), split(arguments, 1)
    print("\n| question | whole: CPU ms | 1 % split: CPU ms | |\n|---|---|---|---|")
    for name in whole:
        print(f"| {name} | {whole[name][0]:.1f} | {parted[name][0]:.1f} | {parted[name][0] / max(whole[name][0], 0.1):.2f} |")


if __name__ == "__main__":
    main()
