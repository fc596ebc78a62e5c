"""The list of signals over 100,000 of them: what it reads of the tables, and that its pages are complete."""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from eventrouter.store.connect import Conn, Database
from eventrouter.store.desk_controls import met
from eventrouter.store.desk_now import last_outcomes
from eventrouter.store.desk_signals import MOST_LOOKED_THROUGH, PAGE_ROWS, SignalFilter, signal_page
from eventrouter.store.desk_tasks import milestones, timeline
from tests.conftest import Server, _template

SIGNALS = 100_000
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
BIG = {"automated_signals", "execution_tasks", "execution_logs"}

# A strategy and an account that are rare, a strategy that ended early, one refused alert in 50, one repeat in 70, and a word in ten bodies.
FILL = """
INSERT INTO automated_signals (signal_uid, strategy, trade_id, event_type, code, message, raw, parsed, received_at, created_at, duplicate_of)
SELECT gen_random_uuid(), CASE WHEN i %% 5000 = 0 THEN 'rare' WHEN i <= 4000 AND i %% 2 = 0 THEN 'old' ELSE 's' || i %% 10 END,
       CASE WHEN i %% 50 <> 7 THEN 'T-' || i END, CASE WHEN i %% 50 <> 7 THEN 'ENTRY' END,
       CASE WHEN i %% 50 = 7 THEN 'NOT_JSON' END, CASE WHEN i %% 50 = 7 THEN 'It is no JSON.' END,
       convert_to('{"kind": "ENTRY", "trade_id": "T-' || i || '", "note": "' || CASE WHEN i %% 10000 = 9999 THEN 'NeedlÉ' ELSE 'hay' END || '"}', 'UTF8'),
       jsonb_build_object('symbol', (ARRAY['MNQ1!', 'CME_MINI:MNQZ2026', 'ES1!', 'GC1!', 'CL1!'])[1 + i %% 5]),
       %(began)s::TIMESTAMPTZ + i * INTERVAL '1 minute', %(began)s::TIMESTAMPTZ + i * INTERVAL '1 minute',
       CASE WHEN i %% 70 = 3 THEN gen_random_uuid() END
FROM generate_series(1, %(signals)s) i;
INSERT INTO execution_tasks (trade_id, event_type, status, signal_id, account, lane, place, opening, client_order_id, payload, attempts, last_attempt_at)
SELECT s.trade_id, 'ENTRY',
       CASE WHEN s.id %% 2500 = 0 THEN 'FAILED' WHEN s.id %% 20 = 0 THEN 'DENIED' ELSE 'SUCCESS' END, s.id, a.account, a.account || '/NQ', s.id, TRUE,
       s.id || a.account, '{}', 1, s.received_at + INTERVAL '30 milliseconds'
FROM automated_signals s,
     LATERAL (VALUES ('often'), (CASE WHEN s.id %% 1000 = 1 THEN 'seldom' ELSE 'always' END)) a (account)
WHERE s.code IS NULL AND s.duplicate_of IS NULL;
INSERT INTO execution_logs (task_id, seq, prev_status, status, attempt, actor, reason, hash)
SELECT t.id, 1, NULL, 'PENDING', 0, 'enqueue', 'ENQUEUED', sha256('') FROM execution_tasks t;
ANALYZE;
"""


@pytest.fixture(scope="module")
def many(embedded_server: Server) -> Iterator[str]:
    """A database with 100,000 signals and nearly twice as many tasks."""
    with embedded_server.database(_template(embedded_server)) as janitor:
        dsn = embedded_server.dsn(janitor.dbname)
        with psycopg.connect(dsn, cursor_factory=psycopg.ClientCursor) as conn:
            # the triggers would do for each row what this needs not: fold, chain, notify
            conn.execute("SET session_replication_role = replica")
            conn.execute(FILL, {"began": BEGAN, "signals": SIGNALS})
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("VACUUM")
        yield dsn


Asked = list[tuple[Any, Any]]


@pytest.fixture
def asked() -> Asked:
    """The statements that were sent, with their values."""
    return []


@pytest.fixture
async def reader(many: str, asked: Asked) -> AsyncIterator[Conn]:
    """The service's connection, which writes down what it is asked."""

    class Noting(psycopg.AsyncCursor[Any]):
        async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            asked.append((query, params))
            return await super().execute(query, params, **options)

    async with await Database(many).connect("test") as conn:
        conn.cursor_factory = Noting
        yield conn


FILTERS: Mapping[str, SignalFilter] = {
    "all": SignalFilter(),
    "a later page": SignalFilter(before=50_000),
    "strategy": SignalFilter(strategy="s3"),
    "a rare strategy": SignalFilter(strategy="rare"),
    "a strategy of long ago": SignalFilter(strategy="old"),
    "no such strategy": SignalFilter(strategy="nobody"),
    "symbol": SignalFilter(symbol="MNQ"),
    "account": SignalFilter(account="often"),
    "a rare account": SignalFilter(account="seldom"),
    "denied": SignalFilter(status="DENIED"),
    "failed": SignalFilter(status="FAILED"),
    "success": SignalFilter(status="SUCCESS"),
    "refused": SignalFilter(status="REFUSED"),
    "repeats": SignalFilter(status="REPEAT"),
    "a day": SignalFilter(since=BEGAN + timedelta(days=30), until=BEGAN + timedelta(days=31)),
    "number": SignalFilter(text="77777"),
    "trade": SignalFilter(text="T-77777"),
    "the beginning of trades": SignalFilter(text="T-7777"),
    "all at once": SignalFilter(
        "s1", "CME_MINI:MNQ1!", "often", "SUCCESS", BEGAN + timedelta(days=30), BEGAN + timedelta(days=40)
    ),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_a_page_reads_little_and_by_indexes(reader: Conn, many: str, asked: Asked, name: str) -> None:
    """Each filter takes a few statements; none of them reads a big table whole, nor touches as many blocks as the smallest has."""
    await signal_page(reader, FILTERS[name])
    assert 1 <= len(asked) <= (4 if name != "all at once" else 8)
    for statement, values in asked:
        _little_and_by_indexes(many, statement, values)


async def test_what_came_of_each_account_s_last_signal_reads_little(reader: Conn, many: str, asked: Asked) -> None:
    """However many signals an account had."""
    assert set(await last_outcomes(reader, ["often", "seldom", "nobody"])) == {"often", "seldom"}
    for statement, values in asked:
        _little_and_by_indexes(many, statement, values)


async def test_a_task_s_pages_read_little(reader: Conn, many: str, asked: Asked) -> None:
    """So do the strips of a signal's tasks and the log of one task."""
    await milestones(reader, [1, 2, 3])
    await timeline(reader, 50_000, None)
    for statement, values in asked:
        _little_and_by_indexes(many, statement, values)


@pytest.mark.parametrize("scope", ["all", "account:often", "account:seldom", "strategy:s3"])
async def test_a_preview_of_a_control_reads_little(reader: Conn, many: str, asked: Asked, scope: str) -> None:
    """What is open in a scope is found without looking at what is done, however much that is."""
    await met(reader, scope, {"often": "dry", "always": "dry", "seldom": "dry"})
    assert len(asked) == 3
    for statement, values in asked:
        _little_and_by_indexes(many, statement, values)


async def test_words_are_looked_for_a_bounded_way_and_then_further(reader: Conn, many: str, asked: Asked) -> None:
    """A rare word: the first request ends after 10,000 signals and says so, the others find the rest; bytes decide, not case."""
    found: list[int] = []
    wanted = SignalFilter(text="needlÉ ENTRY")
    for _ in range(SIGNALS // MOST_LOOKED_THROUGH + 1):
        asked.clear()
        page = await signal_page(reader, wanted)
        assert page.found_by == "words"
        assert len(asked) <= 2 + 2 * 11
        found += [row["id"] for row in page.rows]
        if page.next is None:
            break
        assert page.looked_through == MOST_LOOKED_THROUGH
        wanted = SignalFilter(text=wanted.text, before=page.next)
    assert found == list(range(99_999, 0, -10_000))
    assert all("Seq Scan" not in str(_plan(many, *each)) for each in asked)


@pytest.mark.parametrize(
    ("wanted", "condition"),
    [
        (SignalFilter(before=1_500), "id < 1500"),
        (
            SignalFilter(account="seldom"),
            "EXISTS (SELECT FROM execution_tasks t WHERE t.signal_id = s.id AND t.account = 'seldom')",
        ),
        (
            SignalFilter(status="FAILED"),
            "EXISTS (SELECT FROM execution_tasks t WHERE t.signal_id = s.id AND t.status = 'FAILED')",
        ),
        (
            SignalFilter(strategy="s7", status="REFUSED", before=20_000),
            "code IS NOT NULL AND strategy = 's7' AND id < 20000",
        ),
        (SignalFilter(status="NO ORDER"), "FALSE"),
        (
            SignalFilter(symbol="MNQ", strategy="s1", before=9_000),
            "parsed ->> 'symbol' LIKE '%MNQ%' AND strategy = 's1' AND id < 9000",
        ),
        (
            SignalFilter(since=BEGAN + timedelta(hours=2), until=BEGAN + timedelta(hours=9)),
            "received_at >= '2026-01-01 02:00Z' AND received_at < '2026-01-01 09:00Z'",
        ),
    ],
)
async def test_pages_are_complete_and_without_repeats(
    reader: Conn, many: str, wanted: SignalFilter, condition: str
) -> None:
    """Page after page, each beginning where the one before ended, is exactly what fits, newest first."""
    found: list[int] = []
    following: int | None = wanted.before
    while True:
        values = {name: getattr(wanted, name) for name in wanted.__slots__}
        page = await signal_page(reader, SignalFilter(**{**values, "before": following}))
        assert len(page.rows) <= PAGE_ROWS
        found += [row["id"] for row in page.rows]
        following = page.next
        if following is None:
            break
    with psycopg.connect(many) as conn:
        rows = conn.execute(f"SELECT s.id FROM automated_signals s WHERE {condition} ORDER BY s.id DESC").fetchall()
    assert found == [row[0] for row in rows]


def _plan(dsn: str, statement: str, values: Any) -> dict[str, Any]:
    with psycopg.connect(dsn) as conn:
        row = conn.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, values).fetchone()
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def _little_and_by_indexes(dsn: str, statement: str, values: Any) -> None:
    plan = _plan(dsn, statement, values)
    scans = [node for node in _nodes(plan) if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG]
    assert scans == []
    with psycopg.connect(dsn) as conn:
        row = conn.execute("SELECT min(relpages) FROM pg_class WHERE relname = ANY (%s)", [list(BIG)]).fetchone()
    assert row is not None
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < row[0], statement


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
