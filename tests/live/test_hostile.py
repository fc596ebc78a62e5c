"""What an attacker puts into an alert, and what an attacker who reads tables, logs and files finds."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.live.conftest import Start, StartFleet
from tests.live.keys import MASTER_KEY, store_keys
from tests.live.killed import kill
from tests.live.rig import Rig
from tests.processes import until_async

TEXTS = [
    "'); DROP TABLE execution_tasks; --",
    '"; DELETE FROM fills; SELECT "',
    "%s %(account)s {0} {account} :names",
    "${jndi:ldap://127.0.0.1/a} $(reboot) `id`",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "\u202etxt.exe \u200b\ufeff\u0007\u001b[2J",
    "\U0001f4c8 ünïcödé ١٢٣ 中文",
    "a" * 10_000,
    "\ud800",
    "null\u0000byte",
    "T1\nlevel=error event=forged",
    "[bold red]markup[/] [link=x]",
]
API_KEY = "kL9vXq2TzR7wPb4NcY8dJh3FgM6sAe5U"
BROKEN: list[tuple[str, dict[str, Any]]] = [("cut", {}), ("http", {"when": "after", "status": 500}), ("drop", {})]
FIELDS = [
    "trade_id",
    "symbol",
    "comment",
    "quantity",
    "price",
    "side",
    "action",
    "order_type",
    "account",
    "strategy",
    "stop_loss",
]


async def test_hostile_text_moves_nothing_else(start: Start) -> None:
    """In every field: refused with a code, or one order as it is meant; the book is the broker's, and the next alert is taken."""
    rig = await start(one={"max_contracts": 1000})
    taken = 0
    for name in FIELDS:
        for number, text in enumerate(TEXTS):
            alert = {"action": "buy", "side": "long", "symbol": "MNQ1!", "quantity": 1, "price": 24000}
            alert |= {"trade_id": f"{name}-{number}", name: text}
            status, answer = await rig.site.alert(rig.token, json.dumps(alert).encode())
            assert status in (200, 422), (name, text[:50], status, answer)
            assert status == 200 or answer["code"], answer
            taken += status == 200
    await nothing_under_way(rig)
    positions = await rig.holds()
    bought = await rig.rows(
        "SELECT count(*) AS n FROM execution_tasks WHERE event_type = 'ENTRY' AND status = 'SUCCESS'"
    )
    assert positions == {"one": bought[0]["n"]}
    assert 0 < taken < len(FIELDS) * len(TEXTS)
    await rig.done(await rig.entry("after"))
    entries = await rig.rows(
        "SELECT DISTINCT trade_id FROM execution_tasks WHERE event_type = 'ENTRY' AND status = 'SUCCESS'"
    )
    for row in entries:
        await rig.done(await rig.exit(row["trade_id"]))
    assert await rig.holds() == {"one": 0}


async def nothing_under_way(rig: Rig) -> None:
    """Returns once no task is on its way."""

    async def idle() -> bool:
        return not await rig.rows(
            "SELECT id FROM execution_tasks WHERE status IN ('PENDING', 'SENDING', 'UNKNOWN', 'ACCEPTED')"
        )

    await until_async(idle, within_s=30, what="nothing under way")


async def test_secrets_are_nowhere(start_fleet: StartFleet) -> None:
    """After every way in which a login and an order can fail: no key, token or password in a table, a log line or Postgres's files.

    They are looked for as they are and in parts: a body that was cut must not leave half a token.
    """
    fleet = await start_fleet({"api_key": API_KEY}, one={})
    store_keys(fleet.place / "credentials", ["one"], API_KEY)
    rig = fleet.rig
    assert rig.market.simulator is not None
    given: set[str] = set()
    sessions = rig.market.simulator.sessions
    open_session = sessions.open

    def opened(user: str) -> str:
        token = open_session(user)
        given.add(token)
        return token

    sessions.open = opened  # type: ignore[method-assign]
    for fault, how in BROKEN:
        await rig.market.arm(fault, endpoint="Auth/loginKey", **how)
    router = fleet.start()
    await fleet.opened("one")
    await rig.done(await rig.entry("T1", 2, stop_loss=23990))
    for fault, how in [*BROKEN, ("refuse", {"code": 2})]:
        await rig.market.arm(fault, **how)
        await rig.post(trade_id=f"T-{fault}", action="buy", side="long", quantity=1, price=24000)
    await rig.market.arm("http", when="before", status=401, times=2, endpoint="Order/place")
    await rig.market.client.control("tokens/expire", {})
    await rig.market.client.login()
    await rig.market.client.control("hub", {"drop": True})
    await rig.exit("T1")
    await nothing_under_way(rig)
    kill(router)
    secrets = {MASTER_KEY, API_KEY, rig.token, *given}
    assert len(given) > 2
    found = await stored(rig) | {"logs": fleet.logs()}
    for where in ("execution_tasks", "logs", "/base/", "/pg_wal/"):  # what is looked through is what was written
        assert any(where in name and "T-cut" in text for name, text in found.items()), where
    for name, text in found.items():
        for secret in secrets:
            assert secret[: len(secret) * 2 // 3] not in text, f"{name} has {secret}"
    fleet.say("verify")


async def stored(rig: Rig) -> dict[str, str]:
    """Every table as text with its bytea as what it says, and every file of the database and its log of changes."""
    tables = await rig.rows(
        "SELECT c.oid::regclass::text AS name FROM pg_class c WHERE relkind IN ('r', 'p', 'm') AND relnamespace = 'public'::regnamespace"
    )
    found: dict[str, str] = {}
    for table in tables:
        rows = await rig.rows(f"SELECT encode(convert_to(t::text, 'UTF8'), 'escape') AS row FROM {table['name']} t")
        found[table["name"]] = "\n".join(row["row"] for row in rows)
    await rig.sql.execute("CHECKPOINT")
    places = await rig.rows(
        "SELECT current_setting('data_directory') AS dir, oid FROM pg_database WHERE datname = current_database()"
    )
    return found | await asyncio.to_thread(files, Path(places[0]["dir"]), str(places[0]["oid"]))


def files(home: Path, database: str) -> dict[str, str]:
    """What a database's files hold, and the server's log of changes and its messages."""
    found = (*(home / "base" / database).iterdir(), *(home / "pg_wal").glob("0*"), *home.glob("log/*"))
    return {str(file): file.read_bytes().decode("latin-1") for file in found}
