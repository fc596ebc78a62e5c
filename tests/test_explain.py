"""explain says what an alert would do, and what it says is what then happens."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from eventrouter.config import Config
from eventrouter.config.rules import account_of, published_account, published_rows, rules_of, table_of
from eventrouter.domain.account_facts import Question
from eventrouter.domain.decide import decide
from eventrouter.domain.parsers import read_alert
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.explain import explain
from eventrouter.ingest import Alert, SignalIngest
from eventrouter.metrics import Metrics
from eventrouter.router import ExecutionRouter
from eventrouter.store import tasks as store
from eventrouter.store.connect import Conn, Database, Pool
from eventrouter.store.controls import set_control
from eventrouter.store.facts import account_facts
from eventrouter.store.settings import TableCache, publish
from eventrouter.store.tokens import add_token
from tests.processes import until_async

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


async def told(
    conn: Conn | None, alert: object, strategy: str | None = "orb", config: Config = CONFIG
) -> dict[str, Any]:
    """The explanation of an alert."""
    raw = alert if isinstance(alert, bytes) else json.dumps(alert).encode()
    return await explain(config, conn, raw, strategy=strategy)


class Desk:
    """Takes alerts for good, and runs what is due."""

    def __init__(self, pool: Pool, config: Config = CONFIG) -> None:
        self.pool = pool
        self.ingest = SignalIngest(
            pool,
            tables=TableCache(table_of(config)),
            rules=lambda strategy: rules_of(config, strategy),
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


SIZED = Config.model_validate(
    {
        "accounts": [
            {"name": "as_asked"},
            {"name": "double", "sizing": {"value": 2}, "max_contracts": 8},
            {"name": "by_risk", "sizing": {"by": "risk_amount", "value": 300}},
            {"name": "micro", "sizing": {"by": "fixed", "value": 1, "contract": "micro"}},
            {"name": "poor", "sizing": {"by": "risk_amount", "value": 1}},
            {"name": "small", "max_contracts": 1},
            {"name": "losing", "balance": 50_000, "daily_loss": 1_000},
            {"name": "one_a_minute", "max_orders_per_minute": 1},
            {"name": "asking", "automation": "approve_each"},
            {"name": "oil", "instruments": ["CL"]},
            {"name": "hers", "owner": "her", "no_opposite_side": True},
            {"name": "hers_too", "owner": "her", "no_opposite_side": True},
            {"name": "off", "enabled": False},
        ],
        "strategies": [{"name": "orb", "max_age": 0}, {"name": "fade", "accounts": ["hers_too"]}],
        "routes": [
            {"name": "all", "accounts": [], "groups": ["everybody"]},
            {"name": "twice", "accounts": ["as_asked"], "multiplier": 2},
        ],
        "groups": [
            {
                "name": "everybody",
                "accounts": [
                    "double", "by_risk", "micro", "poor", "small", "losing", "one_a_minute", "asking", "oil", "hers", "hers_too", "off",
                ],
            }
        ],
    }
)  # fmt: skip
LONG = {
    "ticker": "MNQZ2026",
    "action": "buy",
    "sentiment": "long",
    "quantity": 3,
    "price": 24000,
    "stopLoss": {"stopPrice": 23950},
}
_OUTCOME = {
    "send": "SENDING",
    "wait": "PENDING",
    "hold": "HELD",
    "deny": "DENIED",
    "expire": "EXPIRED",
    "cancel": "CANCELLED",
}
_DECIDED = (
    "SELECT t.account, t.event_type, l.status, l.reason, l.message, l.detail FROM execution_tasks t JOIN execution_logs l ON l.task_id = t.id"
    " WHERE t.id > %s AND l.seq = 2"
)


@asynccontextmanager
async def routed(dsn: str, config: Config) -> AsyncIterator[tuple[Conn, Desk]]:
    """Takes alerts, which a router executes in a dry run with what was published of these accounts."""
    database = Database(dsn)
    async with database.pool("desk") as pool, await database.connect("explain") as conn:
        for kind, rows in published_rows(config).items():
            await publish(conn, "test", kind, rows)  # type: ignore[arg-type]
        desk = Desk(pool, config)
        await desk.ingest.start()
        router = ExecutionRouter(dsn, accounts=[account_of(account) for account in config.accounts])
        await router.start()
        try:
            yield conn, desk
        finally:
            await router.stop()
            await desk.ingest.stop()


async def happened(conn: Conn, desk: Desk, alert: object, strategy: str = "orb") -> dict[tuple[str, str], Any]:
    """Sends the alert: (account, event) → (status, reason, message, detail) of what was decided."""
    before = await (await conn.execute("SELECT COALESCE(max(id), 0) FROM execution_tasks")).fetchone()
    assert before is not None
    await desk.ingest.accept(Alert.now(json.dumps(alert).encode(), strategy))

    async def decided() -> bool:
        row = await (
            await conn.execute("SELECT count(*) FROM execution_tasks WHERE status = 'SENDING' OR version = 1")
        ).fetchone()
        return row == (0,)

    await until_async(decided, within_s=30, what="a decision about every task")
    return {(row[0], row[1]): row[2:] for row in await (await conn.execute(_DECIDED, before)).fetchall()}


def same(row: Mapping[str, Any], done: tuple[str, str, str | None, Mapping[str, Any]]) -> bool:
    """Whether an explained row is what then happened, with its reason, sizes and figures."""
    status, reason, message, detail = done
    figures = {key: value for key, value in detail.items() if key not in ("request_hash", "client_order_id")}
    sent = status == "SENDING"
    sized = (detail if sent else detail.get("order", {})).get("quantity")
    return (
        _OUTCOME[row["decision"]] == status
        and row["reason"] == reason
        and (row["message"] == message or row["decision"] == "send")
        and (row["figures"] == figures or "age" in str(figures))
        and (None if sized is None else float(sized)) == row["quantity"]
        and row["contract"] == (detail.get("contract") if sent else None)
    )


async def test_sizes_and_limits_are_those_that_are_applied(dsn: str) -> None:
    """Entries, an addition, a reduction, a reversal and exits: on each account what was told is what the log then says."""
    short = {**LONG, "action": "sell", "sentiment": "short", "quantity": 2, "stopLoss": {"stopPrice": 24050}}
    alerts = [
        (LONG, "orb"),
        ({**LONG, "action": "add", "quantity": 1}, "orb"),
        (short, "fade"),
        ({"ticker": "MNQZ2026", "action": "exit", "quantity": 2, "price": 24010}, "orb"),
        (short, "orb"),
        ({"ticker": "MNQZ2026", "action": "exit", "price": 23990}, "orb"),
        ({**LONG, "ticker": "CLZ2026", "price": 60, "stopLoss": {"stopPrice": 59}}, "orb"),
    ]
    seen: set[tuple[str, str]] = set()
    async with routed(dsn, SIZED) as (conn, desk):
        for alert, strategy in alerts:
            if alert is alerts[-1][0]:
                await set_control(conn, "account:double", "halt", actor="test", reason=None)
            answer = await told(conn, alert, strategy, SIZED)
            assert not [note for note in answer["notes"] if "published" in note]
            done = await happened(conn, desk, alert, strategy)
            rows = {(row["account"], row["event"]): row for row in answer["accounts"] if row["event"]}
            assert rows.keys() == done.keys(), alert
            for key, row in rows.items():
                assert same(row, done[key]), (alert, row, done[key])
            seen |= {(row["decision"], row["reason"]) for row in answer["accounts"]}
    refused = {code for decision, code in seen if decision == "deny"}
    assert refused == {
        "HALTED",
        "INSTRUMENT_NOT_ALLOWED",
        "MAX_CONTRACTS",
        "NOTHING_OPEN",
        "NOTHING_TO_CLOSE",
        "OPPOSITE_SIDE",
        "ORDERS_PER_MINUTE",
        "SIZE_ZERO",
    }
    assert seen >= {("hold", "APPROVAL_NEEDED"), ("wait", "WAITS_FOR_ENTRY"), ("nothing", "ACCOUNT_DISABLED")}


async def test_the_numbers_are_in_the_row(conn: Conn) -> None:
    """The size, the contract, and how it came to that; of a refusal the figures that it was held against."""
    rows = {row["account"]: row for row in (await told(conn, LONG, config=SIZED))["accounts"]}
    assert (rows["by_risk"]["quantity"], rows["by_risk"]["asked"], rows["by_risk"]["contract"]) == (3, 3, "MNQZ6")
    assert "300 at risk" in rows["by_risk"]["calculation"]
    assert rows["by_risk"]["calculation"] in rows["by_risk"]["message"]
    assert rows["as_asked"]["quantity"] == 6
    assert (rows["small"]["quantity"], rows["small"]["figures"]["max_contracts"]) == (3, "1")
    assert "0.01 MNQ" in rows["poor"]["message"]
    assert {row["mode"] for row in rows.values() if row["decision"] == "send"} == {"dry"}
    unread = {row["account"]: row for row in (await told(None, LONG, config=SIZED))["accounts"]}
    assert (unread["small"]["decision"], unread["small"]["reason"]) == ("unknown", "NOT_ASKED")
    assert unread["by_risk"]["quantity"] == 3


LIVE = Config.model_validate(
    {
        "router": {"dry_run": False},
        "accounts": [
            {"name": "real", "connector": "projectx", "live": True, "automation": "allowed", "max_contracts": 2},
            {"name": "shown", "connector": "projectx", "automation": "allowed"},
            {"name": "rolls", "connector": "projectx", "live": True, "automation": "allowed", "roll": "broker"},
        ],
    }
)


async def test_each_account_is_told_in_its_own_mode_and_no_broker_is_asked(conn: Conn) -> None:
    """A live account's contract is named where the calendar tells it, and else by the broker when the order is sent."""
    rows = {row["account"]: row for row in (await told(conn, BUY, None, LIVE))["accounts"]}
    real, shown, rolls = rows["real"], rows["shown"], rows["rolls"]
    assert (real["mode"], real["decision"], real["quantity"]) == ("live", "send", 2)
    assert re.fullmatch("MNQ[HMUZ][0-9]", real["contract"])
    assert "broker was not asked" in real["resolution"]
    assert real["message"].endswith("The order would be sent.")
    assert (shown["mode"], shown["decision"], shown["contract"]) == ("dry", "send", real["contract"])
    assert (rolls["contract"], rolls["mode"]) == ("MNQ1!", "live")
    assert "the broker says when the order is sent" in rolls["message"]
    oil = {row["account"]: row for row in (await told(conn, {**BUY, "ticker": "CL1!"}, None, LIVE))["accounts"]}
    assert oil["real"]["contract"] == "CL1!"
    more = {row["account"]: row for row in (await told(conn, {**BUY, "quantity": 3}, None, LIVE))["accounts"]}
    assert (more["real"]["decision"], more["real"]["reason"]) == ("deny", "MAX_CONTRACTS")


async def test_another_process_account_is_told_by_what_it_published(conn: Conn) -> None:
    """Its sizing, its limits and its mode count, not those of this configuration."""
    for kind, rows in published_rows(LIVE).items():
        await publish(conn, "elsewhere", kind, rows)  # type: ignore[arg-type]
    here = Config.model_validate({"accounts": [{"name": "real", "sizing": {"by": "fixed", "value": 7}}]})
    answer = await told(conn, BUY, None, here)
    real = answer["accounts"][0]
    assert (real["account"], real["mode"], real["quantity"]) == ("real", "live", 2)
    assert any(note.endswith("not what this configuration says: real.") for note in answer["notes"])


async def test_it_waits_for_no_claim_and_writes_nothing(dsn: str) -> None:
    """While a claim holds the account, its owner and the halt, it answers at once, in a session that may only read."""
    database = Database(dsn)
    question = Question(("hers", "hers_too"), ("her",), (), ("MNQ",))
    async with await database.connect("claim") as claiming, await database.connect("explain") as conn:
        await conn.execute("SET lock_timeout = '2s'")
        await conn.execute("SET default_transaction_read_only = on")
        await claiming.execute("BEGIN")
        await claiming.execute("SELECT * FROM lock_due_tasks('{hers}', 1, 1, 'dry')")
        await account_facts(claiming, question, "dry")
        rows = {row["account"]: row for row in (await told(conn, LONG, config=SIZED))["accounts"]}
        assert rows["hers"]["decision"] == "send"
        with pytest.raises(psycopg.errors.LockNotAvailable):  # what a claim does would have waited
            await account_facts(conn, question, "dry")
        await claiming.execute("ROLLBACK")


def test_a_published_account_is_the_account() -> None:
    """Whoever reads what was published of an account has every rule of it, in the very same numbers."""
    rich = {
        "name": "rich",
        "connector": "projectx",
        "live": True,
        "owner": "me",
        "balance": 50_000.5,
        "sizing": {"by": "risk_percent", "value": 0.3, "contract": "mini_or_micro"},
        "instruments": ["NQ", "MNQ"],
        "automation": "approve_each",
        "approve_within": 600.5,
        "windows": ["mon-fri 08:30-11:00"],
        "flat_by": "15:08",
        "early_closes": {"2026-11-27": "12:10"},
        "max_contracts": 5,
        "drawdown": {"trail": "intraday", "amount": 2000.1, "stops_at": 50000},
        "max_price_off": 0.1,
    }
    config = Config.model_validate({"router": {"dry_run": False}, "accounts": [rich, {"name": "plain"}]})
    bodies = json.loads(json.dumps(published_rows(config)["account"]))
    for account in config.accounts:
        assert published_account(account.name, bodies[account.name]) == account_of(account)
    assert published_account("rich", {**bodies["rich"], "of_a_later_version": 1}) is None
