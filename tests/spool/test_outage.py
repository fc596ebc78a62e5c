"""While Postgres is away alerts are kept; when it is back each is stored once, in order, as if it had been there."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from eventrouter.errors import StoreUnavailable
from eventrouter.store.batch import Batcher
from eventrouter.store.connect import Database
from eventrouter.store.tokens import add_token
from eventrouter.web import health, tokens
from tests.processes import until_async
from tests.spool.conftest import Postgres
from tests.spool.live_spool import content_of, drained, entry, figures, files, rows, spool_for, spool_of, spooling
from tests.web.live_site import ENTRY, EXIT, configuration, exchange, request, running

# the outage


async def test_alerts_of_an_outage_are_stored_once_in_order_with_their_times(
    dsn: str, postgres: Postgres, tmp_path: Path
) -> None:
    """Each is answered 202 in time; after the outage it has its task, which runs, and those after it follow."""
    async with spooling(dsn, tmp_path, with_router=True) as (site, token):
        postgres.stop()
        answers = []
        sent_at = []
        for number in range(20):
            started = time.monotonic()
            sent_at.append(datetime.now(UTC))
            answers.append(await site.alert(token, entry(f"T-{number}")))
            assert time.monotonic() - started < 2.5
        back_at = datetime.now(UTC)
        assert {(status, answer["spooled"]) for status, answer in answers} == {(202, True)}
        assert await spool_of(site) == {"state": "waiting", "alerts": 20}
        assert figures(site, "spool_alerts", "spooled_total", "spool_stored_total") == [20, 20, 0]
        postgres.start()
        await drained(site)
        assert (await site.alert(token, entry("after")))[0] == 200

        async def all_done() -> bool:
            return {status for (status,) in rows(dsn, "status", "execution_tasks")} == {"SUCCESS"}

        await until_async(all_done, within_s=20, what="every task's success")
        assert figures(site, "spool_alerts", "spooled_total", "spool_stored_total") == [0, 20, 20]
    stored = rows(dsn, "signal_uid, trade_id, received_at, created_at")
    assert [trade for _, trade, _, _ in stored] == ["first", *(f"T-{number}" for number in range(20)), "after"]
    assert [str(uid) for uid, *_ in stored[1:-1]] == [answer["signal_uid"] for _, answer in answers]
    for (_, _, received_at, created_at), sent, after in zip(
        stored[1:-1], sent_at, [*sent_at[1:], back_at], strict=True
    ):
        assert sent <= received_at <= after <= back_at < created_at
    assert [trade for (trade,) in rows(dsn, "trade_id", "execution_tasks")] == [trade for _, trade, _, _ in stored]
    assert files(tmp_path) == ["lock"]


async def test_age_counts_from_the_receipt(dsn: str, postgres: Postgres, tmp_path: Path) -> None:
    """However long an entry lay on disk, it expires as if it had been stored at once; an exit never does."""
    async with spooling(dsn, tmp_path, strategies=[{"name": "orb", "max_age": 0.5}]) as (site, token):
        postgres.stop()
        assert (await site.alert(token, entry("old")))[0] == 202
        assert (await site.alert(token, {**EXIT, "trade_id": "first"}))[0] == 202
        postgres.start()
        await drained(site)
    ages = "event_type, expires_at - (SELECT received_at FROM automated_signals s WHERE s.id = signal_id)"
    expired = "expires_at < created_at"
    assert rows(dsn, f"{ages}, {expired}", "execution_tasks")[1:] == [
        ("ENTRY", timedelta(seconds=0.5), True),
        ("EXIT_BE", None, None),
    ]


async def test_alerts_of_an_outage_are_paired_in_order(dsn: str, postgres: Postgres, tmp_path: Path) -> None:
    """Entry, reversal and exit that name no trade, all spooled, become what they would have been, and run like that."""
    bodies = [b"action=buy;side=long;symbol=MES1!;quantity=2", b"action=reverse;side=short;symbol=MES1!;quantity=1"]
    async with spooling(dsn, tmp_path, with_router=True) as (site, token):
        postgres.stop()
        for body in bodies:
            assert (await site.alert(token, body))[0] == 202
        postgres.start()
        await drained(site)
        held = rows(dsn, "trade_id, side, units, 1 AS id", "strategy_trades WHERE ended_at IS NULL")
        status, answer = await site.alert(token, b"exit MES1!")
        assert (status, answer["event_type"]) == (200, "EXIT")

        async def all_done() -> bool:
            return not {status for (status,) in rows(dsn, "status", "execution_tasks")} & {"PENDING", "SENDING"}

        await until_async(all_done, within_s=20, what="every task's end")
    _, (old, _), (new, trades), (closed, _) = rows(dsn, "trade_id, trades")
    assert (trades, closed, old == new) == ([old, new], new, False)
    assert [row[:3] for row in held if row[0] != "first"] == [(new, "SHORT", 1)]
    assert rows(dsn, "event_type, trade_id", "execution_tasks")[1:] == [
        ("ENTRY", old),
        ("EXIT_REVERSE", old),
        ("ENTRY", new),
        ("EXIT", new),
    ]


async def test_a_refused_alert_is_spooled_before_it_is_answered(
    dsn: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is answered as ever, and stored with its bytes and its code, without a task."""
    monkeypatch.setattr(health, "_ANSWER_WITHIN_S", 0.3)
    async with spooling(dsn, tmp_path) as (site, token):
        postgres.stop()
        status, answer = await site.alert(token, b"hello MNQ")
        assert (status, answer["code"]) == (422, "FORMAT_UNKNOWN")
        assert await spool_of(site) == {"state": "waiting", "alerts": 1}
        assert (await site.get("/readyz"))[1]["spool"] == {"state": "waiting", "alerts": 1}
        postgres.start()
        await drained(site)
    assert rows(dsn, "raw, code, message")[1:] == [(b"hello MNQ", "FORMAT_UNKNOWN", answer["message"])]
    assert len(rows(dsn, "id", "execution_tasks")) == 1


async def test_a_sender_must_be_known(
    dsn: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that was never seen cannot be looked up: 503, and nothing is spooled; one that was stays valid."""
    async with spooling(dsn, tmp_path) as (site, token):
        unseen = await site.token("fresh")
        monkeypatch.setattr(tokens, "_FRESH_S", 0.0)
        postgres.stop()
        status, answer = await site.alert(unseen, ENTRY)
        assert (status, answer["code"]) == (503, "STORE_UNAVAILABLE")
        assert await spool_of(site) == {"state": "empty", "alerts": 0}
        started = time.monotonic()
        assert (await site.alert(token, ENTRY))[0] == 202
        assert time.monotonic() - started < 2.5


async def test_the_first_alert_may_come_during_an_outage(dsn: str, postgres: Postgres, tmp_path: Path) -> None:
    """The tokens that are valid when the service starts are known from then on."""
    async with await Database(dsn).connect("test") as conn:
        token = await add_token(conn, "orb")
    config = configuration(dsn, server={"spool": True, "spool_dir": str(tmp_path)})
    async with running(config, with_router=False) as site:
        postgres.stop()
        started = time.monotonic()
        assert (await site.alert(token, ENTRY))[0] == 202
        assert time.monotonic() - started < 2.5


async def test_no_secret_is_in_the_spool(dsn: str, postgres: Postgres, tmp_path: Path) -> None:
    """Neither the token nor a sender's credentials reach the disk."""
    async with spooling(dsn, tmp_path) as (site, token):
        postgres.stop()
        sent = request(
            f"/webhook/{token}", json.dumps(ENTRY).encode(), Authorization=b"Bearer CANARY", Cookie=b"CANARY"
        )
        assert (await exchange(site.public_address, sent))[0] == 202
        content = content_of(tmp_path)
        assert "User-Agent" in content or "Content-Length" in content
        assert token not in content
        assert "CANARY" not in content


async def test_the_same_alert_through_spool_and_database_is_one_signal(
    dsn: str, postgres: Postgres, tmp_path: Path
) -> None:
    """A repeat within 30 s of the first receipt makes no order, wherever each of them lay; after that it is a new alert."""
    async with spooling(dsn, tmp_path) as (site, token):
        postgres.stop()
        repeated = entry("T-1")
        answers = [await site.alert(token, repeated), await site.alert(token, repeated)]
        assert [status for status, _ in answers] == [202, 202]
        await site.stop()
    postgres.start()
    spool = await spool_for(dsn, tmp_path)
    first = spool.head(1).alerts[0]
    spool.append(
        [replace(first, uid=UUID(int=s), received_at=first.received_at + timedelta(seconds=s)) for s in (29, 31)]
    )
    spool.close()
    async with running(
        configuration(dsn, server={"spool": True, "spool_dir": str(tmp_path)}), with_router=False
    ) as site:
        await drained(site)
        status, answer = await site.alert(token, repeated)
        assert (status, answer["duplicate"]) == (200, True)
    signals = rows(dsn, "trade_id, duplicate_of")[1:]
    assert signals == [("T-1", None), ("T-1", first.uid), ("T-1", first.uid), ("T-1", None), ("T-1", UUID(int=31))]
    assert [trade for (trade,) in rows(dsn, "trade_id", "execution_tasks")] == ["first", "T-1", "T-1"]


async def test_alerts_that_come_while_the_spool_empties_join_it(dsn: str, postgres: Postgres, tmp_path: Path) -> None:
    """A stream of alerts keeps its order through outage and return, and at its end is stored at once again."""
    async with spooling(dsn, tmp_path) as (site, token):
        postgres.stop()
        statuses = [(await site.alert(token, entry("T-0")))[0]]
        back = asyncio.create_task(asyncio.to_thread(postgres.start))
        while len(statuses) < 300 or not back.done() or statuses[-1] != 200:
            assert len(statuses) < 20_000
            statuses.append((await site.alert(token, entry(f"T-{len(statuses)}")))[0])
        await back
    turn = statuses.index(200)
    assert set(statuses[:turn]) == {202}
    assert [trade for (trade,) in rows(dsn, "trade_id")] == ["first", *(f"T-{n}" for n in range(len(statuses)))]


async def test_a_crowd_that_never_pauses_gets_out_of_the_spool(dsn: str, postgres: Postgres, tmp_path: Path) -> None:
    """Twenty senders at once, each sending its next alert as soon as it has an answer: all of them are stored directly again."""
    async with spooling(dsn, tmp_path) as (site, token):
        postgres.stop()
        direct: set[int] = set()

        async def send(sender: int) -> int:
            number = 0
            while len(direct) < 20:
                status, _ = await site.alert(token, entry(f"S{sender}-{number}"))
                assert status in (200, 202)
                if status == 200:
                    direct.add(sender)
                number += 1
            return number

        async with asyncio.timeout(30):
            assert (await site.alert(token, entry("spooled")))[0] == 202
            sending = [asyncio.create_task(send(sender)) for sender in range(20)]
            await asyncio.to_thread(postgres.start)
            counts = await asyncio.gather(*sending)
        await drained(site)
    trades = [trade for (trade,) in rows(dsn, "trade_id")]
    for sender, sent in enumerate(counts):
        assert [t for t in trades if t.startswith(f"S{sender}-")] == [f"S{sender}-{n}" for n in range(sent)]


# an outage begins


async def test_an_alert_whose_commit_was_under_way_is_stored_once(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is done, its answer is lost, the alert is spooled: one signal, one task."""
    commit = Batcher.commit
    lost = 0

    async def committed_but_not_heard(self: Any, items: Sequence[Any], deadline: float) -> Any:
        nonlocal lost
        results = await commit(self, items, deadline)
        if lost == 0:
            lost += len(items)
            raise StoreUnavailable("the connection broke after COMMIT")
        return results

    async with spooling(dsn, tmp_path) as (site, token):
        monkeypatch.setattr(Batcher, "commit", committed_but_not_heard)
        status, answer = await site.alert(token, entry("T-1"))
        assert (status, lost) == (202, 1)
        await drained(site)
    assert rows(dsn, "signal_uid, trade_id")[1:] == [(UUID(answer["signal_uid"]), "T-1")]
    assert [trade for (trade,) in rows(dsn, "trade_id", "execution_tasks")] == ["first", "T-1"]


async def test_a_server_that_answers_nothing_costs_no_alert_its_sender(
    dsn: str, postgres: Postgres, tmp_path: Path
) -> None:
    """A frozen Postgres holds connections open: alerts are answered in time all the same, and stored once when it goes on."""
    async with spooling(dsn, tmp_path) as (site, token):
        with postgres.frozen():
            started = time.monotonic()
            answers = await asyncio.gather(*(site.alert(token, entry(f"T-{number}")) for number in range(5)))
            assert {status for status, _ in answers} == {202}
            assert time.monotonic() - started < 2.5
            started = time.monotonic()
            assert (await site.alert(token, entry("later")))[0] == 202
            assert time.monotonic() - started < 1.0
        await drained(site)
    assert sorted(trade for (trade,) in rows(dsn, "trade_id")) == ["T-0", "T-1", "T-2", "T-3", "T-4", "first", "later"]
    assert len(rows(dsn, "id", "execution_tasks")) == 7


async def test_a_lock_in_the_database_is_no_reason_to_refuse(dsn: str, tmp_path: Path) -> None:
    """Where the commit only takes too long, the alert is spooled, and stored once the table is free."""
    async with spooling(dsn, tmp_path) as (site, token):
        with psycopg.connect(dsn) as conn:
            conn.execute("LOCK TABLE automated_signals IN ACCESS EXCLUSIVE MODE")
            assert (await site.alert(token, entry("T-1")))[0] == 202
        await drained(site)
    assert [trade for (trade,) in rows(dsn, "trade_id")] == ["first", "T-1"]


async def test_a_primary_that_became_a_standby_is_an_outage(dsn: str, postgres: Postgres, tmp_path: Path) -> None:
    """A database that answers but takes no writes: the alert is spooled, and stored when it takes them again."""
    name = str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])
    async with spooling(dsn, tmp_path) as (site, token):
        with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as owner:
            for value in ("on", "off"):
                owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}")  # type: ignore[arg-type, unused-ignore]
                owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
                assert site.service.context.tokens is not None
                pool = site.service.context.tokens._pool
                async with pool.connection(), pool.connection():
                    pass  # both are new ones
                if value == "on":
                    assert (await site.alert(token, entry("T-1")))[0] == 202
        await drained(site)
    assert [trade for (trade,) in rows(dsn, "trade_id")] == ["first", "T-1"]


async def test_a_commit_that_fails_as_a_whole_refuses_no_alert(dsn: str, tmp_path: Path) -> None:
    """Postgres says 54000 at COMMIT when its queue of notifications is full: no row is to blame, and the alert waits."""
    full = """
        CREATE FUNCTION full_queue() RETURNS TRIGGER LANGUAGE plpgsql
        AS 'BEGIN RAISE EXCEPTION ''too many notifications in the NOTIFY queue'' USING ERRCODE = ''54000''; END';
        CREATE CONSTRAINT TRIGGER full_queue AFTER INSERT ON execution_tasks DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION full_queue()
    """
    async with spooling(dsn, tmp_path) as (site, token):
        with psycopg.connect(dsn, autocommit=True) as owner:
            owner.execute(full)
            assert (await site.alert(token, entry("T-1")))[0] == 202
            owner.execute("DROP TRIGGER full_queue ON execution_tasks")
        await drained(site)
    assert rows(dsn, "trade_id, code")[1:] == [("T-1", None)]
