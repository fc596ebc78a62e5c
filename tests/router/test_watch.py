"""What is known of a login's broker: per account, in the database, so that whoever looks is told the truth."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from eventrouter.domain.balances import Drawdown, Trail
from eventrouter.domain.broker import BrokerAccount
from eventrouter.domain.tasks import Status
from eventrouter.errors import BrokerRefused, BrokerUnavailable
from eventrouter.store.accounts import accounts
from eventrouter.store.connect import Conn
from eventrouter.watch import Watch
from tests.processes import until_async
from tests.router.book import enqueue, reaches, value
from tests.router.broker import Broker, live
from tests.router.conftest import Start

LIMITED = {"daily_loss": Decimal(1000), "drawdown": Drawdown(Trail.END_OF_DAY, Decimal(2000))}
TWO: dict[str, Any] = {
    "dry_run": False,
    "accounts": [
        replace(live("one", "alpha", **LIMITED), broker_account="B-1"),
        replace(live("two", "alpha", **LIMITED), login="one", broker_account="B-2"),
    ],
}


def shows(broker: Broker, *names: str, can_trade: bool = True, fault: Exception | None = None) -> None:
    """What the broker answers from now on when it is asked for its accounts."""

    async def answer() -> Sequence[BrokerAccount]:
        if fault is not None:
            raise fault
        return [BrokerAccount(f"1{n}", name, None, Decimal(50_000), can_trade) for n, name in enumerate(names)]

    broker.accounts = answer  # type: ignore[method-assign]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers are asked again at once."""
    monkeypatch.setattr(Watch.__init__, "__kwdefaults__", {"every_s": 0.05, "again_s": 0.05})


async def state_of(db: Conn, account: str) -> tuple[str, str | None, str | None]:
    """State, code and message as another process reads them."""
    rows = await (await db.execute("SELECT state, code, message FROM connection_of(%s)", (account,))).fetchall()
    return rows[0] if rows else ("nothing", None, None)


async def until_code(db: Conn, account: str, code: str | None) -> str | None:
    """The message, once the account stands so."""

    async def stands() -> bool:
        state, found, _ = await state_of(db, account)
        return (state, found) == ("open" if code is None else "down", code)

    await until_async(stands, what=f"{account}: {code}")
    return (await state_of(db, account))[2]


@pytest.mark.parametrize(
    ("told", "code", "words"),
    [
        ({"fault": BrokerRefused("Auth/loginKey: InvalidCredentials.")}, "LOGIN_REFUSED", "InvalidCredentials"),
        ({"fault": BrokerUnavailable("no connection could be made")}, "BROKER_UNREACHABLE", "no connection"),
        ({"fault": ValueError("CANARY")}, "BROKER_UNREACHABLE", "ValueError"),
        ({"names": ["X-7", "X-8"]}, "NO_SUCH_ACCOUNT", "'B-1'. It has: X-7, X-8."),
        ({"names": []}, "NO_SUCH_ACCOUNT", "It has: none."),
        ({"names": ["B-1", "B-1"]}, "ACCOUNT_AMBIGUOUS", "10, 11"),
        ({"names": ["B-1"], "can_trade": False}, "CANNOT_TRADE", "does not let"),
    ],
    ids=["wrong key", "dead", "broken", "no such account", "no account", "two of a name", "may not trade"],
)
async def test_what_is_wrong_is_told_and_denies_with_its_cause(
    db: Conn, start: Start, broker_named: Callable[..., Broker], told: dict[str, Any], code: str, words: str
) -> None:
    """In memory, in the database, and in the denial of an entry whose limits nobody can check."""
    broker = broker_named("alpha")
    shows(broker, *told.pop("names", ()), **told)
    router = await start(**TWO)
    found = router.standings()["alpha/one"]["accounts"]["one"]
    assert (found["state"], found["code"]) == ("down", code)
    message = await until_code(db, "one", code)
    assert words in (message or "")
    assert "CANARY" not in (message or "")
    task = await enqueue(db, "T1", account="one", mode="live", symbol="MNQ1!")
    await reaches(db, task, Status.DENIED)
    of_the_line = code in ("LOGIN_REFUSED", "BROKER_UNREACHABLE")  # which may pass; the others are denials of their own
    reason = "STATE_UNKNOWN" if of_the_line else code
    denial = "SELECT message FROM execution_logs WHERE task_id = %s AND status = 'DENIED' AND reason = %s"
    last = await value(db, denial, task, reason)
    assert f"No book of this account yet: {code}: " in last or not of_the_line
    assert words in last
    assert not broker.placed


@pytest.mark.usefixtures("quick")
async def test_it_follows_the_broker_and_says_since_when(
    db: Conn, start: Start, broker_named: Callable[..., Broker]
) -> None:
    """One account works beside one that does not; when the broker goes away both are down, and up again when it is back."""
    broker = broker_named("alpha")
    shows(broker, "B-1")
    router = await start(**TWO)
    await until_code(db, "one", None)
    assert "It has: B-1." in str(await until_code(db, "two", "NO_SUCH_ACCOUNT"))
    assert router.standings()["alpha/one"]["state"] == "partly"
    shows(broker, fault=BrokerUnavailable("gone"))
    await until_code(db, "one", "BROKER_UNREACHABLE")
    first = await value(db, "SELECT since FROM connection_states WHERE account = 'one'")
    seen = await value(db, "SELECT seen_at FROM connection_states WHERE account = 'one'")

    async def seen_again() -> bool:
        return bool(await value(db, "SELECT seen_at > %s FROM connection_states WHERE account = 'one'", seen))

    await until_async(seen_again)
    assert await value(db, "SELECT since FROM connection_states WHERE account = 'one'") == first
    assert router.standings()["alpha/one"]["state"] == "down"
    shows(broker, "B-1", "B-2")
    for account in ("one", "two"):
        await until_code(db, account, None)
    await router.stop()
    assert await state_of(db, "one") == ("nothing", None, None)


async def test_a_fault_comes_before_another_routers_success(db: Conn) -> None:
    """Of two routers that share an account one may have the wrong key: that one is shown, unless it is silent."""
    note = "SELECT note_connections(%s, 'c', 'live', '{one}', %s, %s, %s)"
    await db.execute(note, ("good", ["open"], [None], [None]))
    await db.execute(note, ("bad", ["down"], ["LOGIN_REFUSED"], ["No."]))
    await db.execute(note, ("good", ["open"], [None], [None]))
    assert await state_of(db, "one") == ("down", "LOGIN_REFUSED", "No.")
    await db.execute("UPDATE connection_states SET seen_at = now() - interval '2 minutes' WHERE router = 'bad'")
    assert await state_of(db, "one") == ("open", None, None)


async def test_accounts_say_what_keeps_them_from_trading(db: Conn) -> None:
    """The worst first: a halt with who and why, then the broker; without a router that is what is said."""
    body = '{"connector": "projectx", "live": true, "enabled": true, "mode": "live", "automation": "allowed"}'
    await db.execute("SELECT publish_settings('t', 'account', '{one}', %s, false, false)", ([body],))

    async def stands() -> tuple[str, str]:
        row = (await accounts(db))[0]
        return row["state"], row["reasons"][0] if row["reasons"] else ""

    state, why = await stands()
    assert (state, "eventrouter run" in why) == ("no_router", True)
    note = "SELECT note_connections('r', 'c', 'live', '{one}', %s, %s, %s)"
    await db.execute(note, (["open"], [None], [None]))
    assert await stands() == ("active", "")
    await db.execute(note, (["down"], ["LOGIN_REFUSED"], ["No."]))
    state, why = await stands()
    assert (state, "LOGIN_REFUSED: No. Since 2" in why) == ("broker_down", True)
    await db.execute("SELECT set_control('account:one', 'flatten', 'guardian', 'FLAT_BY: It is past 15:08.')")
    assert (await stands())[0] == "broker_down"
    await db.execute("SELECT set_control('all', 'halt', 'ann', 'news')")
    state, why = await stands()
    assert state == "halted"
    assert "halt of all by ann at " in why
    assert why.endswith(": news.")
