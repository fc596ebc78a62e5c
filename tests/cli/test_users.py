"""`user` and `apikey`: what they store, print and refuse."""

import json
import re
from typing import Any

import psycopg
import pytest

from tests.processes import command, environment

Sql = psycopg.Connection[Any]
PASSWORD = b"a horse that reads\n"


def test_users(dsn: str, sql: Sql) -> None:
    """Added with a password that is stored as Argon2id, listed, given another password and a link, removed; sessions end."""
    env = environment(dsn)
    added = command("user", "add", "Ann", "--role", "operate", "--stdin", env=env, stdin=PASSWORD)
    assert added.returncode == 0, added.stderr
    stored = sql.execute("SELECT name, role, password FROM desk_users").fetchone()
    assert stored is not None
    assert stored[:2] == ("Ann", "operate")
    assert stored[2].startswith("$argon2id$")
    twice = command("user", "add", "ANN", "--stdin", env=env, stdin=PASSWORD)
    assert (twice.returncode, b"already" in twice.stderr) == (1, True)
    assert [row["name"] for row in json.loads(command("user", "list", "--json", env=env).stdout)] == ["Ann"]
    assert b"operate" in command("user", "list", env=env).stdout
    link = command("user", "link", "ann", env=env)
    assert re.fullmatch(rb"http://127\.0\.0\.1:\d+/login/once\?token=[\w-]{43}\n", link.stdout)
    sql.execute("INSERT INTO desk_sessions VALUES (sha256('x'), 'Ann', now(), now(), now() + interval '1 day')")
    assert command("user", "password", "ann", "--stdin", env=env, stdin=b"another sentence").returncode == 0
    assert sql.execute("SELECT count(*) FROM desk_sessions").fetchone() == (0,)
    assert sql.execute("SELECT count(*) FROM desk_links").fetchone() == (0,)
    assert sql.execute("SELECT password = %s FROM desk_users", (stored[2],)).fetchone() == (False,)
    removed = command("user", "remove", "ann", env=env)
    assert b"last one" in removed.stdout
    assert json.loads(command("user", "list", "--json", env=env).stdout) == []
    for words in (("remove", "ann"), ("link", "ann"), ("password", "ann", "--stdin")):
        gone = command("user", *words, env=env, stdin=PASSWORD)
        assert (words, gone.returncode, b"There is no user" in gone.stderr) == (words, 1, True)
    again = command("user", "add", "ann", "--stdin", env=env, stdin=PASSWORD)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("no good", "--stdin"), PASSWORD, b"no name here"),
        (("router", "--stdin"), PASSWORD, b"part of the service"),
        (("ann", "--stdin"), b"short", b"10 to 256 characters"),
        (("ann", "--stdin"), b"x" * 300, b"10 to 256 characters"),
        (("ann", "--stdin"), b"abababababab", b"too easily guessed"),
        (("ann",), PASSWORD, b"--stdin"),
        (("ann", "--role", "root", "--stdin"), PASSWORD, b"operate"),
    ],
)
def test_what_no_user_may_be(dsn: str, sql: Sql, words: tuple[str, ...], stdin: bytes, said: bytes) -> None:
    """Status 2, nothing stored, and what to do instead."""
    refused = command("user", "add", *words, env=environment(dsn), stdin=stdin)
    assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
    assert sql.execute("SELECT count(*) FROM desk_users").fetchone() == (0,)


def test_keys(dsn: str, sql: Sql) -> None:
    """Printed once and stored as a hash; one valid key of a name; ended keys stay listed."""
    env = environment(dsn)
    made = json.loads(command("apikey", "add", "bot", "--role", "operate", "--json", env=env).stdout)
    assert re.fullmatch(r"erk_[\w-]{43}", made["key"])
    assert made["key"] not in str(sql.execute("SELECT * FROM api_keys").fetchall())
    assert command("apikey", "add", "Bot", env=env).returncode == 1
    assert command("apikey", "remove", "bot", env=env).returncode == 0
    assert command("apikey", "remove", "bot", env=env).returncode == 1
    assert command("apikey", "add", "bot", env=env).returncode == 0
    rows = json.loads(command("apikey", "list", "--json", env=env).stdout)
    assert [(row["name"], row["role"], row["revoked_at"] is None) for row in rows] == [
        ("bot", "operate", False),
        ("bot", "view", True),
    ]
