"""Health, readiness and metrics."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg import sql as compose
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from eventrouter.app import credential_store
from tests.conftest import Server, _template
from tests.history import enqueue, walk
from tests.processes import until_async
from tests.web.live_site import ENTRY, Site, configuration, running

Sql = psycopg.Connection[Any]
NO_SPOOL = {"state": "off", "alerts": 0}


async def test_healthz(routed: Site, dsn: str) -> None:
    """200 on both listeners; `listener` says whether notifications arrive, or that no router runs here."""

    async def up() -> bool:
        return (await routed.get("/healthz")) == (200, {"status": "ok", "listener": "up", "spool": NO_SPOOL})

    await until_async(up)
    async with routed.session.get(routed.public("/healthz")) as answer:
        assert await answer.json() == {"status": "ok", "listener": "up", "spool": NO_SPOOL}
    async with running(configuration(dsn), with_router=False) as site:
        assert await site.get("/healthz") == (200, {"status": "ok", "listener": "not here", "spool": NO_SPOOL})


async def test_readyz(site: Site, sql: Sql) -> None:
    """200 while the schema is this version's; with a migration pending 503, which one, and when to ask again."""
    assert await site.get("/readyz") == (
        200,
        {
            "status": "ready",
            "database": "ok",
            "listener": "not here",
            "spool": NO_SPOOL,
            "connections": "not here",
            "alerts": {"state": "off"},
            "guard": "role",
        },
    )
    sql.execute("DELETE FROM schema_migrations WHERE name = '0001_core'")
    async with site.session.get(site.operator("/readyz")) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        state = await answer.json()
    assert state["status"] == "not ready"
    assert "0001_core" in state["database"]
    assert "eventrouter migrate" in state["database"]


@pytest.fixture
def system_dsn(system_server: Server) -> Iterator[str]:
    """A migrated database on the machine's own server, where any role may log in."""
    with system_server.database(_template(system_server)) as janitor:
        yield system_server.dsn(janitor.dbname)


async def status_of(site: Site, task_id: int) -> str:
    """Where a task stands."""
    _, task = await site.get(f"/api/tasks/{task_id}")
    return str(task["status"])


async def guard(config: Any) -> tuple[int, str]:
    """What a service with this configuration says of itself, once it has run an alert."""
    async with running(config) as site:
        _, answer = await site.alert(await site.token(), ENTRY)

        async def done() -> bool:
            return await status_of(site, answer["tasks"][0]) == "SUCCESS"

        await until_async(done)
        status, state = await site.get("/readyz")
        return status, state["guard"]


@pytest.mark.parametrize("migrates", [True, False], ids=["with admin_dsn", "migrated before"])
@pytest.mark.parametrize("user", ["eventrouter_app", "member"])
async def test_guard_level_of_a_login(system_dsn: str, user: str, migrates: bool) -> None:
    """A user who is only the application role, or a member of it, runs everything and can never be more: 'login'."""
    with psycopg.connect(system_dsn, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS member")
        admin.execute("CREATE ROLE member LOGIN IN ROLE eventrouter_app")
        admin.execute("ALTER ROLE eventrouter_app LOGIN")
    database = {"admin_dsn": system_dsn} if migrates else {}
    assert await guard(configuration(make_conninfo(system_dsn, user=user), database=database)) == (200, "login")


async def test_guard_level_without_roles(system_server: Server, system_dsn: str) -> None:
    """A user who may neither create the application role nor become it still runs everything, and says 'triggers'."""
    with psycopg.connect(system_dsn, autocommit=True) as admin:
        if not admin.execute("SELECT FROM pg_roles WHERE rolname = 'plain'").rowcount:
            admin.execute("CREATE ROLE plain LOGIN")
    with system_server.database() as janitor:
        theirs = system_server.dsn(janitor.dbname, user="plain")
        with psycopg.connect(system_server.dsn(janitor.dbname), autocommit=True) as admin:
            name = compose.Identifier(str(conninfo_to_dict(theirs)["dbname"]))
            admin.execute(compose.SQL("ALTER DATABASE {} OWNER TO plain").format(name))
            admin.execute("GRANT CREATE ON SCHEMA public TO plain")
        assert await guard(configuration(theirs)) == (200, "triggers")


async def test_metrics(routed: Site, sql: Sql) -> None:
    """Counts of alerts, answers and transitions, and the queue as it is now, in Prometheus's format."""
    token = await routed.token()
    _, answer = await routed.alert(token, ENTRY)
    await routed.alert(token, b"nonsense")
    await routed.alert("not-a-token", ENTRY)
    walk(sql, enqueue(sql, "T-1", account="elsewhere"), "SENDING", "UNKNOWN", "REVIEW")
    enqueue(sql, "T-2", account="elsewhere")

    async def done() -> bool:
        return await status_of(routed, answer["tasks"][0]) == "SUCCESS"

    await until_async(done)
    found = await measured(routed)
    assert found["eventrouter_signals_total", "accepted"] == 1
    assert found["eventrouter_signals_total", "refused"] == 1
    assert [found.get(("eventrouter_webhook_answers_total", status)) for status in ("200", "401", "422")] == [1, 1, 1]
    assert found["eventrouter_transitions_total", "PENDING", "SENDING"] == 1
    assert found["eventrouter_transitions_total", "SENDING", "SUCCESS"] == 1
    assert found["eventrouter_tasks", "PENDING"] == 1
    assert found["eventrouter_tasks", "REVIEW"] == 1
    assert found["eventrouter_tasks", "SENDING"] == 0
    assert found["eventrouter_alert_to_done_seconds_count",] == 1
    assert found["eventrouter_oldest_task_seconds", "PENDING"] > 0
    assert found["eventrouter_oldest_task_seconds", "UNKNOWN"] == 0
    assert found["eventrouter_dead_letters_open", "REVIEW"] == 1
    assert found["eventrouter_database_up",] == 1
    assert found["eventrouter_listener_last_notification_timestamp_seconds",] > 1e9
    for phase, count in {"stored": 1, "claimed": 1, "sent": 1, "acknowledged": 1, "filled": 0}.items():
        assert found["eventrouter_phase_seconds_count", phase] == count
    assert found["eventrouter_broker_calls_total", "dryrun", "send", "accepted"] == 1
    assert found["eventrouter_claimed_tasks_total", "wake"] == 1


async def measured(site: Site) -> dict[tuple[str, ...], float]:
    """Every sample of /metrics under its name and label values."""
    async with site.session.get(site.operator("/metrics")) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        families = text_string_to_metric_families(await answer.text())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


async def test_readyz_without_any_broker(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 while no account's broker can be used, each with its reason; 200 once one of them can."""
    monkeypatch.setenv("EVENTROUTER_MASTER_KEY", base64.b64encode(bytes(32)).decode())
    url = "http://127.0.0.1:1"  # nobody listens there
    real = {"connector": "projectx", "live": True, "automation": "allowed", "url": url, "hub_url": f"{url}/hubs/user"}
    keyless, dead = {**real, "name": "keyless"}, {**real, "name": "dead"}
    settings: dict[str, Any] = {"router": {"dry_run": False}, "credentials": {"dir": tmp_path}}
    credential_store(configuration(dsn, accounts=[keyless], **settings)).put(
        "dead", "projectx", {"user_name": "u", "api_key": "k"}, now=datetime.now(UTC)
    )
    async with running(configuration(dsn, accounts=[keyless, dead], **settings)) as site:

        async def told() -> bool:
            _, state = await site.get("/readyz")
            return all(each["state"] == "down" for each in state["connections"].values())

        await until_async(told)
        status, state = await site.get("/readyz")
        assert (status, state["status"], state["database"]) == (503, "not ready", "ok")
        told_of = {name: each["accounts"] for name, each in state["connections"].items()}
        assert told_of["projectx/keyless"]["keyless"]["code"] == "NO_CREDENTIALS"
        assert "eventrouter credentials set keyless" in told_of["projectx/keyless"]["keyless"]["message"]
        assert told_of["projectx/dead"]["dead"]["code"] == "BROKER_UNREACHABLE"
        assert datetime.fromisoformat(told_of["projectx/dead"]["dead"]["since"]) <= datetime.now(UTC)

        async def written() -> bool:
            _, listed = await site.get("/api/accounts")
            return [row["state"] for row in listed] == ["broker_down", "broker_down"]

        await until_async(written)
    async with running(configuration(dsn, accounts=[keyless, {"name": "paper"}], **settings | {"router": {}})) as site:

        async def ready() -> bool:
            return (await site.get("/readyz"))[0] == 200

        await until_async(ready)
