"""Tasks that wait for a person, made straight in the database: their log is written in the transaction that enqueues them."""

import json
from collections.abc import Mapping
from typing import Any

import psycopg

Sql = psycopg.Connection[Any]
ORDER = {"symbol": "MNQ1!", "direction": "LONG", "quantity": 1}
WAYS = {
    "HELD": [("HELD", "OPERATOR_HOLD")],
    "FAILED": [("SENDING", "INTENT"), ("FAILED", "REJECTED")],
    "REVIEW": [("SENDING", "INTENT"), ("UNKNOWN", "UNKNOWN_OUTCOME"), ("REVIEW", "NOT_PROVEN")],
}


def made(
    sql: Sql,
    status: str,
    *,
    trade: str = "T-1",
    account: str = "alpha",
    message: str = "of a test",
    event: str = "ENTRY",
    mode: str = "dry",
    sent: Mapping[str, Any] | None = None,
    **payload: Any,
) -> int:
    """A task of this status, before a router can see it on its way there. `sent`: what its intent says."""
    with sql.transaction():
        row = sql.execute(
            "INSERT INTO execution_tasks (trade_id, event_type, payload, account, mode) VALUES (%s, %s, %s, %s, %s) RETURNING id",
            [trade, event, json.dumps({**ORDER, **payload}), account, mode],
        ).fetchone()
        assert row is not None
        for version, (each, reason) in enumerate(WAYS[status], 1):
            lease = 30.0 if each == "SENDING" else None
            detail = json.dumps(sent if each == "SENDING" and sent else {})
            values: list[Any] = [row[0], version, each, reason, message, None, None, None, detail, None, lease]
            sql.execute(f"SELECT append_log('test', FALSE, {', '.join(['%s'] * 11)})", [[value] for value in values])
    return int(row[0])


def status_of(sql: Sql, task_id: int) -> str:
    """How a task stands."""
    row = sql.execute("SELECT status FROM execution_tasks WHERE id = %s", [task_id]).fetchone()
    assert row is not None
    return str(row[0])
