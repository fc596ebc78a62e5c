"""explain says what an alert would do, and what it says is what then happens."""

import json
from typing import Any

import pytest

from eventrouter.config import Config
from eventrouter.config.rules import rules_of, table_of
from eventrouter.domain.decide import decide
from eventrouter.domain.parsers import read_alert
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.explain import explain
from eventrouter.ingest import Alert, SignalIngest
from eventrouter.metrics import Metrics
from eventrouter.store import tasks as store
from eventrouter.store.connect import Conn, Pool
from eventrouter.store.settings import TableCache, publish
from eventrouter.store.tokens import add_token

CONFIG = Config.model_validate(
    {
        "accounts": [{"name": "a"}, {"name": "b"}, {"name": "c", "enabled": False}],
        "strategies": [{"name": "orb", "accounts": ["a"], "max_quantity": 3.0}, {"name": "both"}],
    }
)
BUY = {"ticker": "MNQ1!", "action": "buy", "sentiment": "long", "quantity": 2}


def decisions(answer: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(account, decision, reason) of each row."""
    return [(row["account"], row["decision"], row["reason"]) for row in answer["accounts"]]


async def told(conn: Conn | None, alert: object, strategy: str | None = "orb") -> dict[str, Any]:
    """The explanation of an alert."""
    raw = alert if isinstance(alert, bytes) else json.dumps(alert).encode()
    return await explain(CONFIG, conn, raw, strategy=strategy)


class Desk:
    """Takes alerts for good, and runs what is due."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.ingest = SignalIngest(
            pool,
            tables=TableCache(table_of(CONFIG)),
            rules=lambda strategy: rules_of(CONFIG, strategy),
            metrics=Metrics(),
        )

    async def take(self, alert: object, strategy: str = "orb") -> list[tuple[str, str, str]]:
        """Sends the alert; what was decided, as (account, status, reason)."""
        await self.ingest.accept(Alert.now(json.dumps(alert).encode(), strategy))
        async with store.claim(self.pool, ["a", "b", "c"], limit=100, depth=100) as claim:
            assert claim.now is not None
            made = decide(claim.due, now=claim.now, dry_run=True, lease_s=30.0, limit=100)
            entries = [*(send.entry for send in made.sends), *made.others]
            await claim.record("test", entries)
        accounts = {task.id: task.account for task in claim.due}
        async with self.pool.connection() as conn, conn.transaction():
            done = [(send.task.id, send.task.version + 1) for send in made.sends]
            await store.append(
                conn, "test", [LogEntry(task, version, Status.SUCCESS, "DONE") for task, version in done]
            )
        return sorted((accounts[entry.task_id], str(entry.status), entry.reason) for entry in entries)


@pytest.fixture
async def desk(pool: Pool) -> Any:
    """An ingest that stores."""
    made = Desk(pool)
    await made.ingest.start()
    yield made
    await made.ingest.stop()


async def test_every_account_has_a_decision_and_a_reason(conn: Conn) -> None:
    """Who would trade, with what; who would not, and why."""
    answer = await told(conn, BUY)
    assert answer["understood"] is True
    assert answer["message"] == "Enter LONG MNQ1!, quantity 2, at the market."
    signal = answer["signal"]
    assert (signal["event"], signal["side"], signal["symbol"], signal["instrument"], signal["quantity"]) == (
        "ENTRY",
        "LONG",
        "MNQ1!",
        "MNQ",
        2,
    )
    assert decisions(answer) == [
        ("a", "send", "INTENT"),
        ("b", "nothing", "NOT_IN_STRATEGY"),
        ("c", "nothing", "ACCOUNT_DISABLED"),
    ]
    assert answer["accounts"][0]["quantity"] == 2


async def test_the_published_routes_count(conn: Conn) -> None:
    """What would be planned is what the service planned by: its published table, which may not be this file's."""
    await publish(conn, "x", "account", {"a": {}, "z": {}, "c": {"enabled": False}})
    routes = [{"name": "micros", "instruments": ["M*"], "accounts": ["a"]}]
    await publish(conn, "x", "routes", {"routes": {"routes": routes}})
    answer = await told(conn, BUY)
    assert decisions(answer) == [
        ("a", "send", "INTENT"),
        ("z", "nothing", "NO_ROUTE"),
        ("c", "nothing", "ACCOUNT_DISABLED"),
    ]
    assert any("others than in this configuration" in note for note in answer["notes"])
    other = await told(conn, {**BUY, "ticker": "NQ1!"})
    assert other["accounts"][0]["message"] == "Route micros to this account: only M*. The signal is for NQ."


async def test_what_is_told_is_what_happens(conn: Conn, desk: Desk) -> None:
    """Entry, reversal, exit and a second exit: each is explained first and then sent."""
    steps = [
        (BUY, ["send"], [("a", "SENDING", "INTENT")]),
        ({"ticker": "MNQ1!", "action": "add", "quantity": 1}, ["send"], [("a", "SENDING", "INTENT")]),
        (
            {"ticker": "MNQ1!", "action": "exit", "quantity": 1, "time": "2026-01-01T00:00:07Z"},
            ["send"],
            [("a", "SENDING", "INTENT")],
        ),
        ({"ticker": "MNQ1!", "action": "exit"}, ["send"], [("a", "SENDING", "INTENT")]),
        ({"ticker": "MNQ1!", "action": "exit", "price": 2}, ["deny"], [("a", "DENIED", "NOTHING_TO_CLOSE")]),
        ({**BUY, "time": "2026-01-01T00:00:07Z"}, ["expire"], [("a", "EXPIRED", "TOO_OLD")]),
        ({"ticker": "MNQ1!", "action": "cancel"}, ["deny"], [("a", "DENIED", "NOTHING_TO_CANCEL")]),
    ]
    for alert, said, done in steps:
        answer = await told(conn, alert)
        assert [row["decision"] for row in answer["accounts"] if row["event"]] == said, alert
        assert await desk.take(alert) == done, alert


async def test_a_reversal_names_both_halves(conn: Conn, desk: Desk) -> None:
    """The exit of the open trade, and the entry that waits for it."""
    await desk.take(BUY)
    answer = await told(conn, {"ticker": "MNQ1!", "action": "sell", "sentiment": "short"})
    exit_row, entry_row = answer["accounts"][:2]
    assert (exit_row["event"], entry_row["event"]) == ("EXIT_REVERSE", "ENTRY")
    assert f"once {exit_row['trade_id']} is closed" in entry_row["message"]
    bare = await told(conn, {"ticker": "MNQ1!", "action": "sell"})
    assert (bare["understood"], bare["code"], bare["accounts"]) == (False, "AMBIGUOUS", [])
    assert "opposite" in bare["message"]


async def test_a_repeat_is_told(conn: Conn, desk: Desk) -> None:
    """The same body again names the signal that it would repeat."""
    await desk.take(BUY)
    assert (await told(conn, BUY))["duplicate_of"] == 1
    assert (await told(conn, {**BUY, "quantity": 1}))["duplicate_of"] is None


async def test_nothing_is_done(conn: Conn) -> None:
    """Explaining leaves the database as it was."""
    await told(conn, BUY)
    await told(conn, b"nonsense")
    counts = await conn.execute(
        "SELECT (SELECT count(*) FROM automated_signals), (SELECT count(*) FROM execution_tasks),"
        " (SELECT count(*) FROM strategy_trades WHERE ended_at IS NULL), (SELECT count(*) FROM alert_windows)"
    )
    assert await counts.fetchone() == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("alert", "code"),
    [
        ({"ticker": "{{ticker}}", "action": "buy"}, "PLACEHOLDER"),
        ({**BUY, "quantity": 4}, "QUANTITY_TOO_LARGE"),
        ({"action": "buy"}, "FIELD_MISSING"),
        (b"", "BODY_EMPTY"),
        (b"x" * 70_000, "BODY_TOO_LARGE"),
    ],
)
async def test_a_refusal_says_how_to_mend_it(conn: Conn, alert: object, code: str) -> None:
    """The code, the sentence, and what to do."""
    answer = await told(conn, alert)
    assert (answer["understood"], answer["code"]) == (False, code)
    assert answer["message"]
    assert answer["mend"]


async def test_without_a_database(conn: Conn) -> None:
    """What is not known is said to be unknown, never guessed."""
    answer = await told(None, {"ticker": "MNQ1!", "action": "exit"})
    assert decisions(answer)[0] == ("a", "unknown", "NOT_ASKED")
    assert any("database was not asked" in note for note in answer["notes"])
    assert decisions(await told(None, BUY))[0][:2] == ("a", "send")


async def test_whose_alert_it_is(conn: Conn) -> None:
    """By its token, else by the name that it gives, else by default; the token itself is told nowhere."""
    token = await add_token(conn, "orb")
    answer = await told(conn, {**BUY, "password": token}, strategy=None)
    assert answer["strategy"] == "orb"
    assert token not in json.dumps(answer)
    named = {"kind": "ENTRY", "trade_id": "T", "direction": "LONG", "strategy": "both"}
    assert (await told(conn, named, strategy=None))["strategy"] == "both"
    assert (await told(conn, BUY, strategy=None))["strategy"] == "default"
    assert read_alert(json.dumps(named).encode()).signal is not None
