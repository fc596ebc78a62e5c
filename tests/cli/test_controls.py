"""`halt`, `resume` and `flatten`: what they print, whom they name, and what they refuse."""

import getpass
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from eventrouter.domain.book import Book
from tests.cli.test_commands import said, shown
from tests.history import enqueue, walk
from tests.processes import address_of, command, environment, service

Sql = psycopg.Connection[Any]


def test_halt_and_resume(dsn: str, sql: Sql) -> None:
    """What is in flight is printed with the row; a resume says what stays halted; the person and the reason are kept."""
    sending, waiting = enqueue(sql, "T-1"), enqueue(sql, "T-2")
    walk(sql, sending, "SENDING")
    halted = shown("halt", "--reason", "news", dsn=dsn)
    assert (halted["scope"], halted["action"], halted["reason"]) == ("all", "halt", "news")
    assert [each["task_id"] for each in halted["in_flight"]] == [sending]
    text = command("halt", "account:paper", "--reduce", env=environment(dsn)).stdout.decode()
    assert "Reducing: account:paper" in text
    assert "REDUCING" in text
    assert f"task {sending}" in text
    assert f"task {waiting}" not in text
    resumed = command("resume", env=environment(dsn)).stdout.decode()
    assert "Resumed: all accounts" in resumed
    assert "Still reducing: account:paper" in resumed
    rows = sql.execute("SELECT scope, action, actor, reason FROM controls ORDER BY id").fetchall()
    actor = f"cli:{getpass.getuser()}"
    assert rows == [
        ("all", "halt", actor, "news"),
        ("account:paper", "reduce", actor, None),
        ("all", "resume", actor, None),
    ]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["halt", "account:papr"], "account:paper"),
        (["halt", "strategy:none"], "strategy"),
        (["resume", "everything"], "account:NAME"),
        (["flatten", "account:paper"], "--yes"),
        (["flatten", "account:nobody"], "There is no account 'nobody'"),
        (["flatten", "account:nobody", "--yes"], "There is no account 'nobody'"),
    ],
)
def test_what_is_refused(dsn: str, sql: Sql, words: list[str], hint: str) -> None:
    """Status 2, one line with what there is instead, and nothing is changed."""
    result = command(*words, env=environment(dsn))
    assert (result.returncode, len(said(result))) == (2, 1)
    assert hint in said(result)[0]
    assert sql.execute("SELECT count(*) FROM controls").fetchone() == (0,)


def test_a_resume_of_nothing(dsn: str, sql: Sql) -> None:
    """Where nothing was halted, or it is resumed already, it says so, and what is halted under another scope."""
    assert "Nothing was halted for all accounts" in command("resume", env=environment(dsn)).stdout.decode()
    assert shown("halt", "account:paper", dsn=dsn)["ended"] is None
    said_of_all = command("resume", env=environment(dsn)).stdout.decode()
    assert "Nothing was halted for all accounts" in said_of_all
    assert "Still halted: account:paper" in said_of_all
    assert shown("resume", "account:paper", dsn=dsn)["ended"] == "halt"
    assert shown("resume", "account:paper", dsn=dsn)["ended"] is None
    assert "Resumed" not in command("resume", "account:paper", env=environment(dsn)).stdout.decode()


def test_an_account_that_is_gone(dsn: str, sql: Sql) -> None:
    """Withdrawn from the configuration, with nothing open: it can be resumed, and neither halted nor flattened."""
    for version, withdrawn in ((1, False), (2, True)):
        sql.execute(
            "INSERT INTO settings (kind, name, version, body, actor, withdrawn) VALUES ('account', 'gone', %s, '{}', 'test', %s)",
            (version, withdrawn),
        )
    sql.execute("INSERT INTO controls (scope, action, actor) VALUES ('account:gone', 'halt', 'test')")
    for words in (("halt", "account:gone"), ("flatten", "account:gone", "--yes")):
        result = command(*words, env=environment(dsn))
        assert (result.returncode, "There is no account 'gone'" in said(result)[0]) == (2, True)
    assert shown("resume", "account:gone", dsn=dsn)["ended"] == "halt"


def test_flatten_without_a_router(dsn: str) -> None:
    """Nobody takes it: it says so at once and at the end, claims no router's trying, and ends with 1; the request stands."""
    text = command("flatten", "--yes", "--wait", "0.1", env=environment(dsn)).stdout.decode()
    assert text.count("No router has been heard of paper") == 2
    assert "goes on trying" not in text
    result = command("flatten", "--yes", "--wait", "0.1", "--json", env=environment(dsn))
    found = json.loads(result.stdout)
    assert (result.returncode, found["flat"]) == (1, False)
    assert [(each["account"], each["state"]) for each in found["accounts"]] == [("paper", "WAITING")]
    assert found["without_router"] == ["paper"]


def test_flatten_prints_the_proof(dsn: str, tmp_path: Path) -> None:
    """Beside a running service: flat, when, and status 0."""
    log = tmp_path / "log"
    with service("run", env=environment(dsn), log=log):
        address_of(log)
        result = command("flatten", "account:paper", "--yes", env=environment(dsn))
        assert result.returncode == 0, result.stderr
        assert "paper: flat at " in result.stdout.decode()


def test_adopt_and_resync(dsn: str, sql: Sql) -> None:
    """The account's name is asked for; what differs becomes fills; without a router nobody compares."""
    detail = {"why": "It differs.", "differences": [["CON.F.US.MNQ.Z26", "2", "-1", "24000"]]}
    sql.execute("INSERT INTO settings (kind, name, version, body, actor) VALUES ('account', 'one', 1, '{}', 'test')")
    sql.execute(
        "INSERT INTO fills (account, fill_id, mode, order_id, trade_id, contract, root, side, quantity, price, filled_at)"
        " VALUES ('one', 'x', 'live', 'o', 'T', 'CON.F.US.MNQ.Z26', 'MNQ', 'SELL', 1, 10, now())"
    )
    state = Book(out_of_sync="It differs.").to_json()
    sql.execute(
        "INSERT INTO account_log (account, mode, seq, kind, actor, detail, state) VALUES ('one', 'live', 1, 'OUT_OF_SYNC', 'r', %s, %s)",
        (json.dumps(detail), json.dumps(state)),
    )
    text = command("accounts", "one", env=environment(dsn)).stdout.decode()
    assert "Out of sync since" in text
    assert "accounts adopt one" in text
    for words in ((), ("--yes", "two")):
        result = command("accounts", "adopt", "one", "--reason", "seen", *words, env=environment(dsn))
        assert (result.returncode, len(said(result))) == (2, 1)
    assert sql.execute("SELECT count(*) FROM fills").fetchone() == (1,)
    done = shown("accounts", "adopt", "one", "--reason", "seen", "--yes", "one", dsn=dsn)
    assert done["adopted"] == [{"contract": "CON.F.US.MNQ.Z26", "ours": "-1", "broker": "2"}]
    held = sql.execute("SELECT trade_id, quantity, average_price FROM holdings WHERE quantity <> 0").fetchall()
    assert held == [("(foreign)", 2, 24000)]
    row = sql.execute("SELECT actor, message FROM account_log WHERE kind = 'ADOPTED'").fetchone()
    assert row == (f"cli:{getpass.getuser()}", "Adopted: seen")
    assert command("verify", env=environment(dsn)).returncode == 0
    asked = command("accounts", "resync", "one", "--wait", "0.1", env=environment(dsn))
    assert asked.returncode == 1
    assert "No router answered" in asked.stdout.decode()
