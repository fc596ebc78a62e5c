"""One dead broker delays no other account, in whatever call it hangs; and what a connection without its broker does."""

import asyncio
import base64
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eventrouter import connection as connection_module
from eventrouter import sending
from eventrouter.connectors import CREDENTIAL_FIELDS, REGISTRY
from eventrouter.connectors.base import ConnectionSettings, CredentialField
from eventrouter.credentials import KEY_VARIABLE, CredentialStore
from eventrouter.domain import lookups
from eventrouter.domain.broker import BrokerOrder, OrderSide, OrderState
from eventrouter.domain.orders import Accepted, Answer, Rejected, Unknown
from eventrouter.domain.tasks import Status
from eventrouter.store.connect import Conn
from tests.processes import until_async
from tests.router.book import LANES, attempts, enqueue, is_sound, move, order_id, reaches, row_of, status_of, value, way
from tests.router.broker import DONE, UNPROVEN, Broker, live
from tests.router.conftest import Start, asleep

BOTH: dict[str, Any] = {"dry_run": False, "accounts": [live("real", "alpha"), live("other", "beta")]}
LIVE: dict[str, Any] = {"dry_run": False, "accounts": [live("real", "alpha")]}
BUSY = Unknown(Answer(503, "busy"), "The broker answered 503.")
KEY = base64.b64encode(bytes(32)).decode()

enqueue_live = partial(enqueue, account="real", mode="live")


@pytest.mark.parametrize("call", ["opens", "answers", "searchable", "resolves"])
async def test_a_broker_that_hangs_delays_no_other_account(
    db: Conn, start: Start, broker_named: Callable[..., Broker], call: str
) -> None:
    """While one broker hangs in open, send, look_up or contract, another one's orders go out, and its lost ones are recovered."""
    dead, quick = broker_named("alpha"), broker_named("beta")
    getattr(dead, call).clear()
    lost = await enqueue_live(db, "lost")
    await move(db, lost, Status.SENDING, Status.UNKNOWN)
    theirs = await enqueue(db, "theirs", account="other", mode="live")
    await move(db, theirs, Status.SENDING, Status.UNKNOWN)
    waiting = [await enqueue_live(db, f"w{n}", symbol=LANES[n]) for n in range(12)]
    router = await start(**BOTH, sleeping=False)
    await reaches(db, theirs, Status.SUCCESS)
    for number in range(20):
        task = await enqueue(db, f"q{number}", account="other", symbol=LANES[number], mode="live")
        await reaches(db, task, Status.SUCCESS)
    assert len(quick.placed) == 21
    stuck = {"opens": [*waiting, lost], "answers": waiting, "searchable": [lost], "resolves": waiting}[call]
    assert all([await status_of(db, task) != Status.SUCCESS for task in stuck])
    dead.let_go()
    for task in waiting:
        await reaches(db, task, Status.SUCCESS)
    assert router.in_flight == 0


async def test_one_login_is_one_connection(start: Start, broker_named: Callable[..., Broker]) -> None:
    """Accounts that share a login share a connector and its slots; others have their own. All are opened, then closed."""
    made: list[ConnectionSettings] = []
    brokers = {name: broker_named(name) for name in ("alpha", "beta")}

    def make(settings: ConnectionSettings) -> Broker:
        made.append(settings)
        return brokers["alpha"]

    accounts = [
        replace(live("one", "alpha"), broker_account="B-1", url="https://broker"),
        replace(live("two", "alpha"), login="one"),
        live("three", "alpha"),
        live("four", "beta"),
    ]
    REGISTRY["alpha"] = make  # the fixture's patch takes it away again
    router = await start(dry_run=False, accounts=accounts)
    assert [(each.name, each.account_names) for each in router.connections] == [
        ("alpha/one", ["one", "two"]),
        ("alpha/three", ["three"]),
        ("beta/four", ["four"]),
    ]
    by_name = {settings.name: settings for settings in made}
    assert by_name["alpha/one"].accounts == {"one": "B-1", "two": "two"}
    assert by_name["alpha/one"].url == "https://broker"
    assert brokers["alpha"].opened == 2
    assert set(router.connection_states().values()) == {"open"}
    await router.stop()
    assert all(broker.closed.is_set() for broker in brokers.values())


async def test_a_dry_run_has_one_connection_and_opens_no_broker(
    start: Start, broker_named: Callable[..., Broker]
) -> None:
    """Whatever connectors its accounts have."""
    brokers = [broker_named("alpha"), broker_named("beta")]
    router = await start(accounts=BOTH["accounts"])
    assert [each.name for each in router.connections] == ["dryrun"]
    assert [broker.opened for broker in brokers] == [0, 0]


async def test_a_connector_that_cannot_be_opened_is_tried_again(
    db: Conn, start: Start, broker_named: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its state says why; meanwhile its entries wait for the name of their contract, and go out once it stands."""
    broker = broker_named("alpha")
    mended = asyncio.Event()

    def make(_settings: ConnectionSettings) -> Broker:
        if not mended.is_set():
            raise OSError("no sockets left")
        return broker

    monkeypatch.setitem(REGISTRY, "alpha", make)
    monkeypatch.setattr(connection_module, "OPEN_AGAIN_S", 0.05)
    monkeypatch.setattr(sending, "delay_s", lambda *_: 0.05)
    router = await start(**LIVE)
    assert "no sockets left" in router.connection_states()["alpha/real"]
    task = await enqueue_live(db, "t", "ENTRY")
    await until_async(partial(value, db, "SELECT count(*) FROM execution_logs WHERE reason = 'CONTRACT_WAITS'"))
    mended.set()
    await reaches(db, task, Status.SUCCESS)
    assert router.connection_states() == {"alpha/real": "open"}
    assert len(broker.placed) == 1


async def test_without_credentials_entries_age_and_exits_wait(
    db: Conn, start: Start, broker_named: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The log says what to run; another account goes on, and once the key is there the exit goes out by itself."""
    broker = broker_named("alpha")
    broker_named("beta")
    monkeypatch.setitem(CREDENTIAL_FIELDS, "alpha", (CredentialField("api_key", "Key"),))
    monkeypatch.setattr(connection_module, "OPEN_AGAIN_S", 0.05)
    monkeypatch.setattr(sending, "delay_s", lambda *_: 0.05)
    store = CredentialStore(tmp_path / "credentials", environ={KEY_VARIABLE: KEY})
    held = await enqueue_live(db, "held")
    await move(db, held, Status.SENDING, Status.SUCCESS)
    router = await start(**BOTH, credentials=store)
    assert router.connection_states()["beta/other"] == "open"
    assert "eventrouter credentials set real" in router.connection_states()["alpha/real"]
    entry, exit_ = await enqueue_live(db, "new", symbol="ES"), await enqueue_live(db, "held", "EXIT_SL")
    waits = "SELECT min(message) FROM execution_logs WHERE task_id = %s AND reason = 'CONTRACT_WAITS'"
    await until_async(partial(value, db, waits, entry))
    assert "eventrouter credentials set real" in await value(db, waits, entry)
    await until_async(partial(value, db, "SELECT attempts > 8 FROM execution_tasks WHERE id = %s", exit_))
    await reaches(db, await enqueue(db, "theirs", account="other", mode="live"), Status.SUCCESS)
    assert broker.placed == []
    store.put("real", "alpha", {"api_key": "secret"}, now=datetime.now(UTC))
    await reaches(db, exit_, Status.SUCCESS)
    assert await is_sound(db)


# look-ups


async def test_a_look_up_knows_the_first_intent_and_a_repeat_is_said_to_be_one(
    db: Conn, start: Start, broker_named: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Absent at a broker that refuses repeats: looked for again and again, then sent once more under the same id."""
    monkeypatch.setattr(lookups, "LOOK_AGAIN_S", (0.05, 0.05, 0.05))
    broker = broker_named("alpha", refuses_repeated_ids=True)
    broker.replies, broker.found = deque([BUSY]), UNPROVEN
    await start(**LIVE)
    task = await enqueue_live(db, "t")
    await reaches(db, task, Status.SUCCESS)
    assert await way(db, task) == "PENDING SENDING UNKNOWN PENDING SENDING SUCCESS"
    assert (len(broker.look_ups), broker.repeated) == (4, [False, True])
    assert {order.client_order_id for order in broker.placed} == {await order_id(db, task)}
    first = await value(
        db, "SELECT min(created_at) FROM execution_logs WHERE task_id = %s AND status = 'SENDING'", task
    )
    assert set(broker.look_ups) == {first}
    looked = "SELECT count(*) FROM execution_logs WHERE task_id = %s AND reason = 'NOT_FOUND' AND status = 'UNKNOWN'"
    assert await value(db, looked, task) == 3
    assert await is_sound(db)


async def test_an_order_that_becomes_visible_late_is_found_and_not_sent_again(
    db: Conn, start: Start, broker_named: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later look-up sees it."""
    monkeypatch.setattr(lookups, "LOOK_AGAIN_S", (0.05,) * 200)
    broker = broker_named("alpha", refuses_repeated_ids=True)
    broker.replies, broker.found = deque([BUSY]), UNPROVEN
    broker.searchable.clear()
    await start(**LIVE)
    task = await enqueue_live(db, "t")
    await until_async(lambda: _looked(broker, 1))
    broker.searchable.set()
    await until_async(partial(value, db, "SELECT version > 3 FROM execution_tasks"))  # NOT_FOUND
    broker.found = DONE
    await reaches(db, task, Status.SUCCESS)
    assert (await attempts(db, task), len(broker.placed)) == (1, 1)


async def _looked(broker: Broker, times: int) -> bool:
    return len(broker.look_ups) >= times


async def test_an_order_that_does_not_agree_is_not_adopted(
    db: Conn, start: Start, broker_named: Callable[..., Broker]
) -> None:
    """An order of another day that bears the id is a person's."""
    broker = broker_named("alpha")
    order = BrokerOrder(
        id="7",
        account="real",
        contract="NQ",
        client_order_id="x",
        side=OrderSide.BUY,
        quantity=Decimal(1),
        state=OrderState.FILLED,
        filled=Decimal(1),
        average_price=None,
        created_at=datetime.now(UTC) - timedelta(days=1),
    )
    broker.replies, broker.found = deque([BUSY]), Accepted(Answer(200), done=True, order_id="7", order=order)
    await start(**LIVE)
    task = await enqueue_live(db, "t")
    await reaches(db, task, Status.REVIEW)
    assert "before the first intent" in (await row_of(db, task, "NOT_OURS"))[4]
    assert len(broker.placed) == 1


# answers


async def test_a_refused_session_is_no_refused_order(
    db: Conn, start: Start, broker_named: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker refused the token and not the order: it is sent again, and its answer stands in the log."""
    monkeypatch.setattr(sending, "delay_s", lambda *_: 0.0)
    broker = broker_named("alpha")
    broker.replies = deque([Rejected(Answer(401, "no"), "The token was refused.", repeatable=True)])
    await start(**LIVE)
    task = await enqueue_live(db, "t")
    await reaches(db, task, Status.SUCCESS)
    assert await way(db, task) == "PENDING SENDING PENDING SENDING SUCCESS"
    row = await row_of(db, task, "SESSION_REFUSED")
    assert (row[1], row[5], row[6]) == (Status.PENDING, 401, "no")
    assert broker.repeated == [False, False]


async def test_an_accepted_order_is_logged_with_the_brokers_id(
    db: Conn, start: Start, broker_named: Callable[..., Broker]
) -> None:
    """What is reported of it later is matched by that."""
    broker = broker_named("alpha")
    broker.replies = deque([Accepted(Answer(200, "taken"), done=False, order_id="4711")])
    router = await start(**LIVE)
    task = await enqueue_live(db, "t")
    await reaches(db, task, Status.ACCEPTED)
    await asleep(router)
    assert (await row_of(db, task, "ACCEPTED"))[8]["order_id"] == "4711"
