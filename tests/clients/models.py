#!/usr/bin/env python3
"""Asks /api/mcp with the Model Context Protocol's own Python client, over what shop.py sent."""

import argparse
import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


async def ask(url):
    async with streamable_http_client(f"{url}/api/mcp") as streams:
        async with ClientSession(streams[0], streams[1]) as session:
            await session.initialize()
            tools = {tool.name for tool in (await session.list_tools()).tools}
            assert "traceql-search" in tools and len(tools) == 8, tools

            async def call(tool, **arguments):
                result = await session.call_tool(tool, arguments)
                text = result.content[0].text
                failed = getattr(result, "isError", None) or getattr(result, "is_error", False)
                return failed, text

            failed, text = await call("traceql-search", query="{ status = error }")
            found = json.loads(text)["traces"]
            assert not failed and found, text
            failed, text = await call("get-trace", trace_id=found[0]["traceID"])
            assert not failed and json.loads(text)["trace"]["services"], text
            failed, text = await call("traceql-metrics-instant", query="{} | count_over_time() by (resource.service.name)")
            assert not failed and len(json.loads(text)["series"]) == 3, text
            failed, text = await call("get-attribute-values", name="resource.service.name")
            assert not failed and "task-service" in text, text
            failed, text = await call("traceql-search", query="{ nothing")
            assert failed and "parse error" in text, text
            resources = (await session.list_resources()).resources
            assert len(resources) == 7, resources
            read = await session.read_resource(resources[0].uri)
            assert "TraceQL" in read.contents[0].text or "braces" in read.contents[0].text
            return len(tools)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="of the API, such as http://127.0.0.1:3200")
    tools = asyncio.run(ask(parser.parse_args().url))
    print(f"{tools} tools, calls and resources answered")
    sys.exit(0)


if __name__ == "__main__":
    main()
