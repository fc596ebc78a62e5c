"""A service that may open fewer files than it was told to hold connections."""

import asyncio
import json
import urllib.request
from pathlib import Path

from eventrouter.config import parse_address
from eventrouter.store.connect import Database
from eventrouter.store.tokens import add_token
from tests.processes import PATIENCE_S, address_of, environment, service
from tests.web.live_site import ENTRY, exchange, request
from tests.web.raw_client import HALF, RawClient


def test_a_process_that_may_open_few_files(dsn: str, tmp_path: Path) -> None:
    """It takes as many as it may, keeps some for its work, and an alert gets through more clients than it has files."""
    log = tmp_path / "log"
    with service("ingress", env=environment(dsn), log=log, files=(100, 700)):
        public, operator = address_of(log, "Alerts"), address_of(log)
        asyncio.run(_crowd(dsn, public))
        with urllib.request.urlopen(f"http://{operator}/metrics", timeout=PATIENCE_S) as answer:
            assert b'connections_closed_total{listener="public",reason="evicted"}' in answer.read()
    said = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert [each["most"] for each in said if each["event"] == "fewer_connections"] == [350]
    assert [each["most"] for each in said if each["event"] == "connections_full"] == [350]
    assert [each for each in said if each["level"] == "error"] == []


async def _crowd(dsn: str, public: str) -> None:
    """Opens 800 connections that send half a header, and sends an alert after each 100."""
    async with await Database(dsn).connect("test") as conn:
        token = await add_token(conn, "orb")
    address = parse_address(public)
    crowd: list[RawClient] = []
    async with asyncio.timeout(PATIENCE_S):
        for number in range(8):
            for _ in range(100):
                crowd.append(RawClient(*await asyncio.open_connection(address.host, address.port)))
                await crowd[-1].send(HALF)
            body = json.dumps({**ENTRY, "trade_id": f"T-{number}"}).encode()
            status, _ = await exchange(address, request(f"/webhook/{token}", body))
            assert status == 200
    for client in crowd:
        client.close()
