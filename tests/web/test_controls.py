"""The operator's switches over HTTP."""

from typing import Any

import psycopg
import pytest

from tests.history import enqueue, walk
from tests.web.live_site import Site

Sql = psycopg.Connection[Any]


async def test_halt_resume_flatten(site: Site, sql: Sql) -> None:
    """Each answers with its row and what is in flight, and stands in the list with the actor."""
    task = enqueue(sql, "T-1")
    walk(sql, task, "SENDING")
    status, halted = await site.act("/api/halt", {"scope": "account:paper", "reason": "news"})
    assert (status, halted["action"], halted["actor"], halted["reason"]) == (200, "halt", "api", "news")
    assert [each["task_id"] for each in halted["in_flight"]] == [task]
    _, reduced = await site.act("/api/halt", {"reduce": True})
    assert (reduced["scope"], reduced["action"]) == ("all", "reduce")
    await site.act("/api/resume", {"scope": "all"})
    _, flattening = await site.act("/api/flatten", {})
    _, found = await site.get("/api/controls")
    assert {row["scope"]: row["action"] for row in found["standing"]} == {"account:paper": "halt", "all": "flatten"}
    assert [row["action"] for row in found["history"]] == ["flatten", "resume", "reduce", "halt"]
    status, one = await site.get(f"/api/controls/{flattening['id']}")
    assert (status, [(each["account"], each["state"]) for each in one["accounts"]]) == (200, [("paper", "WAITING")])


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("halt", {"scope": "account:papr"}, "scope"),
        ("halt", {"scope": 7}, "scope"),
        ("halt", {"scope": "account:\0"}, "scope"),
        ("halt", {"reduce": "yes"}, "reduce"),
        ("resume", {"reason": 7}, "reason"),
        ("flatten", {"reason": "x" * 1001}, "reason"),
    ],
)
async def test_what_is_refused(site: Site, sql: Sql, path: str, body: dict[str, Any], field: str) -> None:
    """422 with the field, and nothing is changed."""
    status, answer = await site.act(f"/api/{path}", body)
    assert (status, answer["field"]) == (422, field)
    assert sql.execute("SELECT count(*) FROM controls").fetchone() == (0,)


async def test_no_such_control(site: Site) -> None:
    """404."""
    status, answer = await site.get("/api/controls/7")
    assert (status, answer["code"]) == (404, "CONTROL_UNKNOWN")
