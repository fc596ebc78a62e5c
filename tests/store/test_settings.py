"""Publishing: a version for each change and none without one, and the routing table that is read back."""

import asyncio
import io
import json
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from eventrouter.config import Config
from eventrouter.config.rules import table_of
from eventrouter.domain.routing import Candidate, Route, RoutingTable
from eventrouter.errors import ConfigError
from eventrouter.logs import configure_logging
from eventrouter.publishing import publish_configuration
from eventrouter.store.connect import Conn, Database
from eventrouter.store.settings import Change, TableCache, publish, routing_table
from tests.live.settings_text import account
from tests.processes import until_async
from tests.store.stored_task import value

A, B = {"enabled": True, "firm": "x"}, {"enabled": False, "owner": "me"}


async def test_only_a_change_is_a_version(conn: Conn) -> None:
    """The same bodies again write nothing; a change says key by key what was before."""
    first = await publish(conn, "one", "account", {"b": B, "a": A})
    assert [(each.name, each.version, each.withdrawn) for each in first] == [("b", 1, False), ("a", 1, False)]
    assert first[1].difference == {"enabled": [None, True], "firm": [None, "x"]}
    assert await publish(conn, "two", "account", {"a": dict(reversed(A.items())), "b": B}) == []
    changed = {"enabled": False, "limits": {"daily_loss": Decimal("500.50")}}
    difference = {"enabled": [True, False], "firm": ["x", None], "limits": [None, {"daily_loss": "500.50"}]}
    assert await publish(conn, "two", "account", {"a": changed}) == [Change("account", "a", 2, difference, False)]
    assert await value(conn, "SELECT array_agg(actor ORDER BY id) FROM settings") == ["one", "one", "two"]


async def test_what_is_not_given_stays_or_is_withdrawn(conn: Conn) -> None:
    """Only who knows that there are no others withdraws them, once; configured again it is a new version."""
    await publish(conn, "one", "account", {"a": A, "b": B})
    await publish(conn, "one", "strategy", {"orb": {}})
    assert await publish(conn, "two", "account", {"a": A}) == []
    gone = Change("account", "b", 2, {}, withdrawn=True)
    assert await publish(conn, "two", "account", {"a": A}, withdraw_others=True) == [gone]
    assert await publish(conn, "two", "account", {"a": A}, withdraw_others=True) == []
    assert await routing_table(conn) == RoutingTable((Candidate("a", version=1),))
    assert await publish(conn, "two", "account", {"a": B, "b": B}, only_new=True) == []
    assert await publish(conn, "two", "account", {"b": B}) == [Change("account", "b", 3, {}, withdrawn=False)]
    assert [each.name for each in (await routing_table(conn)).accounts] == ["a", "b"]


async def test_two_processes_publish_one_after_the_other(any_dsn: str, owner: psycopg.Connection[Any]) -> None:
    """The second waits for the first one's commit, sees what it wrote, and writes only what differs."""
    database = Database(any_dsn)
    async with await database.connect("one") as one, await database.connect("two") as two:
        async with one.transaction():
            await publish(one, "one", "account", {"a": A, "b": B})
            later = asyncio.create_task(publish(two, "two", "account", {"a": A, "b": A}))
            pid = two.info.backend_pid

            async def waits() -> bool:
                return owner.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", (pid,)).fetchone() == (True,)

            await until_async(waits)
        assert [(each.name, each.version) for each in await later] == [("b", 2)]
    assert owner.execute("SELECT name, version, actor FROM settings ORDER BY id").fetchall() == [
        ("a", 1, "one"),
        ("b", 1, "one"),
        ("b", 2, "two"),
    ]


async def test_many_processes_start_at_once(any_dsn: str, conn: Conn) -> None:
    """Each publishes the same; it is there once."""

    async def start(number: int) -> list[Change]:
        async with await Database(any_dsn).connect(str(number)) as process, process.transaction():
            return await publish(process, str(number), "account", {"a": A, "b": B}, withdraw_others=True)

    changes = await asyncio.gather(*(start(number) for number in range(8)))
    assert sorted(map(len, changes)) == [0] * 7 + [2]
    assert await value(conn, "SELECT count(*) FROM settings") == 2


async def test_a_rollback_publishes_nothing(conn: Conn) -> None:
    """What was published stands or falls with its transaction."""
    async with conn.transaction():
        await publish(conn, "one", "account", {"a": A})
        raise psycopg.Rollback
    assert await routing_table(conn) == RoutingTable(())


async def test_the_service_changes_no_published_row(conn: Conn) -> None:
    """Versions are added by the function only, and never changed or removed by the service."""
    await publish(conn, "one", "account", {"a": A})
    for statement in ("UPDATE settings SET body = '{}'", "DELETE FROM settings", "INSERT INTO settings DEFAULT VALUES"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute(statement)  # type: ignore[arg-type, call-overload, unused-ignore]


ROUTE = {"name": "r", "strategy": "orb", "instruments": ["M*"], "events": ["ENTRY"], "accounts": ["a"]}


async def test_the_table_that_is_read(conn: Conn) -> None:
    """Accounts in the order of their first publication, routes in theirs, strategies without regard to case."""
    await publish(conn, "x", "account", {"b": B, "a": A})
    await publish(conn, "x", "account", {"b": {**B, "firm": "y"}})
    await publish(conn, "x", "strategy", {"ORB": {"accounts": ["a"], "max_age": 0}, "vwap": {"max_age": 30.5}})
    await publish(conn, "x", "routes", {"routes": {"routes": [{**ROUTE, "multiplier": "0.5"}, {**ROUTE, "name": "s"}]}})
    assert await routing_table(conn) == RoutingTable(
        accounts=(Candidate("b", enabled=False, owner="me", version=2), Candidate("a", version=1)),
        routes=(
            Route("r", ("a",), "orb", ("M*",), ("ENTRY",), Decimal("0.5")),
            Route("s", ("a",), "orb", ("M*",), ("ENTRY",)),
        ),
        chosen={"orb": ("a",)},
        version=1,
        max_ages={"orb": None, "vwap": 30.5},
    )


async def test_the_cache_reads_again_only_after_a_change(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """One small question a use; the table is read again when something was published, by whomever."""
    cache = TableCache(RoutingTable((Candidate("own"),)))
    assert [each.name for each in (await cache.now(conn)).accounts] == ["own"]
    await publish(conn, "x", "account", {"a": A})
    table = await cache.now(conn)
    assert [each.name for each in table.accounts] == ["a"]
    assert await cache.now(conn) is table
    await publish(conn, "x", "strategy", {"orb": {"accounts": ["a"]}})
    assert (await cache.now(conn)).chosen == {"orb": ("a",)}


# what a process publishes


def configuration(*accounts: str, **sections: Any) -> Config:
    """A configuration with these accounts."""
    return Config.model_validate({"accounts": [{"name": name} for name in accounts], **sections})


async def started(dsn: str, config: Config, role: str) -> list[tuple[str, str, bool]]:
    """What a process of this configuration publishes when it starts: (kind, name, withdrawn)."""
    web, router = role in ("run", "ingress"), role in ("run", "router")
    changes = await publish_configuration(Database(dsn), config, role, with_web=web, with_router=router)
    return [(each.kind, each.name, each.withdrawn) for each in changes]


async def test_each_process_publishes_its_own(dsn: str) -> None:
    """A router the accounts it claims; a webhook strategies, routes, and accounts that nobody has published yet."""
    parts = {"strategies": [{"name": "orb", "accounts": ["a"]}]}
    ingress = configuration("a", "b", **parts)
    assert await started(dsn, ingress, "ingress") == [
        ("account", "a", False),
        ("account", "b", False),
        ("strategy", "orb", False),
        ("routes", "routes", False),
    ]
    off = {"accounts": [{"name": "b", "enabled": False}, {"name": "c"}], "router": {"accounts": ["b"]}}
    assert await started(dsn, Config.model_validate(off), "router") == [("account", "b", False)]
    assert await started(dsn, ingress, "ingress") == []
    assert await started(dsn, configuration("a", "c"), "router") == [("account", "c", False), ("account", "b", True)]
    assert await started(dsn, configuration("a", "b", "c"), "ingress") == [("strategy", "orb", True)]


async def test_what_is_published_is_what_the_file_says(dsn: str) -> None:
    """Read back, the table is that of the configuration, versions aside."""
    routes = [
        {"name": "micros", "strategy": "orb", "instruments": ["M*"], "accounts": ["a"], "multiplier": Decimal("0.5")}
    ]
    strategies = [{"name": "ORB", "accounts": ["a", "b"], "max_age": 30.0}]
    config = configuration("a", "b", routes=routes, strategies=strategies)
    await started(dsn, config, "run")
    async with await Database(dsn).connect("test") as conn:
        table = await routing_table(conn)
    assert (table.routes, table.chosen, table.max_ages) == (
        table_of(config).routes,
        table_of(config).chosen,
        table_of(config).max_ages,
    )
    assert [each.name for each in table.accounts] == ["a", "b"]


async def test_each_change_is_a_log_line(dsn: str) -> None:
    """With its difference, and what was withdrawn."""
    said = io.StringIO()
    configure_logging("json", "info", said)
    try:
        await started(dsn, configuration("a", "b"), "run")
        changed = {"accounts": [{"name": "a", "enabled": False}]}
        await started(dsn, Config.model_validate(changed), "run")
    finally:
        configure_logging("console", "warning")
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    told = [(line["event"], line["name"]) for line in lines]
    assert told == [
        ("settings_published", "a"),
        ("settings_published", "b"),
        ("settings_published", "routes"),
        ("settings_changed", "a"),
        ("settings_withdrawn", "b"),
    ]
    assert lines[3]["difference"] == {"enabled": "[true, false]"}


async def test_an_account_does_not_leave_what_it_holds(dsn: str) -> None:
    """Another broker, or the broker's of its login: refused with what it holds and every account named; withdrawn: told."""
    one, two = account("one", 1, "http://127.0.0.1:1", "one"), account("two", 2, "", "one")

    def configured(*accounts: dict[str, Any]) -> Config:
        return Config.model_validate({"accounts": accounts})

    await started(dsn, configured(one, two), "run")
    moved = configured({**one, "url": "http://127.0.0.1:2"}, two)
    await started(dsn, moved, "run")
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO fills (account, mode, fill_id, order_id, trade_id, contract, root, side, quantity, price, filled_at)"
            " SELECT name, 'live', '1', 'o', 'T', 'CON.F.US.MNQ.Z26', 'MNQ', 'BUY', 2, 24000, now()"
            " FROM unnest(ARRAY['one', 'two']) AS a (name)"
        )
    with pytest.raises(ConfigError) as refused:
        await started(dsn, configured(one, two), "run")
    for name in ("one", "two"):
        assert f"Account {name} holds 2 CON.F.US.MNQ.Z26" in str(refused.value)
    with pytest.raises(ConfigError, match="Account two"):
        await started(dsn, configured({**one, "url": "http://127.0.0.1:2"}, {**two, "broker_account": "3"}), "run")
    assert await started(dsn, moved, "run") == []
    said = io.StringIO()
    configure_logging("json", "info", said)
    try:
        await started(dsn, configured({**one, "url": "http://127.0.0.1:2"}), "run")
    finally:
        configure_logging("console", "warning")
    (line,) = (each for each in map(json.loads, said.getvalue().splitlines()) if each["event"] == "account_left_alone")
    assert (line["account"], line["stake"]) == ("two", "holds 2 CON.F.US.MNQ.Z26")
