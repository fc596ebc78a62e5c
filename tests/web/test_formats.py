"""Alerts as other routers' users send them, over HTTP: the token in the body, several formats, pairing, age, reversals."""

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import psycopg
import pytest

from eventrouter.logs import configure_logging
from tests.processes import until_async
from tests.web.live_site import ENTRY, Site, configuration, running

Sql = psycopg.Connection[Any]
BUY: dict[str, Any] = {"ticker": "MNQ1!", "action": "buy", "sentiment": "long", "quantity": 2}
EXIT: dict[str, Any] = {"ticker": "MNQ1!", "action": "exit"}
REVERSE: dict[str, Any] = {"ticker": "MNQ1!", "action": "sell", "sentiment": "short", "quantity": 1}
CANARY = "c4n4ry-Passphrase-77"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that the process logs, down to debug."""
    stream = io.StringIO()
    configure_logging("json", "debug", stream)
    yield stream
    configure_logging("console", "warning")


def everything_stored(sql: Sql) -> str:
    """Every row of every table, with what stands in bytes as text."""
    tables = sql.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").fetchall()
    rows = [str(sql.execute(f"SELECT t::TEXT FROM {table} t").fetchall()) for (table,) in tables]
    raws = [
        bytes(raw).decode(errors="replace") for (raw,) in sql.execute("SELECT raw FROM automated_signals").fetchall()
    ]
    return "\n".join([*rows, *raws])


async def post(site: Site, body: str | bytes, path: str = "/webhook", **headers: str) -> tuple[int, dict[str, Any]]:
    """Posts a body to the address without a token; the answer's status and JSON."""
    async with site.session.post(site.public(path), data=body, headers=headers) as answer:
        return answer.status, await answer.json()


# the token in the body


BODIES: dict[str, Callable[[str, str], str]] = {
    "json": lambda secret, canary: json.dumps({**BUY, "token": secret, "passphrase": canary}),
    "nested json": lambda secret, canary: json.dumps({**BUY, "auth": {"key": secret, "password": canary}}),
    "stage 13B": lambda secret, canary: json.dumps({**ENTRY, "secret": secret, "apiKey": canary}),
    "pairs": lambda secret, canary: (
        f"key={secret};command=PLACE;instrument=MNQ1!;action=BUY;qty=2;tif=DAY;password={canary};"
    ),
    "lines": lambda secret, canary: f"token={secret}\naction=buy\nsymbol=MNQ1!\nquantity=2\npassphrase={canary}",
    "form": lambda secret, canary: f"action=buy&symbol=MNQ1%21&quantity=2&token={secret}&password={quote_plus(canary)}",
    "comma words": lambda secret, canary: f"{secret},buy,MNQ1!,qty=2,secret={canary}",
}


@pytest.mark.parametrize("path", ["/webhook", "/webhook/"])
@pytest.mark.parametrize("form", BODIES)
async def test_a_token_in_the_body(site: Site, token: str, sql: Sql, log: io.StringIO, form: str, path: str) -> None:
    """It speaks for its strategy as one in the address does, and no secret is stored, logged or answered."""
    status, answer = await post(site, BODIES[form](token, CANARY), path)
    assert (status, len(answer.get("tasks", ()))) == (200, 1)
    assert sql.execute("SELECT strategy, code FROM automated_signals").fetchall() == [("orb", None)]
    (raw,) = sql.execute("SELECT raw FROM automated_signals").fetchone() or (b"",)
    assert b"[redacted]" in bytes(raw)
    for place in (everything_stored(sql), log.getvalue(), str(answer)):
        assert token not in place
        assert CANARY not in place


@pytest.mark.parametrize("form", BODIES)
async def test_a_wrong_token_in_the_body(site: Site, token: str, sql: Sql, log: io.StringIO, form: str) -> None:
    """401, and nothing of the alert is stored or logged."""
    wrong = "".join(reversed(token))
    status, answer = await post(site, BODIES[form](wrong, CANARY))
    assert (status, answer["code"]) == (401, "TOKEN_UNKNOWN")
    assert sql.execute("SELECT count(*) FROM automated_signals").fetchone() == (0,)
    for place in (log.getvalue(), str(answer)):
        assert wrong not in place
        assert CANARY not in place
    assert "token_unknown" in log.getvalue()


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff" * 40, b"x" * 32, json.dumps(BUY).encode(), b"ab" * 30_000])
async def test_a_body_without_a_token(site: Site, sql: Sql, body: bytes) -> None:
    """401 as well, whatever it is: nobody says whose it is."""
    status, answer = await post(site, body)
    assert (status, answer["code"]) == (401, "TOKEN_UNKNOWN")
    assert sql.execute("SELECT count(*) FROM automated_signals").fetchone() == (0,)


async def test_a_refused_alert_with_its_token_in_the_body(site: Site, token: str, sql: Sql, log: io.StringIO) -> None:
    """It is stored without the token, also where no format has a field for one."""
    for body in (f"hello {token}", json.dumps({"action": token, "symbol": "MNQ1!"}), f'{{"x": "{token}", "action": "b'):
        status, answer = await post(site, body)
        assert (body, status) == (body, 422)
        assert token not in str(answer)
    assert sql.execute("SELECT count(*) FROM automated_signals WHERE code IS NOT NULL").fetchone() == (3,)
    assert token not in everything_stored(sql)
    assert token not in log.getvalue()


async def test_a_revoked_token_in_the_body(site: Site, token: str, sql: Sql) -> None:
    """A token ends in the body as it ends in the address, and another strategy's token speaks for that one."""
    sql.execute("UPDATE strategy_tokens SET revoked_at = now()")
    assert (await post(site, json.dumps({**BUY, "token": token})))[0] == 401
    other = await site.token("vwap")
    assert (await post(site, json.dumps({**BUY, "token": other})))[0] == 200
    assert sql.execute("SELECT strategy FROM automated_signals").fetchall() == [("vwap",)]


async def test_secrets_of_an_alert_whose_token_is_in_the_address(
    site: Site, token: str, sql: Sql, log: io.StringIO
) -> None:
    """Other vendors' keys in the body are removed all the same, and the token where the body repeats it."""
    for form in BODIES.values():
        sql.execute("DELETE FROM strategy_trades")
        status, answer = await site.alert(token, form(token, CANARY).encode())
        assert (status, CANARY in str(answer), token in str(answer)) == (200, False, False)
    for place in (everything_stored(sql), log.getvalue()):
        assert CANARY not in place
        assert token not in place


# what is said of a body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"ticker": "MNQ1!", "action": "buy", "quantity": 2,}', "comma before a closing bracket"),
        (b"{'ticker': 'MNQ1!', 'action': 'buy', 'quantity': 2}", "quote"),
        (json.dumps({**BUY, "strategy": "My chart"}).encode(), "'My chart'"),
    ],
)
async def test_the_answer_says_what_was_repaired(site: Site, token: str, sql: Sql, body: bytes, said: str) -> None:
    """In sentences, which are stored with the signal."""
    status, answer = await site.alert(token, body)
    assert status == 200
    assert any(said in note for note in answer["notes"])
    parsed = sql.execute("SELECT parsed FROM automated_signals").fetchall()[0][0]
    assert [*parsed.get("repairs", []), *parsed.get("notes", [])] == answer["notes"]


async def test_a_body_that_needs_no_words(site: Site, token: str) -> None:
    """An alert that is right as it stands is answered without notes."""
    _, answer = await site.alert(token, BUY)
    assert "notes" not in answer


# pairing


async def test_entry_and_exit_without_a_trade_id(site: Site, token: str, sql: Sql) -> None:
    """The exit's answer names the entry's trade."""
    _, entry = await site.alert(token, BUY)
    _, exit_ = await site.alert(token, b"exit MNQ1!")
    assert exit_["trade_id"] == entry["trade_id"]
    assert entry["trade_id"].startswith("MNQ-")
    assert sql.execute("SELECT count(*) FROM strategy_trades WHERE ended_at IS NULL").fetchone() == (0,)


async def test_a_bare_sell_against_an_open_trade(site: Site, token: str, sql: Sql) -> None:
    """422 AMBIGUOUS says how to mend it, and the alert is stored."""
    await site.alert(token, BUY)
    status, answer = await site.alert(token, {"ticker": "MNQ1!", "action": "sell"})
    assert (status, answer["code"], answer["field"]) == (422, "AMBIGUOUS", "action")
    assert "set opposite for the strategy" in answer["message"]
    assert sql.execute("SELECT code FROM automated_signals ORDER BY id DESC LIMIT 1").fetchone() == ("AMBIGUOUS",)


# through the router, in dry run


async def all_done(sql: Sql) -> bool:
    """Whether no task is open any more."""
    open_ = "SELECT count(*) FROM execution_tasks WHERE status IN ('PENDING', 'SENDING', 'UNKNOWN')"
    return sql.execute(open_).fetchone() == (0,)


def outcomes(sql: Sql) -> list[tuple[Any, ...]]:
    """Event, status and the last log row's reason of every task, in order."""
    return sql.execute(
        "SELECT t.event_type, t.status, (SELECT l.reason FROM execution_logs l WHERE l.task_id = t.id ORDER BY seq DESC LIMIT 1)"
        " FROM execution_tasks t ORDER BY t.id"
    ).fetchall()


async def test_a_reversal_closes_before_it_opens(routed: Site, sql: Sql) -> None:
    """The exit has succeeded before the new entry's intent is recorded, and both names stand in the answer's notes."""
    token = await routed.token()
    _, first = await routed.alert(token, BUY)
    await until_async(lambda: all_done(sql))
    _, second = await routed.alert(token, REVERSE)
    await until_async(lambda: all_done(sql))
    exit_, entry = second["tasks"]
    assert (second["event_type"], first["trade_id"] in second["notes"][0]) == ("REVERSE", True)
    steps = "SELECT task_id, status FROM execution_logs WHERE task_id = ANY(%s) ORDER BY id"
    log = sql.execute(steps, ([exit_, entry],)).fetchall()
    assert log.index((exit_, "SUCCESS")) < log.index((entry, "SENDING"))
    assert [status for _, status, _ in outcomes(sql)] == ["SUCCESS"] * 3
    assert sql.execute("SELECT trade_id, side, units FROM strategy_trades WHERE ended_at IS NULL").fetchall() == [
        (second["trade_id"], "SHORT", 1)
    ]


async def test_alerts_one_after_the_other_end_flat(routed: Site, sql: Sql) -> None:
    """Entry, reversal, reversal back and exit, sent without waiting for anything, all run in order."""
    token = await routed.token()
    for number, alert in enumerate((BUY, REVERSE, BUY, EXIT)):
        assert (await routed.alert(token, {**alert, "signal_id": f"s-{number}"}))[0] == 200
    await until_async(lambda: all_done(sql))
    found = outcomes(sql)
    assert [event for event, _, _ in found] == ["ENTRY", "EXIT_REVERSE", "ENTRY", "EXIT_REVERSE", "ENTRY", "EXIT"]
    pairs = list(zip(found[::2], found[1::2], strict=True))
    for (_, opened, _), (_, closed, _) in pairs:
        # an exit that overtakes its unsent entry cancels it, and then there is nothing to close
        assert (opened, closed) in (("SUCCESS", "SUCCESS"), ("CANCELLED", "DENIED"))
    assert sql.execute("SELECT count(*) FROM strategy_trades WHERE ended_at IS NULL").fetchone() == (0,)


async def test_old_fire_times(routed: Site, sql: Sql) -> None:
    """What fired long ago opens nothing and closes all the same, and the answer to the exit says that it is late."""
    token = await routed.token()
    old = (datetime.now(UTC) - timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (await routed.alert(token, BUY))[0] == 200
    await until_async(lambda: all_done(sql))
    _, exit_ = await routed.alert(token, {**EXIT, "time": old})
    _, entry = await routed.alert(token, {**BUY, "time": old})
    await until_async(lambda: all_done(sql))
    assert outcomes(sql)[1:] == [("EXIT", "SUCCESS", outcomes(sql)[1][2]), ("ENTRY", "EXPIRED", "TOO_OLD")]
    assert any("which is late" in note for note in exit_["notes"])
    assert "notes" not in entry
    flagged = sql.execute("SELECT parsed -> 'notes' ->> 0 FROM automated_signals WHERE event_type = 'EXIT'").fetchone()
    assert flagged == (exit_["notes"][0],)


@pytest.mark.parametrize("opposite", ["exit", "reverse"])
async def test_a_strategys_opposite(dsn: str, sql: Sql, opposite: str) -> None:
    """The setting of the configuration decides what a bare sell means while it is long."""
    config = configuration(dsn, strategies=[{"name": "orb", "opposite": opposite}])
    async with running(config) as site:
        token = await site.token()
        await site.alert(token, BUY)
        await until_async(lambda: all_done(sql))
        status, answer = await site.alert(token, {"ticker": "MNQ1!", "action": "sell", "quantity": 2})
        await until_async(lambda: all_done(sql))
    assert (status, answer["event_type"]) == (200, "EXIT" if opposite == "exit" else "REVERSE")
    assert [status for _, status, _ in outcomes(sql)] == ["SUCCESS"] * (2 if opposite == "exit" else 3)


async def test_entries_and_exits_at_once(site: Site, token: str, sql: Sql) -> None:
    """Unnamed alerts that arrive together are paired one after the other: no exit is without a trade, none has two."""
    alerts = [{**(BUY if number % 2 else EXIT), "signal_id": f"s-{number}"} for number in range(60)]
    answers = await asyncio.gather(*(site.alert(token, alert) for alert in alerts))
    assert {status for status, _ in answers} == {200}
    rows = sql.execute("SELECT trade_id, event_type FROM execution_tasks ORDER BY id").fetchall()
    begun: set[str] = set()
    ended: set[str] = set()
    for trade, event in rows:
        assert trade not in ended
        (begun if event == "ENTRY" else ended).add(trade)
    left = {trade for (trade,) in sql.execute("SELECT trade_id FROM strategy_trades WHERE ended_at IS NULL").fetchall()}
    assert left == begun - ended
    assert len(left) <= 1
