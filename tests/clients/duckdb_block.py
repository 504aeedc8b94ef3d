#!/usr/bin/env python3
"""Reads the blocks under a data folder with DuckDB: spans by HTTP status, joined with traces and resources.

The query is the one of docs/duckdb.md. Exit 1 when there is no block, when no block has the column, or when a join
loses or doubles spans.
"""

import argparse
import pathlib
import sys

import duckdb

STATUS = "span.http.response.status_code:int"
FILES = ("spans.parquet", "traces.parquet", "resources.parquet")

JOINED = """
FROM 'spans.parquet' AS s
JOIN 'traces.parquet' AS t ON t.trace_id = s.trace_id
JOIN 'resources.parquet' AS r ON r.resource = s.resource
"""

BY_STATUS = f"""
SELECT s."{STATUS}"                           AS http_status,
       count(*)                               AS spans,
       count(DISTINCT t.trace_id)             AS traces,
       count(DISTINCT r.resource)             AS resources,
       round(avg(s.duration_ns) / 1e6, 3)     AS avg_ms
{JOINED}
GROUP BY http_status
ORDER BY spans DESC, http_status
"""


def in_folder(query, block):
    """DuckDB resolves names against the working folder; here the block's path is put in."""
    for name in FILES:
        path = str(block / name).replace("'", "''")
        query = query.replace(f"'{name}'", f"'{path}'")
    return query


def read_block(block):
    """Prints the groups of one block. Returns (spans, spans with a status, what is wrong)."""
    for name in FILES:
        if not (block / name).is_file():
            return 0, 0, [f"{block}: no {name}"]
    db = duckdb.connect()
    spans = db.execute(in_folder("SELECT count(*) FROM 'spans.parquet'", block)).fetchone()[0]
    joined = db.execute(in_folder("SELECT count(*)" + JOINED, block)).fetchone()[0]
    wrong = [] if joined == spans else [f"{block}: {spans} spans are {joined} after the joins"]
    columns = [row[0] for row in db.execute(in_folder("DESCRIBE SELECT * FROM 'spans.parquet'", block)).fetchall()]
    print(f"block {block.name}: {spans} spans, {len(columns)} columns")
    if STATUS not in columns:
        print(f"  no column {STATUS}")
        return spans, 0, wrong
    rows = db.execute(in_folder(BY_STATUS, block)).fetchall()
    print(f"  {'status':>6} {'spans':>8} {'traces':>8} {'resources':>9} {'avg ms':>10}")
    for status, count, traces, resources, avg_ms in rows:
        print(f"  {'-' if status is None else status:>6} {count:>8} {traces:>8} {resources:>9} {avg_ms:>10}")
    return spans, sum(row[1] for row in rows if row[0] is not None), wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path, help="storage.trace.local.path of the server")
    parser.add_argument("--spans", type=int, help="how many spans the blocks must hold together")
    args = parser.parse_args()

    blocks = sorted(path.parent for path in args.data.rglob("spans.parquet"))
    if not blocks:
        print(f"WRONG no block under {args.data}", file=sys.stderr)
        return 1
    total = with_status = 0
    wrong = []
    for block in blocks:
        spans, have_status, problems = read_block(block)
        total += spans
        with_status += have_status
        wrong += problems
    if not with_status:
        wrong.append(f"no block has spans with {STATUS}")
    if args.spans is not None and total != args.spans:
        wrong.append(f"the blocks hold {total} spans, not {args.spans}")
    for text in wrong:
        print(f"WRONG {text}", file=sys.stderr)
    print(f"{len(blocks)} blocks, {total} spans, {with_status} with an HTTP status")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
