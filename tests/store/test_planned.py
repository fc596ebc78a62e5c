"""An alert is planned in the commit that stores it, and everybody can be told why an account traded or did not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from eventrouter.domain.symbols import root_of
from eventrouter.domain.trades import Ask
from eventrouter.errors import UnknownAccount, UnknownSignal
from eventrouter.store import accounts as account_reports
from eventrouter.store.connect import Conn, Pool
from eventrouter.store.history import verify
from eventrouter.store.reports import signal, task_log
from eventrouter.store.routed import route
from eventrouter.store.settings import TableCache, publish
from eventrouter.store.signals import Stored, StoredAlert, store_alerts
from tests.store.stored_task import enqueue, log_of, move, value

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
MICROS = {"name": "micros", "instruments": ["M*"], "accounts": ["a", "off"], "multiplier": "0.5"}
ENTRIES = {"name": "entries", "events": ["ENTRY"], "accounts": ["b"]}


async def publish_routes(conn: Conn, *routes: dict[str, Any]) -> None:
    """These are the routes from now on."""
    await publish(conn, "test", "routes", {"routes": {"routes": list(routes)}})


@pytest.fixture
async def desk(conn: Conn) -> Conn:
    """A database with three published accounts, one of them off, and two routes."""
    await publish(conn, "test", "account", {"a": {"enabled": True}, "b": {}, "off": {"enabled": False, "firm": "x"}})
    await publish_routes(conn, MICROS, ENTRIES)
    return conn


def alert(
    event_type: str = "ENTRY", *, trade: str = "T1", symbol: str | None = "MNQ1!", after_s: int = 0
) -> StoredAlert:
    """An understood alert of strategy orb."""
    event = "EXIT" if event_type.startswith("EXIT") else event_type
    payload = {"kind": event} | ({"symbol": symbol} if symbol else {})
    ask = Ask(event, event_type, payload, payload, trade_id=trade, root=symbol and root_of(symbol), side="LONG")
    return StoredAlert(uuid4(), "orb", NOW + timedelta(seconds=after_s), b"{}", ask=ask, max_age_s=60.0)


async def store(conn: Conn, *alerts: StoredAlert) -> list[Stored]:
    """Stores alerts in one commit, as a process that has just started."""
    async with conn.transaction():
        return await store_alerts(conn, alerts, TableCache())


async def made(conn: Conn, trade: str = "T1") -> list[tuple[Any, ...]]:
    """(account, event, multiplier, route) of a trade's tasks."""
    rows = await conn.execute(
        "SELECT account, event_type, plan ->> 'multiplier', plan ->> 'route' FROM execution_tasks WHERE trade_id = %s ORDER BY id",
        (trade,),
    )
    return await rows.fetchall()


async def test_the_plan_is_stored_with_signal_and_task(desk: Conn) -> None:
    """The signal says it of every account, the task and its first log row say how it was planned."""
    (stored,) = await store(desk, alert())
    plan = await value(desk, "SELECT plan FROM automated_signals WHERE id = %s", stored.signal_id)
    about = {"trade_id": "T1", "event_type": "ENTRY", "account_version": 1}
    sent = {**about, "code": None, "message": None}
    assert plan == [
        {"account": "a", **sent, "route": "micros", "multiplier": "0.5"},
        {"account": "b", **sent, "route": "entries", "multiplier": "1"},
        {"account": "off", **about, "code": "ACCOUNT_DISABLED", "message": "The account is not enabled."},
    ]
    task = await value(desk, "SELECT plan FROM execution_tasks WHERE account = 'a'")
    assert task == {
        "route": "micros",
        "multiplier": "0.5",
        "strategy": "orb",
        "account_version": 1,
        "routes_version": 1,
    }
    assert (await task_log(desk, stored.task_ids[0]))[0]["detail"]["plan"] == task
    assert (await verify(desk)).violations == ()


async def test_alerts_of_one_batch_have_each_their_plan(desk: Conn) -> None:
    """By instrument and event; a refused one has none, and one that no account takes says so of each."""
    refused = StoredAlert(uuid4(), "orb", NOW, b"?", code="BODY_NOT_JSON", message="No JSON.")
    batch = [alert(), alert(trade="T2", symbol="NQ1!"), alert("ADD", trade="T2", symbol="NQ1!"), refused]
    stored = await store(desk, *batch)
    assert [len(each.task_ids) for each in stored] == [2, 1, 0, 0]
    codes = "SELECT array_agg(p ->> 'code' ORDER BY ord) FROM automated_signals, jsonb_array_elements(plan) WITH ORDINALITY AS e (p, ord) WHERE id = %s"
    reasons = [await value(desk, codes, each.signal_id) for each in stored]
    assert reasons == [
        [None, None, "ACCOUNT_DISABLED"],
        ["INSTRUMENT_NOT_ROUTED", None, "ACCOUNT_DISABLED"],
        ["INSTRUMENT_NOT_ROUTED", "EVENT_NOT_ROUTED", "ACCOUNT_DISABLED"],
        None,
    ]


@pytest.mark.parametrize("together", [True, False])
async def test_what_closes_follows_its_trade_whatever_routes_say(desk: Conn, together: bool) -> None:
    """Accounts that hold the trade get its exit as their entry went, when they are unrouted, off or withdrawn by now."""
    if together:
        await store(desk, alert(), alert("EXIT_SL", symbol=None, after_s=1))
    else:
        await store(desk, alert())
        await publish_routes(desk, {"name": "none", "strategy": "other", "accounts": ["off"]})
        await publish(desk, "test", "account", {"a": {"enabled": False}}, withdraw_others=True)
        await store(desk, alert("EXIT_SL", symbol=None, after_s=1))
    exits = [row for row in await made(desk) if row[1] == "EXIT_SL"]
    assert exits == [("a", "EXIT_SL", "0.5", "micros"), ("b", "EXIT_SL", "1", "entries")]
    assert await value(desk, "SELECT bool_and(expires_at IS NULL) FROM execution_tasks WHERE event_type = 'EXIT_SL'")
    assert await value(desk, "SELECT bool_and(payload ->> 'symbol' = 'MNQ1!') FROM execution_tasks")


async def test_a_change_of_routes_counts_from_the_next_batch_on(desk: Conn) -> None:
    """The process that planned before sees it by itself; an alert is planned by what holds when it is stored."""
    tables = TableCache()
    waiting = alert(trade="T2")  # as one that lay in the spool meanwhile
    await store_alerts(desk, [alert()], tables)
    await publish_routes(desk, {**MICROS, "accounts": ["b"]})
    await store_alerts(desk, [waiting], tables)
    assert [row[0] for row in await made(desk)] == ["a", "b"]
    assert await made(desk, "T2") == [("b", "ENTRY", "0.5", "micros")]
    versions = (
        "SELECT array_agg(DISTINCT plan ->> 'routes_version' ORDER BY plan ->> 'routes_version') FROM execution_tasks"
    )
    assert await value(desk, versions) == ["1", "2"]


async def test_planning_costs_no_query_while_nothing_changes(desk: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch asks the database for nothing more than it did without routes."""
    tables = TableCache()
    await store_alerts(desk, [alert()], tables)
    asked: list[object] = []
    execute = desk.execute

    async def counting(statement: Any, *arguments: Any, **named: Any) -> Any:
        asked.append(statement)
        return await execute(statement, *arguments, **named)

    monkeypatch.setattr(desk, "execute", counting)
    await store_alerts(desk, [alert(trade="T2"), alert(trade="T3")], tables)
    assert len(asked) == 2


# rows without an account


async def test_a_row_without_an_account_is_planned_like_an_alert(desk: Conn, pool: Pool) -> None:
    """The routing row carries its plan and the other accounts with their reasons; a sibling has a plan of its own."""
    task = await enqueue(desk, account=None, symbol="MNQ1!")
    assert await route(pool, "router", TableCache()) == 1
    assert await made(desk) == [("a", "ENTRY", "0.5", "micros"), ("b", "ENTRY", "1", "entries")]
    routed = (await task_log(desk, task))[1]
    assert routed["reason"] == "ROUTED"
    assert routed["detail"]["plan"] == await value(desk, "SELECT plan FROM execution_tasks WHERE id = %s", task)
    assert [(each["account"], each["code"]) for each in routed["detail"]["others"]] == [("off", "ACCOUNT_DISABLED")]
    assert (await verify(desk)).violations == ()


async def test_a_row_that_no_account_takes(desk: Conn, pool: Pool) -> None:
    """DENIED, with the reason of each account."""
    task = await enqueue(desk, "ADD", account=None, symbol="CL")
    await route(pool, "router", TableCache())
    assert await log_of(desk, task) == ["PENDING", "DENIED"]
    denied = (await task_log(desk, task))[1]
    assert (denied["reason"], denied["message"].split(".")[0]) == ("NO_ROUTE", "No account takes it")
    assert [each["code"] for each in denied["detail"]["others"]] == [
        "INSTRUMENT_NOT_ROUTED",
        "EVENT_NOT_ROUTED",
        "ACCOUNT_DISABLED",
    ]


async def test_the_age_of_a_row_without_an_account_is_its_strategys(desk: Conn, pool: Pool) -> None:
    """As published, else the router's."""
    await publish(desk, "test", "strategy", {"ORB": {"max_age": 30.0}, "slow": {"max_age": 0}})
    for trade, strategy in (("T1", "orb"), ("T2", "slow"), ("T3", "other")):
        payload = Jsonb({"symbol": "MNQ1!", "strategy": strategy})
        await desk.execute("SELECT enqueue_execution_task(%s, 'ENTRY', %s)", (trade, payload))
    await route(pool, "router", TableCache(), max_age_s=60.0)
    ages = "SELECT array_agg(DISTINCT extract(epoch FROM expires_at - created_at)::int) FROM execution_tasks WHERE trade_id = %s"
    assert [await value(desk, ages, trade) for trade in ("T1", "T2", "T3")] == [[30], [None], [60]]


# why did account 7 not trade


async def test_a_signal_says_what_became_of_it_on_every_account(desk: Conn) -> None:
    """How each task stands by what its log said last, and why there is none elsewhere."""
    (stored,) = await store(desk, alert())
    await move(desk, stored.task_ids[0], "SENDING", "FAILED", "FAILED")
    found = await signal(desk, stored.signal_id)
    rows = [
        (row["account"], row["decision"], row["status"], row["reason"], row["message"]) for row in found["accounts"]
    ]
    assert rows == [
        ("a", "task", "FAILED", "TEST", "a message"),
        ("b", "task", "PENDING", "ENQUEUED", None),
        ("off", "nothing", None, "ACCOUNT_DISABLED", "The account is not enabled."),
    ]
    assert [row["task"] for row in found["accounts"]] == [*stored.task_ids, None]
    last = await value(desk, "SELECT created_at FROM execution_logs WHERE task_id = %s AND seq = 3", stored.task_ids[0])
    assert found["accounts"][0]["at"] == last
    with pytest.raises(UnknownSignal):
        await signal(desk, 999)


async def test_a_reversal_has_a_row_for_each_half(desk: Conn) -> None:
    """The exit where the trade is held, the entry where it is routed."""
    await store(desk, alert())
    await publish_routes(desk, {**MICROS, "events": ["REVERSE"], "accounts": ["a"]})
    turn = alert("REVERSE", trade="T2", after_s=1)
    assert turn.ask is not None
    (stored,) = await store(desk, replace(turn, ask=replace(turn.ask, side="SHORT")))
    found = await signal(desk, stored.signal_id)
    assert [(row["account"], row["event_type"], row["trade_id"], row["reason"]) for row in found["accounts"]] == [
        ("a", "EXIT_REVERSE", "T1", "ENQUEUED"),
        ("b", "EXIT_REVERSE", "T1", "ENQUEUED"),
        ("off", "EXIT_REVERSE", "T1", "ACCOUNT_DISABLED"),
        ("a", "ENTRY", "T2", "ENQUEUED"),
        ("b", "ENTRY", "T2", "NO_ROUTE"),
        ("off", "ENTRY", "T2", "ACCOUNT_DISABLED"),
    ]


async def test_a_signal_from_before_there_were_plans(desk: Conn, owner: psycopg.Connection[Any]) -> None:
    """Its tasks are told all the same."""
    (stored,) = await store(desk, alert())
    owner.execute("SET session_replication_role = replica")
    owner.execute("UPDATE automated_signals SET plan = NULL")
    found = await signal(desk, stored.signal_id)
    assert [(row["account"], row["status"]) for row in found["accounts"]] == [("a", "PENDING"), ("b", "PENDING")]


# accounts as people look at them


async def test_accounts_with_their_state(desk: Conn, owner: psycopg.Connection[Any]) -> None:
    """Settings, tasks, holdings, the latest state of each mode, and the strictest control."""
    await store(desk, alert())
    await publish(desk, "test", "account", {"a": {"enabled": True, "live": True}, "b": {}}, withdraw_others=True)
    owner.execute(
        "INSERT INTO fills (account, fill_id, mode, order_id, trade_id, contract, root, side, quantity, filled_at)"
        " SELECT 'a', fill_id, 'dry', 'o', trade_id, 'MNQZ6', 'MNQ', side, quantity, now()"
        " FROM (VALUES ('1', 'T1', 'BUY', 2), ('2', 'T0', 'BUY', 1), ('3', 'T0', 'SELL', 1)) AS f (fill_id, trade_id, side, quantity)"
    )
    owner.execute(
        "INSERT INTO account_log (account, mode, seq, kind, actor, state) VALUES ('a', 'dry', 1, 'OPENED', 'x', '{}'),"
        " ('a', 'dry', 2, 'OUT_OF_SYNC', 'x', '{\"out_of_sync\": \"one more\"}'), ('a', 'live', 1, 'OPENED', 'x', '{}')"
    )
    owner.execute(
        "INSERT INTO controls (scope, action, actor) VALUES ('all', 'halt', 'x'), ('all', 'flatten', 'x'),"
        " ('account:b', 'halt', 'x'), ('account:off', 'halt', 'x'), ('account:off', 'resume', 'x')"
    )
    found = {row["name"]: row for row in await account_reports.accounts(desk)}
    assert list(found) == ["a", "b", "off"]
    a = found["a"]
    assert (a["live"], a["version"], a["withdrawn"], a["open"], a["holdings"]) == (
        True,
        2,
        False,
        {"PENDING": 1},
        {"dry": 1},
    )
    assert {mode: (each["seq"], each["kind"]) for mode, each in a["states"].items()} == {
        "dry": (2, "OUT_OF_SYNC"),
        "live": (1, "OPENED"),
    }
    assert (found["off"]["withdrawn"], found["off"]["firm"]) == (True, "x")
    assert [row["standing"] for row in found.values()] == ["reducing", "halted", "reducing"]


async def test_one_account_with_its_history(desk: Conn, owner: psycopg.Connection[Any]) -> None:
    """Versions with their differences, what it holds and what happened, the latest first."""
    await publish(desk, "anna", "account", {"off": {"enabled": True}})
    owner.execute(
        "INSERT INTO account_log (account, mode, seq, kind, actor, message, state) VALUES ('off', 'dry', 1, 'OPENED', 'x', 'm', '{}')"
    )
    found = await account_reports.account(desk, "off")
    assert [(each["version"], each["actor"], each["difference"]) for each in found["versions"]] == [
        (2, "anna", {"enabled": [False, True], "firm": ["x", None]}),
        (1, "test", {"enabled": [None, False], "firm": [None, "x"]}),
    ]
    assert ([each["message"] for each in found["events"]], found["held"]) == (["m"], [])
    with pytest.raises(UnknownAccount):
        await account_reports.account(desk, "nobody")
