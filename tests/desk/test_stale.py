"""A page that was loaded before somebody else acted decides about what it showed, and about nothing else."""

import re
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from eventrouter.domain.dead_letters import Retry
from eventrouter.store import actions, controls
from eventrouter.store.connect import Database
from tests.desk.letters import made, status_of
from tests.web.live_site import Site, configuration, running

Sql = psycopg.Connection[Any]


@pytest.fixture
async def site(dsn: str) -> AsyncIterator[Site]:
    """A service that takes no work: what a test does stays as it is."""
    async with running(configuration(dsn), with_router=False) as started:
        yield started


async def _page(site: Site, path: str) -> str:
    async with site.session.get(site.operator(path)) as answer:
        assert answer.status == 200
        return await answer.text()


def _hidden(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', text)
    assert found
    return found[1]


async def _sent(site: Site, path: str, **form: str) -> tuple[int, str]:
    own = {"Origin": f"http://{site.listeners.operator}"}
    async with site.session.post(site.operator(path), data=form, headers=own, allow_redirects=False) as answer:
        return answer.status, await answer.text()


async def _retried_by_bob(dsn: str, sql: Sql, task: int) -> None:
    """Somebody else's retry that ends in REVIEW: the task is there as before, or not as before, and of another order."""
    async with await Database(dsn).connect("other") as conn:
        await actions.act(conn, task, "retry", actor="bob", retry=Retry(task, even_if_old=True, even_if_held=True))
    version = sql.execute("SELECT version FROM execution_tasks WHERE id = %s", [task]).fetchone()
    assert version is not None
    steps = [("SENDING", "INTENT"), ("UNKNOWN", "UNKNOWN_OUTCOME"), ("REVIEW", "NOT_PROVEN")]
    for step, (status, reason) in enumerate(steps):
        lease = 30.0 if status == "SENDING" else None
        values: list[Any] = [task, version[0] + step, status, reason, "again", None, None, None, "{}", None, lease]
        sql.execute(f"SELECT append_log('test', FALSE, {', '.join(['%s'] * 11)})", [[value] for value in values])


@pytest.mark.parametrize(
    ("path", "action", "more"),
    [
        ("/dead/{}", "retry", {"even_if_old": "on"}),
        ("/dead/{}", "edit", {"even_if_old": "on", "set_quantity": "2"}),
        ("/dead/{}", "discard", {}),
        ("/dead/{}", "resolve", {}),
        ("/tasks/{}", "retry", {"even_if_old": "on"}),
        ("/tasks/{}", "resolve", {}),
    ],
)
async def test_what_moved_on_is_looked_at_again(
    site: Site, sql: Sql, dsn: str, path: str, action: str, more: dict[str, str]
) -> None:
    """REVIEW before and REVIEW now, of another order: the typed id was for the first one."""
    task = made(sql, "REVIEW")
    shown = await _page(site, path.format(task))
    form = {"csrf": _hidden(shown, "csrf"), "version": _hidden(shown, "version"), "confirm": str(task), **more}
    await _retried_by_bob(dsn, sql, task)
    status, text = await _sent(site, f"{path.format(task)}/{action}", **form)
    assert status == 409
    assert f"Task {task} moved on since you looked: it is REVIEW now." in text
    assert status_of(sql, task) == "REVIEW"
    again = {**form, "version": _hidden(text, "version")}
    status, _ = await _sent(site, f"{path.format(task)}/{action}", **again)
    assert status == 303
    assert status_of(sql, task) != "REVIEW"


async def test_a_tick_is_for_what_the_list_showed(site: Site, sql: Sql, dsn: str) -> None:
    """FAILED when it was ticked, in REVIEW by now: it is left out, and the others are done."""
    moved, other = made(sql, "FAILED"), made(sql, "FAILED", trade="T-2")
    shown = await _page(site, "/dead")
    ticks = re.findall(r'name="task" value="([^"]+)"', shown)
    assert len(ticks) == 2
    await _retried_by_bob(dsn, sql, moved)
    own = {"Origin": f"http://{site.listeners.operator}"}
    form = [("csrf", _hidden(shown, "csrf")), ("action", "discard"), *(("task", tick) for tick in ticks)]
    async with site.session.post(site.operator("/dead/many"), data=form, headers=own) as answer:
        text = await answer.text()
    assert "<b>1</b> of 2 done" in text
    assert "MOVED_ON" in text
    assert (status_of(sql, moved), status_of(sql, other)) == ("REVIEW", "CANCELLED")


async def test_an_approval_is_of_what_was_shown(site: Site, sql: Sql) -> None:
    """A task that was let go and held again meanwhile waits on."""
    task = made(sql, "HELD")
    shown = await _page(site, "/approvals")
    sql.execute(
        "SELECT append_log('test', FALSE, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [[value] for value in (task, 2, "HELD", "NOTE", "another word", None, None, None, "{}", None, None)],
    )
    form = {"csrf": _hidden(shown, "csrf"), "version": _hidden(shown, "version")}
    status, text = await _sent(site, f"/approvals/{task}/approve", **form)
    assert (status, status_of(sql, task)) == (409, "HELD")
    assert "moved on since you looked" in text


async def test_a_real_order_is_sent_again_only_by_a_typed_id(site: Site, sql: Sql) -> None:
    """One by its id, many by how many they are; a dry one at once."""
    task, other = made(sql, "FAILED", mode="live"), made(sql, "FAILED", trade="T-2")
    for path in (f"/dead/{task}", f"/tasks/{task}"):
        shown = await _page(site, path)
        form = {"csrf": _hidden(shown, "csrf"), "version": _hidden(shown, "version")}
        for typed in ({}, {"confirm": str(task + 1)}):
            status, text = await _sent(site, f"{path}/retry", **form, **typed)
            assert (status, f"type {task}, for a real order is sent" in text) == (409, True)
    shown = await _page(site, "/dead")
    form = {"csrf": _hidden(shown, "csrf"), "action": "retry", "task": f"{task}"}
    status, text = await _sent(site, "/dead/many", **form)
    assert (status, "type 1, how many are ticked" in text) == (422, True)
    status, _ = await _sent(site, "/dead/many", **{**form, "task": f"{other}"})
    assert (status, status_of(sql, task), status_of(sql, other)) == (200, "FAILED", "PENDING")
    status, _ = await _sent(site, "/dead/many", **form, confirm="1")
    assert (status, status_of(sql, task)) == (200, "PENDING")


async def test_a_resume_does_not_withdraw_what_came_later(site: Site, sql: Sql, dsn: str) -> None:
    """The preview showed a halt; since then somebody flattens."""
    async with await Database(dsn).connect("other") as conn:
        await controls.set_control(conn, "all", "halt", "ann", "lunch")
        shown = await _page(site, "/controls/set?action=resume&scope=all")
        await controls.set_control(conn, "all", "resume", "ann", None)
        await controls.set_control(conn, "all", "flatten", "bob", "news")
    form = {"csrf": _hidden(shown, "csrf"), "seen": _hidden(shown, "seen"), "action": "resume", "scope": "all"}
    status, text = await _sent(site, "/controls/set", **form)
    assert status == 409
    assert "flatten of all by bob came since you looked" in text
    latest = "SELECT action FROM controls ORDER BY id DESC LIMIT 1"
    assert sql.execute(latest).fetchone() == ("flatten",)
    status, _ = await _sent(site, "/controls/set", **{**form, "seen": _hidden(text, "seen")})
    assert (status, sql.execute(latest).fetchone()) == (303, ("resume",))


@pytest.mark.parametrize("page", ["tasks", "dead"])
async def test_a_cursor_that_is_no_number_is_passed_over(site: Site, sql: Sql, page: str) -> None:
    """Digits of another script are none."""
    assert "REVIEW" in await _page(site, f"/{page}/{made(sql, 'REVIEW')}?before=%C2%B2")


async def test_the_api_takes_the_version_that_was_looked_at(site: Site, sql: Sql) -> None:
    """409 MOVED_ON for another one, and nothing is done."""
    task = made(sql, "FAILED")
    row = sql.execute("SELECT version FROM execution_tasks WHERE id = %s", [task]).fetchone()
    assert row is not None
    status, answer = await site.act(f"/api/tasks/{task}/discard", {"version": row[0] - 1})
    assert (status, answer["code"], status_of(sql, task)) == (409, "MOVED_ON", "FAILED")
    status, answer = await site.act(f"/api/tasks/{task}/discard", {"version": row[0]})
    assert (status, status_of(sql, task)) == (200, "CANCELLED")
