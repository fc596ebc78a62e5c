"""What a scrape reads of Postgres: right figures, few blocks whatever is stored, and an answer while Postgres is away."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from eventrouter.metrics import Metrics
from eventrouter.metrics.figures import FIGURES, Figures
from eventrouter.store.connect import Conn, Database
from eventrouter.store.metrics_facts import figures
from eventrouter.web import scrape
from tests.conftest import Server, _template
from tests.processes import until_async
from tests.router.proxy import proxied
from tests.web.live_site import ENTRY, Site, configuration, running

Sql = psycopg.Connection[Any]
TASKS = 200_000
BIG = {
    "automated_signals",
    "execution_tasks",
    "execution_logs",
    "account_log",
    "controls",
    "dead_letters",
    "seals",
    "holdings",
}
MOST_BLOCKS = 1_000
MOST_PASSED_OVER = 1_000

# A long history of which little is open: a queue in 30 lanes, some unknown, a dead letter in 4,000, and many halts that were lifted.
FILL = """
INSERT INTO execution_tasks (trade_id, event_type, status, account, lane, place, opening, client_order_id, payload, attempts,
                             last_attempt_at, created_at)
SELECT 'T-' || i, 'ENTRY',
       CASE WHEN i > %(tasks)s - 300 THEN 'PENDING' WHEN i %% 4000 = 0 THEN 'FAILED' WHEN i %% 20000 = 1 THEN 'UNKNOWN' ELSE 'SUCCESS' END,
       'a' || i %% 30, 'a' || i %% 30 || '/NQ', i, TRUE, 'c' || i, '{}', CASE WHEN i > %(tasks)s - 300 THEN 0 ELSE 1 END,
       CASE WHEN i <= %(tasks)s - 300 THEN clock_timestamp() - INTERVAL '90 seconds' END,
       clock_timestamp() - (%(tasks)s - i) * INTERVAL '1 second'
FROM generate_series(1, %(tasks)s) i;
INSERT INTO execution_logs (task_id, seq, status, attempt, actor, reason, hash, xid)
SELECT t.id, 1, 'PENDING', 0, 'enqueue', 'ENQUEUED', sha256(''), (1000 + t.id)::TEXT::XID8 FROM execution_tasks t;
INSERT INTO dead_letters (task_id, opened_seq, status, code, client_order_id, opened_at, closed_seq, closed_at, closed_by, closed_how)
SELECT t.id, 3, 'FAILED', 'REJECTED', t.client_order_id, clock_timestamp(), CASE WHEN t.id %% 20000 <> 0 THEN 4 END,
       CASE WHEN t.id %% 20000 <> 0 THEN clock_timestamp() END, CASE WHEN t.id %% 20000 <> 0 THEN 'me' END,
       CASE WHEN t.id %% 20000 <> 0 THEN 'DISCARDED' END
FROM execution_tasks t WHERE t.id %% 20 = 0;
INSERT INTO controls (scope, action, actor, hash)
SELECT 'account:a' || i %% 30, CASE WHEN i > 20000 - 3 THEN 'halt' ELSE 'resume' END, 'me', sha256('') FROM generate_series(1, 20000) i;
INSERT INTO account_log (account, mode, seq, kind, actor, state, hash)
SELECT 'a' || a, 'live', i, 'BOOKED', 'me', CASE WHEN a = 7 AND i = 1000 THEN '{"out_of_sync": "it holds 1"}' ELSE '{}' END::JSONB, sha256('')
FROM generate_series(0, 29) a, generate_series(1, 1000) i;
INSERT INTO holdings (account, mode, trade_id, contract, root, quantity, opened_at, updated_at)
SELECT 'a' || i %% 30, 'live', 'T-' || i, 'MNQZ6', 'MNQ', CASE WHEN i > 29990 THEN -2 ELSE 0 END, now(), now() FROM generate_series(1, 30000) i;
INSERT INTO seals (id, previous, hash, made_at, from_xid, to_xid, heads, digest)
SELECT i, sha256(''), sha256(''), clock_timestamp() - INTERVAL '30 seconds', '0', (1000 + %(tasks)s - 10)::TEXT::XID8, 1, sha256('')
FROM generate_series(1, 20000) i;
ANALYZE;
"""
ACCOUNTS = [f"a{n}" for n in range(30)]


@pytest.fixture(scope="module")
def much(embedded_server: Server) -> Iterator[str]:
    """A database with a long history, and something open at its end."""
    with embedded_server.database(_template(embedded_server)) as janitor:
        dsn = embedded_server.dsn(janitor.dbname)
        with psycopg.connect(dsn, cursor_factory=psycopg.ClientCursor) as conn:
            conn.execute("SET session_replication_role = replica")  # without triggers: no fold, chain, notification
            conn.execute(FILL, {"tasks": TASKS})
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("VACUUM")
        yield dsn


async def read(conn: Conn, accounts: list[str]) -> Figures:
    """The figures, read as a scrape reads them."""
    async with conn.transaction():
        return await figures(conn, accounts)


async def test_figures_of_a_long_history(much: str) -> None:
    """Right, to the task."""
    async with await Database(much).connect("test") as conn:
        found = await read(conn, ACCOUNTS)
    assert set(found) == set(FIGURES)
    assert found["tasks"][("PENDING",)] == 300
    assert found["tasks"][("UNKNOWN",)] == 10
    assert 299 <= found["oldest_task_seconds"][("PENDING",)] < 900
    assert 90 <= found["oldest_task_seconds"][("UNKNOWN",)] < 900  # since it was sent, days after it was enqueued
    assert found["dead_letters_open"] == {("FAILED",): 10, ("REVIEW",): 0}
    assert found["halts"] == {("halt",): 3, ("reduce",): 0, ("flatten",): 0}
    assert [name for (name,), value in found["account_out_of_sync"].items() if value] == ["a7"]
    assert sum(found["contracts_held"].values()) == 20
    assert 30 <= found["seal_age_seconds"][()] < 900
    assert found["migrations_pending"] == {(): 0}
    assert {table for (table,) in found["table_dead_rows"]} >= {"execution_tasks", "execution_logs"}


@pytest.mark.parametrize("planned", ["with statistics", "with those of an empty database"])
async def test_a_scrape_reads_little(much: str, planned: str) -> None:
    """No statement reads a big table whole, passes over many rows that it does not want, or touches a thousand blocks, as the planner's statistics stand or fall."""
    asked: list[tuple[Any, Any]] = []

    class Noting(psycopg.AsyncCursor[Any]):
        async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            asked.append((query, params))
            return await super().execute(query, params, **options)

    async with await Database(much).connect("test") as conn:
        conn.cursor_factory = Noting
        conn.row_factory = psycopg.rows.tuple_row
        await read(conn, ACCOUNTS)
    with psycopg.connect(much) as owner:
        if planned != "with statistics":
            owner.execute("DELETE FROM pg_statistic WHERE starelid = ANY (%s::REGCLASS[])", [list(BIG)])
        looked = [each for each in asked if str(each[0]).lstrip().upper().startswith(("SELECT", "WITH", "--"))]
        assert len(looked) == len(asked) <= 10
        for statement, values in looked:
            row = owner.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, values).fetchone()
            assert row is not None
            plan = row[0][0]["Plan"]
            whole = [each for each in _nodes(plan) if each["Node Type"] == "Seq Scan" and each["Relation Name"] in BIG]
            assert whole == [], statement
            passed_over = [each.get("Rows Removed by Filter", 0) * each["Actual Loops"] for each in _nodes(plan)]
            assert sum(passed_over) < MOST_PASSED_OVER, statement
            assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < MOST_BLOCKS, statement
        owner.rollback()


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


async def test_an_old_transaction_and_who_may_see_it(dsn: str) -> None:
    """Its age is told to the application role too, which may not see other sessions itself."""
    with psycopg.connect(dsn) as old:
        row = old.execute("SELECT clock_timestamp() FROM execution_tasks RIGHT JOIN (SELECT) x ON TRUE").fetchone()
        assert row is not None
        async with await Database(dsn).connect("test") as conn:
            found = await read(conn, [])
            now = await (await conn.execute("SELECT clock_timestamp()")).fetchone()
            assert now is not None
        assert 0 < found["oldest_transaction_seconds"][()] <= (now[0] - row[0] + timedelta(seconds=1)).total_seconds()
        assert found["sessions_hidden"][()] == 0


async def scraped(site: Site) -> dict[str, list[Any]]:
    """Family → its samples."""
    async with site.session.get(site.operator("/metrics")) as answer:
        assert answer.status == 200
        text = await answer.text()
    found = list(text_string_to_metric_families(text))
    assert len({family.name for family in found}) == len(found)
    return {family.name: family.samples for family in found}


async def test_a_scrape_while_postgres_is_frozen(
    dsn: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers without the database's figures and says so; meanwhile all else answers; then the figures are there again."""
    monkeypatch.setattr(scrape, "Reading", partial(scrape.Reading, fresh_s=0.0))
    async with (
        proxied(dsn, tmp_path_factory.mktemp("p")) as proxy,
        running(configuration(proxy.dsn), with_router=False) as site,
    ):
        before = await scraped(site)
        assert before["eventrouter_database_up"][0].value == 1
        assert before["eventrouter_tasks"]
        for connection in proxy.connections:
            connection.mute = True
        asking = asyncio.create_task(scraped(site))
        assert (await site.get("/healthz"))[0] == 200
        assert not asking.done()
        for found in (await asking, await scraped(site)):
            assert found["eventrouter_database_up"][0].value == 0
            assert [name for name in FIGURES if found[f"eventrouter_{name}"]] == []
            assert found["eventrouter_build_info"][0].value == 1
        for connection in proxy.connections:
            connection.cut()

        async def back() -> bool:
            found = await scraped(site)
            return bool(found["eventrouter_tasks"]) and found["eventrouter_database_up"][0].value == 1

        await until_async(back)


async def test_many_scrapes_are_one_reading(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks while figures are read, or soon after, gets the same."""
    readings = 0

    async def counted(conn: Conn, accounts: Sequence[str]) -> Figures:
        nonlocal readings
        readings += 1
        return await figures(conn, accounts)

    monkeypatch.setattr(scrape, "figures", counted)
    monkeypatch.setattr(scrape, "Reading", partial(scrape.Reading, fresh_s=3600.0))
    async with running(configuration(dsn), with_router=False) as site:
        await asyncio.gather(*(scraped(site) for _ in range(20)))
        assert (await scraped(site))["eventrouter_tasks"]
    assert readings == 1


ONLY_AFTER_AN_EVENT = {
    "connections_closed",  # a client that is slow, or one too many
    "spool_refusals",
    "store_errors",
    "notifications",  # [alerts] has URLs
    "strategy_silent",  # a strategy has expect_every
}


async def test_everything_is_there_after_one_alert_and_nothing_secret(dsn: str) -> None:
    """Every metric has a sample, but those of things that did not happen; no label is the webhook's token or of the database's address."""
    accounts = [{"name": "paper"}, {"name": "other", "enabled": False}]
    async with running(configuration(dsn, accounts=accounts)) as site:
        token = await site.token()
        _, answer = await site.alert(token, ENTRY)

        async def done() -> bool:
            return str((await site.get(f"/api/tasks/{answer['tasks'][0]}"))[1]["status"]) == "SUCCESS"

        async def sealed() -> bool:
            with psycopg.connect(dsn) as owner:
                return bool(owner.execute("SELECT seal_history()").fetchone())

        await until_async(done)
        await until_async(sealed)
        found = await scraped(site)
    silent = {name.removeprefix("eventrouter_") for name, samples in found.items() if not samples}
    assert silent - {f"{name}_created" for name in ONLY_AFTER_AN_EVENT} == ONLY_AFTER_AN_EVENT
    assert {each.name.removesuffix("_total") for each in Metrics().described} <= set(found)
    values = {value for samples in found.values() for sample in samples for value in sample.labels.values()}
    assert not any(token in value or "host=" in value for value in values)
    assert {sample.labels["account"] for sample in found["eventrouter_account_up"]} == {"paper", "other"}
    assert {sample.labels["account"] for sample in found["eventrouter_account_out_of_sync"]} == {"paper", "other"}
