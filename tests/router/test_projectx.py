"""From stored keys to a real broker's protocol: a router, the ProjectX connector, and the simulated broker on a socket."""

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from psycopg import sql

from eventrouter.credentials import CredentialStore
from eventrouter.domain import lookups
from eventrouter.domain.accounts import UNLIMITED, Account
from eventrouter.logs import configure_logging
from eventrouter.simulator import Settings, Simulator
from eventrouter.store.connect import Conn
from tests.processes import until_async
from tests.router.book import is_sound, order_id, row_of, value
from tests.router.conftest import Start
from tests.simulator.client import Client, until_stalled

USER, KEY = "maria.lopez-canary", "key-that-nobody-may-see"
WAITS = "SELECT count(*) > 0 FROM execution_logs WHERE task_id = %s AND reason = 'CONTRACT_WAITS'"
FINISHED = "SELECT status IN ('ACCEPTED', 'SUCCESS') FROM execution_tasks WHERE id = %s"


@pytest.fixture
async def broker() -> AsyncIterator[Client]:
    """A simulated broker whose one user has these keys, and its own side of it."""
    settings = Settings(user=USER, api_key=KEY, requests_per_minute=0, step_s=0.02)
    async with Simulator(settings) as simulator, ClientSession() as session:
        client = Client(session, simulator.url)
        await client.login(USER, KEY)
        yield client


@pytest.fixture
def store(tmp_path: Path) -> CredentialStore:
    """A store with the account's right keys, and a master key of its own."""
    kept = CredentialStore(tmp_path / "credentials", environ={})
    kept.put("real", "projectx", {"user_name": USER, "api_key": KEY}, now=datetime.now(UTC))
    return kept


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """All that any logger says, at any level."""
    stream = io.StringIO()
    configure_logging("json", "debug", stream)
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)
    configure_logging("console", "warning")


def live(broker: Client) -> dict[str, Any]:
    """A router's settings for one live account at this broker."""
    account = Account(
        "real",
        "projectx",
        broker_account="SIM-001",
        url=broker.url,
        hub_url=f"{broker.url}/hubs/user",
        limits=replace(UNLIMITED, live=True),
    )
    return {"dry_run": False, "accounts": [account]}


async def entry(db: Conn, account: str = "real") -> int:
    """A live entry of one contract."""
    payload = json.dumps({"symbol": "MNQZ6", "direction": "LONG", "quantity": "1"})
    return int(
        await value(
            db,
            "INSERT INTO execution_tasks (trade_id, event_type, payload, account, mode)"
            " VALUES ('t', 'ENTRY', %s, %s, 'live') RETURNING id",
            payload,
            account,
        )
    )


async def nowhere(db: Conn, *texts: str) -> None:
    """Neither the database nor these texts hold a key or a user name."""
    tables = await (
        await db.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::REGNAMESPACE"
        )
    ).fetchall()
    assert len(tables) > 8
    for (table,) in tables:
        rows = await (await db.execute(sql.SQL("SELECT t::TEXT FROM {} t").format(sql.Identifier(table)))).fetchall()
        texts = (*texts, *(row[0] for row in rows))
    assert [text for text in texts if KEY in text or USER in text] == []


async def test_an_order_goes_out_under_the_stored_login_and_the_keys_stay_where_they_are(
    db: Conn, start: Start, broker: Client, store: CredentialStore, lines: io.StringIO
) -> None:
    """It reaches the broker once; no table, log line or state holds what logged in."""
    router = await start(**live(broker), credentials=store)
    task = await entry(db)
    await until_async(lambda: value(db, FINISHED, task), what="the order at the broker")
    assert (await broker.executed(await order_id(db, task)))["executed"] == 1
    assert (await row_of(db, task, "ACCEPTED"))[8]["order_id"]
    await router.stop()
    assert "transition" in lines.getvalue()
    await nowhere(db, lines.getvalue(), json.dumps(router.connection_states()), repr(router.connections))


async def test_keys_that_the_broker_refuses_are_told_nowhere_either(
    db: Conn,
    start: Start,
    broker: Client,
    store: CredentialStore,
    lines: io.StringIO,
) -> None:
    """The entry waits for the broker to name its contract, and says why; the broker saw no order."""
    wrong = f"{KEY}-wrong"
    store.put("real", "projectx", {"user_name": USER, "api_key": wrong}, now=datetime.now(UTC))
    await start(**live(broker), credentials=store)
    task = await entry(db)
    await until_async(lambda: value(db, WAITS, task), what="the entry that waits")
    assert (await broker.executed(await order_id(db, task)))["executed"] == 0
    await nowhere(db, lines.getvalue())


@pytest.mark.parametrize(
    ("fault", "how"),
    [("drop", {"when": "after"}), ("http", {"when": "before", "status": 500}), ("cut", {})],
    ids=["executed-and-dropped", "not-executed-and-500", "executed-and-cut"],
)
async def test_a_lost_answer_is_executed_once(
    db: Conn,
    start: Start,
    broker: Client,
    store: CredentialStore,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    how: dict[str, Any],
) -> None:
    """Found by its id where it was executed; sent again under the same one where it was not. Once in the ledger."""
    monkeypatch.setattr(lookups, "LOOK_AGAIN_S", (0.05, 0.05))
    await broker.arm(fault, endpoint="Order/place", times=1, **how)
    await start(**live(broker), credentials=store)
    task = await entry(db)
    await until_async(lambda: value(db, FINISHED, task), what="the order at the broker")
    found = await broker.executed(await order_id(db, task))
    assert (found["executed"], found["filled"]) == (1, 1)
    assert len(await broker.positions()) == 1
    assert await is_sound(db)


async def test_an_order_that_searches_show_late_is_not_executed_twice(
    db: Conn, start: Start, broker: Client, store: CredentialStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Absent from every look-up, it is known from what the broker reports, or sent again and refused as a repeat."""
    monkeypatch.setattr(lookups, "LOOK_AGAIN_S", (0.05, 0.05))
    await broker.arm("drop", endpoint="Order/place", times=1, when="after")
    hidden = await broker.arm("hide", endpoint="Order/place", times=1)
    await start(**live(broker), credentials=store)
    task = await entry(db)
    known = "SELECT attempts >= 2 OR status IN ('ACCEPTED', 'SUCCESS') FROM execution_tasks"
    await until_async(lambda: value(db, known), what="a second attempt, or the hub's report")
    await broker.control(f"faults/{hidden}/release", {})
    await until_async(lambda: value(db, FINISHED, task), what="the order found")
    found = await broker.executed(await order_id(db, task))
    assert (found["executed"], found["filled"]) == (1, 1)


async def test_two_logins_of_which_one_is_dead(db: Conn, start: Start, broker: Client, store: CredentialStore) -> None:
    """An account whose broker cannot be reached does not keep the other one's order."""
    settings = live(broker)
    (alive,) = settings["accounts"]
    dead = replace(alive, name="dead", url="http://127.0.0.1:9", hub_url="http://127.0.0.1:9/hubs/user")
    store.put("dead", "projectx", {"user_name": USER, "api_key": KEY}, now=datetime.now(UTC))
    await start(dry_run=False, accounts=[alive, dead], credentials=store)
    stuck, task = await entry(db, account="dead"), await entry(db)
    await until_async(lambda: value(db, FINISHED, task), what="the order at the broker")
    await until_async(lambda: value(db, WAITS, stuck), what="the entry that waits")
    assert (await broker.executed(await order_id(db, stuck)))["executed"] == 0


async def test_entries_wait_for_the_first_look_at_their_account(
    db: Conn, start: Start, broker: Client, store: CredentialStore
) -> None:
    """An entry that waits at a router's start is held against the daily loss once the broker has said how the account stands."""
    settings = live(broker)
    (account,) = settings["accounts"]
    limits = replace(account.limits, daily_loss=Decimal(400))
    settings["accounts"] = [replace(account, limits=limits, balance=Decimal(50_000))]
    looking = await broker.arm("stall", endpoint="Position/searchOpen")
    task = await entry(db)
    await start(**settings, credentials=store, sleeping=False)
    await until_stalled(broker, looking)
    assert await value(db, "SELECT status FROM execution_tasks WHERE id = %s", task) == "PENDING"
    await broker.control("faults", method="DELETE")
    await until_async(lambda: value(db, FINISHED, task), what="the order at the broker")
