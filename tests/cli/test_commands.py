"""The command line: help that teaches, exit statuses, and one clear message for whatever is wrong."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from typer.testing import CliRunner

from eventrouter.cli import app
from tests.history import enqueue, statuses, walk
from tests.processes import address_of, command, environment, service, until

Sql = psycopg.Connection[Any]
UNREACHABLE = "host=127.0.0.1 port=1 dbname=x user=x password=hunter2canary"


def all_commands() -> list[tuple[str, ...]]:
    """Every command and group, as its words."""

    def below(each: Any, words: tuple[str, ...]) -> list[tuple[str, ...]]:
        inner = getattr(each, "commands", {}).items()
        return [words, *(found for name, command in inner for found in below(command, (*words, name)))]

    return below(typer.main.get_command(app), ())


def said(result: Any) -> list[str]:
    """What a command wrote to stderr."""
    lines: list[str] = result.stderr.decode().splitlines()
    return lines


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_help(words: tuple[str, ...]) -> None:
    """Every command explains itself in a sentence, and its options, and ends with 0."""
    result = CliRunner().invoke(app, [*words, "--help"])
    usage, *rest = [line.strip() for line in result.output.splitlines() if line.strip()]
    assert result.exit_code == 0
    assert usage.startswith("Usage: ")
    assert len(rest[0].split()) >= 4
    assert (
        len(words) == 0
        or words in {("token",), ("credentials",), ("accounts",), ("alerts",), ("user",), ("apikey",)}
        or words[:1] == ("metrics",)  # what it prints is the same for every configuration
        or "--config" in result.output
    )


def test_the_commands_of_the_contract() -> None:
    """The names that users and scripts rely on are there, in a real process too."""
    result = command("--help", env=environment())
    assert result.returncode == 0
    looking = ["accounts", "signals", "tasks", "logs", "dead", "retry", "discard", "resolve", "verify"]
    expected = ["run", "demo", "ingress", "router", "migrate", "token", "send", "explain", *looking]
    assert set(expected) <= {words[0] for words in all_commands() if words}
    assert all(f"  {name} " in result.stdout.decode() for name in expected)


# wrong usage and wrong configuration


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["tasks", "--nonsense"], "--nonsense"),
        (["logs"], "task"),
        (["logs", "x"], "integer"),
        (["tasks", "--status", "DONE"], "PENDING"),
        (["tasks", "--config", "/nowhere/config.toml"], "/nowhere/config.toml"),
        (["token", "new", "no good"], "no good"),
        (["send", "/nowhere/alert.json", "--url", "http://127.0.0.1:1/"], "/nowhere/alert.json"),
        (["send", "-"], "--url"),
    ],
)
def test_wrong_usage(words: list[str], hint: str) -> None:
    """Status 2, and a message on stderr that names what is wrong."""
    result = command(*words, env=environment(UNREACHABLE))
    assert result.returncode == 2
    assert hint in result.stderr.decode()
    assert "Traceback" not in result.stderr.decode()
    assert result.stdout == b""


@pytest.mark.parametrize("name", ["run", "tasks"])
def test_every_fault_at_once(tmp_path: Path, name: str) -> None:
    """One message has every fault of the file and of the environment, each with its key; status 2."""
    file = tmp_path / "config.toml"
    file.write_text(
        '[router]\npoll_interval = -1\nbach_size = 5\n[server]\npublic = "nonsense"\n'
        '[[accounts]]\nname = "a b"\n[database]\nschema = "Public"\n'
    )
    wrong = {"EVENTROUTER_LOGS__LEVEL": "loud", "EVENTROUTER_ROUTER__LEASE": "soon", "EVENTROUTER_NONSENSE": "1"}
    result = command(name, env={**environment(**wrong), "EVENTROUTER_SERVER__PUBLIC": ""}, cwd=tmp_path)
    faults = said(result)
    keys = {line.removeprefix("eventrouter: ").split(":")[0] for line in faults}
    assert result.returncode == 2
    assert keys == {
        "router.poll_interval",
        "router.bach_size",
        "server.public",
        "accounts[0].name",
        "database.schema",
        "logs.level",
        "router.lease",
        "nonsense",
    }
    assert any("did you mean batch_size?" in line for line in faults)
    assert any("EVENTROUTER_LOGS__LEVEL" in line for line in faults)


@pytest.mark.parametrize("words", [["tasks"], ["verify"], ["migrate"]], ids=" ".join)
def test_an_unreachable_database(words: list[str]) -> None:
    """Status 1 and one line that says so, without the password."""
    result = command(*words, env=environment(UNREACHABLE))
    assert result.returncode == 1
    assert len(said(result)) == 1
    assert said(result)[0].startswith("eventrouter: ")
    assert "hunter2canary" not in result.stderr.decode()


def test_a_service_that_is_not_there() -> None:
    """`send` ends with 1 and asks whether it runs."""
    result = command("send", "-", "--url", "http://127.0.0.1:1/webhook/CANARY", env=environment(), stdin=b"{}")
    assert (result.returncode, len(said(result))) == (1, 1)
    assert "eventrouter run" in said(result)[0]
    assert "CANARY" not in result.stderr.decode()


def test_a_taken_port(dsn: str, tmp_path: Path) -> None:
    """`run` ends with 1 and one line that names address, key and a way out."""
    first, second = tmp_path / "first", tmp_path / "second"
    with service("run", env=environment(dsn), log=first):
        taken = address_of(first, "Alerts")
        env = {**environment(dsn), "EVENTROUTER_SERVER__PUBLIC": taken}
        with service("run", env=env, log=second) as process:
            assert process.wait(30) == 1
    assert taken in second.read_text().splitlines()[-1]
    assert "[server] public" in second.read_text().splitlines()[-1]
    assert "Traceback" not in second.read_text()


# looking and acting


def shown(*words: str, dsn: str, status: int = 0) -> Any:
    """What a command prints with --json."""
    result = command(*words, "--json", env=environment(dsn))
    assert result.returncode == status, result.stderr
    return json.loads(result.stdout)


def test_from_a_token_to_a_log(dsn: str, tmp_path: Path) -> None:
    """`token new`, `send`, `tasks` and `logs` beside a running service, in the shapes that programs rely on."""
    log = tmp_path / "log"
    with service("run", env=environment(dsn), log=log) as process:
        public = {"EVENTROUTER_SERVER__PUBLIC_URL": f"http://{address_of(log, 'Alerts')}"}
        made = json.loads(command("token", "new", "orb", "--json", env={**environment(dsn), **public}).stdout)
        assert made["strategy"] == "orb"
        assert made["url"].startswith(public["EVENTROUTER_SERVER__PUBLIC_URL"] + "/webhook/")
        alert = json.dumps({"kind": "ENTRY", "trade_id": "T-1", "symbol": "MES1!", "direction": "buy"}).encode()
        sending = {**environment(dsn), "EVENTROUTER_WEBHOOK_URL": made["url"]}
        sent = command("send", "-", "--json", env=sending, stdin=alert)
        answer = json.loads(sent.stdout)["answer"]
        assert sent.returncode == 0
        assert answer == {"signal_id": 1, "trade_id": "T-1", "event_type": "ENTRY", "duplicate": False, "tasks": [1]}
        refused = command("send", "-", "--json", env=sending, stdin=b"nonsense")
        assert (refused.returncode, json.loads(refused.stdout)["status"]) == (1, 422)
        until(lambda: shown("tasks", "--status", "success", dsn=dsn), what="SUCCESS")
        process.terminate()
        assert process.wait(30) == 0
    rows = shown("logs", "1", dsn=dsn)
    assert [(row["seq"], row["prev_status"], row["status"], row["attempt"]) for row in rows] == [
        (1, None, "PENDING", 0),
        (2, "PENDING", "SENDING", 1),
        (3, "SENDING", "SUCCESS", 1),
    ]
    assert all(row.keys() >= {"actor", "reason", "response_body", "detail", "created_at"} for row in rows)
    assert rows[2]["response_code"] == 200
    assert shown("verify", dsn=dsn) == {"tasks": 1, "log_rows": 3, "intents": 1, "violations": []}


def test_who_traded_and_who_did_not(dsn: str, tmp_path: Path) -> None:
    """`signals ID` gives every account's reason; `accounts` lists what two services published, and `accounts NAME` what changed."""
    two = '[{"name": "one", "firm": "apex"}, {"name": "two", "enabled": false}]'
    for number, accounts in enumerate((two, two.replace("apex", "topstep"))):
        env = {**environment(dsn), "EVENTROUTER_ACCOUNTS": accounts}
        with service("run", env=env, log=tmp_path / str(number)):
            public = {"EVENTROUTER_SERVER__PUBLIC_URL": f"http://{address_of(tmp_path / str(number), 'Alerts')}"}
            url = json.loads(command("token", "new", "orb", "--json", env={**env, **public}).stdout)["url"]
            alert = json.dumps({"kind": "ENTRY", "trade_id": f"T-{number}", "symbol": "MES1!", "direction": "buy"})
            assert command("send", "-", "--url", url, env=env, stdin=alert.encode()).returncode == 0
    rows = shown("signals", "2", dsn=dsn)["accounts"]
    assert [(row["account"], row["decision"], row["task"]) for row in rows] == [
        ("one", "task", 2),
        ("two", "nothing", None),
    ]
    assert rows[1]["reason"] == "ACCOUNT_DISABLED"
    until(lambda: shown("signals", "2", dsn=dsn)["accounts"][0]["status"] == "SUCCESS", what="SUCCESS")
    done = shown("signals", "2", dsn=dsn)["accounts"][0]
    assert (done["quantity"], done["filled"], done["contract"][:3]) == ("1", 1, "MES")
    text = command("signals", "2", env=environment(dsn)).stdout.decode()
    assert f"1 {done['contract']}" in text
    assert "ACCOUNT_DISABLED" in text
    assert "The account is not enabled." in text
    listed = shown("accounts", dsn=dsn)
    assert [(row["name"], row["version"], row["firm"], row["mode"]) for row in listed] == [
        ("one", 2, "topstep", "dry"),
        ("two", 1, "", "dry"),
    ]
    assert shown("accounts", "one", dsn=dsn)["versions"][0]["difference"] == {"firm": ["apex", "topstep"]}
    assert 'firm: "apex" > "topstep"' in command("accounts", "one", env=environment(dsn)).stdout.decode()
    assert "topstep" in command("accounts", env=environment(dsn)).stdout.decode()
    for wrong in (("accounts", "nobody"), ("signals", "99")):
        result = command(*wrong, env=environment(dsn))
        assert (result.returncode, len(said(result))) == (1, 1)


@pytest.mark.parametrize("words", [["accounts"], ["signals"], ["tasks"], ["verify"], ["halt"]], ids=" ".join)
def test_who_looks_makes_no_database(words: list[str], tmp_path: Path) -> None:
    """A typing error in data_dir is told, in one line that says what to run, and leaves nothing behind."""
    nowhere = tmp_path / "typo"
    result = command(*words, env={**environment(), "EVENTROUTER_DATABASE__DATA_DIR": str(nowhere)})
    assert (result.returncode, len(said(result))) == (1, 1)
    assert f"no database in {nowhere}" in said(result)[0]
    assert "eventrouter run" in said(result)[0]
    assert not nowhere.exists()


def test_explain_of_a_refused_alert(dsn: str) -> None:
    """A body that would be refused ends with 1; one that is understood with 0, and our own format has a name for people."""
    good = b'{"kind": "ENTRY", "trade_id": "T-1", "direction": "LONG", "symbol": "MES1!"}'
    result = command("explain", "-", "--strategy", "orb", env=environment(dsn), stdin=good)
    assert result.returncode == 0
    assert "Understood as eventrouter's own format" in result.stdout.decode()
    assert "stage13b" not in result.stdout.decode()
    refused = command("explain", "-", env=environment(dsn), stdin=b"nonsense")
    assert (refused.returncode, "Refused: " in refused.stdout.decode()) == (1, True)
    assert shown("explain", "/dev/null", dsn=dsn, status=1)["understood"] is False


def test_a_token_for_a_strategy_that_is_not_there(dsn: str) -> None:
    """It is made, with a warning; without any strategy in the configuration there is nothing to compare with."""
    listed = {**environment(dsn), "EVENTROUTER_STRATEGIES": '[{"name": "orb"}]'}
    for name, env, warned in (("orbb", listed, True), ("ORB", listed, False), ("any", environment(dsn), False)):
        result = command("token", "new", name, env=env)
        assert result.returncode == 0
        assert ("no strategy" in result.stderr.decode()) is warned


def test_tasks_and_dead_letters(dsn: str, sql: Sql) -> None:
    """`tasks` has the columns of execution_tasks, newest first, filtered; `dead` the tasks that wait for a person."""
    ids = [enqueue(sql, f"T-{number}") for number in range(3)]
    walk(sql, ids[1], "SENDING", "FAILED")
    rows = shown("tasks", dsn=dsn)
    columns = "id trade_id event_type status attempts last_error payload last_attempt_at created_at updated_at"
    assert [row["id"] for row in rows] == ids[::-1]
    assert all(row.keys() >= set(columns.split()) for row in rows)
    assert [row["id"] for row in shown("tasks", "--trade", "T-2", "--status", "pending", dsn=dsn)] == [ids[2]]
    dead = shown("dead", dsn=dsn)
    assert [(row["id"], row["status"], row["last_error"]) for row in dead] == [(ids[1], "FAILED", "FAILED by a test")]
    for words in (["tasks"], ["logs", str(ids[1])]):
        text = command(*words, env=environment(dsn))
        assert (text.returncode, "FAILED" in text.stdout.decode()) == (0, True)


def test_acting_on_a_task(dsn: str, sql: Sql) -> None:
    """`retry` and `discard` move the task and say so; what is impossible or not there ends with 1 and one line."""
    failed, pending = enqueue(sql, "T-1"), enqueue(sql, "T-2")
    walk(sql, failed, "SENDING", "FAILED")
    assert shown("retry", str(failed), "--reason", "again", dsn=dsn)["status"] == "PENDING"
    assert shown("discard", str(pending), dsn=dsn)["status"] == "CANCELLED"
    for words, hint in ((["retry", str(pending)], "CANCELLED"), (["retry", "999"], "999"), (["logs", "999"], "999")):
        result = command(*words, env=environment(dsn))
        assert (result.returncode, len(said(result))) == (1, 1)
        assert hint in said(result)[0]
    assert statuses(sql, failed) == ["PENDING", "SENDING", "FAILED", "PENDING"]


def test_a_dead_letter(dsn: str, sql: Sql) -> None:
    """`dead` lists why and what to do, `dead TASK` shows what is known; with --all also what somebody dealt with."""
    failed, review = enqueue(sql, "T-1"), enqueue(sql, "T-2")
    walk(sql, failed, "SENDING", "FAILED")
    walk(sql, review, "SENDING", "UNKNOWN", "REVIEW")
    assert shown("resolve", str(failed), "--reason", "by hand", dsn=dsn)["status"] == "SUCCESS"
    assert [row["id"] for row in shown("dead", dsn=dsn)] == [review]
    assert [row["closed_how"] for row in shown("dead", "--all", dsn=dsn)] == [None, "OPERATOR_RESOLVE"]
    (letter,) = shown("dead", str(failed), dsn=dsn)
    assert letter["closed_reason"] == "by hand"
    text = command("dead", str(review), env=environment(dsn)).stdout.decode()
    assert all(word in text for word in ("T-2", "REVIEW by a test", "to do: Look at the broker"))
    assert "to do" not in command("dead", str(failed), env=environment(dsn)).stdout.decode()
    listed = command("dead", env=environment(dsn)).stdout.decode()
    assert "TEST: Look at the broker" in listed
    result = command("dead", "999", env=environment(dsn))
    assert (result.returncode, len(said(result))) == (1, 1)


def test_a_retry_after_review_by_a_script(dsn: str, sql: Sql) -> None:
    """Without a terminal nothing is asked: it needs --confirm with the task's id, and says so; --set makes another task."""
    task_id = enqueue(sql, "T-1")
    walk(sql, task_id, "SENDING", "UNKNOWN", "REVIEW")
    for words in ([], ["--confirm", str(task_id + 1)]):
        result = command("retry", str(task_id), *words, env=environment(dsn), stdin=f"{task_id}\n".encode())
        assert (result.returncode, len(said(result))) == (1, 1)
        assert f"--confirm {task_id}" in said(result)[0]
    for wrong in ("quantity", "trade_id=T-2", "quantity=none"):
        result = command("retry", str(task_id), "--confirm", str(task_id), "--set", wrong, env=environment(dsn))
        assert (result.returncode, len(said(result))) == (2, 1)
    assert statuses(sql, task_id)[-1] == "REVIEW"
    made = shown("retry", str(task_id), "--confirm", str(task_id), "--set", "quantity=1", dsn=dsn)
    assert (made["retry_of"], made["status"]) == (task_id, "PENDING")


@pytest.mark.parametrize("right", [True, False])
def test_a_retry_after_review_at_a_terminal(dsn: str, sql: Sql, right: bool) -> None:
    """What is not known is said, and the task's id must be typed; another one changes nothing."""
    task_id = enqueue(sql, "T-1")
    walk(sql, task_id, "SENDING", "UNKNOWN", "REVIEW")
    keyboard, terminal = pty.openpty()
    try:
        os.write(keyboard, f"{task_id if right else task_id + 1}\n".encode())
        ran = subprocess.run(
            [sys.executable, "-m", "eventrouter", "retry", str(task_id)],
            env=environment(dsn),
            cwd="/",
            stdin=terminal,
            capture_output=True,
            timeout=60,
        )
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert "may be executed twice" in ran.stderr.decode()
    assert (ran.returncode, statuses(sql, task_id)[-1]) == ((0, "PENDING") if right else (1, "REVIEW"))


def test_verify_finds_corruption(dsn: str, sql: Sql) -> None:
    """Whatever somebody did behind the guards, `verify` names the task and the rule, and ends with 1."""
    status, hole, attempt, twice, one, other, gone = (enqueue(sql, f"T-{number}") for number in range(7))
    for task_id in (status, hole, attempt, twice):
        walk(sql, task_id, "SENDING", "SUCCESS")
    assert shown("verify", dsn=dsn) == {"tasks": 7, "log_rows": 7 + 8, "intents": 4, "violations": []}
    sql.execute("SET session_replication_role = replica")
    sql.execute("UPDATE execution_tasks SET status = 'FAILED' WHERE id = %s", (status,))
    sql.execute("DELETE FROM execution_logs WHERE task_id = %s AND seq = 2", (hole,))
    sql.execute("UPDATE execution_logs SET attempt = 2 WHERE task_id = %s AND seq = 2", (attempt,))
    sql.execute(
        "UPDATE execution_logs SET prev_status = 'ACCEPTED', status = 'SUCCESS', lease_until = NULL WHERE task_id = %s AND seq = 2",
        (twice,),
    )
    sql.execute(
        "UPDATE execution_tasks SET client_order_id = (SELECT client_order_id FROM execution_tasks WHERE id = %s) WHERE id = %s",
        (one, other),
    )
    sql.execute("DELETE FROM execution_tasks WHERE id = %s", (gone,))
    found = {(each["task_id"], each["rule"]) for each in shown("verify", dsn=dsn, status=1)["violations"]}
    expected = {
        (status, "not_the_fold"),
        (hole, "hole"),
        (attempt, "attempt"),
        (twice, "broken_chain"),
        (one, "order_id_repeated"),
    }
    assert expected <= found
    assert gone in {task_id for task_id, _ in found}
    text = command("verify", env=environment(dsn))
    assert (text.returncode, f"task {hole}: hole" in text.stdout.decode()) == (1, True)


def test_verify_of_the_chain(dsn: str, sql: Sql, tmp_path: Path) -> None:
    """`--chain` finds a changed row, `--export` keeps the latest seal of a clean history, `--against` holds the database to it."""
    file = tmp_path / "seal.json"
    walk(sql, enqueue(sql, "T-1"), "SENDING", "SUCCESS")
    early = command("verify", "--export", str(file), env=environment(dsn))
    assert (early.returncode, file.exists(), "no seal yet" in said(early)[-1]) == (1, False, True)
    sql.execute("SELECT seal_history()")
    assert command("verify", "--export", str(file), env=environment(dsn)).returncode == 0
    clean = shown("verify", "--against", str(file), dsn=dsn)
    assert (clean["violations"], clean["chain"]["rows"], clean["chain"]["seals"]) == ([], 3, 1)
    assert clean["chain"]["latest_seal"] == json.loads(file.read_text())
    sql.execute("SET session_replication_role = replica")
    sql.execute("UPDATE execution_logs SET message = 'another' WHERE seq = 2")
    assert shown("verify", dsn=dsn)["violations"] == []
    assert [each["rule"] for each in shown("verify", "--chain", dsn=dsn, status=1)["violations"]] == ["row_changed"]
    other = tmp_path / "other.json"
    assert command("verify", "--export", str(other), env=environment(dsn)).returncode == 1
    assert not other.exists()
    sql.execute("DELETE FROM seals")
    sql.execute("DELETE FROM sealed_heads")
    against = shown("verify", "--against", str(file), dsn=dsn, status=1)["violations"]
    assert [each["rule"] for each in against] == ["row_changed", "seal_missing"]


@pytest.mark.parametrize("content", ["", "[]", '{"format": "eventrouter seal 1", "id": 1}', "\xff"])
def test_a_file_that_is_no_seal(tmp_path: Path, content: str) -> None:
    """A file given to `--against` that no export wrote is wrong usage, told in one line before anything is read."""
    file = tmp_path / "seal.json"
    file.write_bytes(content.encode("latin-1"))
    result = command("verify", "--against", str(file), env=environment())
    assert (result.returncode, len(said(result)), "verify --export" in said(result)[0]) == (2, 1, True)


@pytest.mark.parametrize("half", ["ingress", "router"])
def test_each_half_seals(dsn: str, sql: Sql, tmp_path: Path, half: str) -> None:
    """Whoever takes alerts or routes seals what stands when it starts."""
    enqueue(sql, "T-1", account="nobody's")
    with service(half, env=environment(dsn), log=tmp_path / "log"):
        until(lambda: sql.execute("SELECT FROM seals").fetchone() is not None, what="a seal")
    assert shown("verify", "--chain", dsn=dsn)["violations"] == []
