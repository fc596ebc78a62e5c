"""Signal, intent and outcome are on disk when their commit returns, whatever the server's default is."""

import secrets
from typing import Any

import psycopg
from psycopg import sql

from eventrouter.domain.routing import Candidate, RoutingTable
from eventrouter.domain.tasks import Status
from eventrouter.ingest import Alert, Receipt, SignalIngest
from eventrouter.metrics import Metrics
from eventrouter.store.connect import Conn, Database
from eventrouter.store.settings import TableCache
from tests.router.book import reaches
from tests.router.conftest import Start

_NOTED = """
CREATE TABLE noted (what TEXT, setting TEXT);
CREATE FUNCTION note() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO noted VALUES (TG_ARGV[0] || COALESCE(to_jsonb(NEW) ->> 'reason', ''), current_setting('synchronous_commit'));
    RETURN NEW;
END $$;
CREATE TRIGGER z_note BEFORE INSERT ON automated_signals FOR EACH ROW EXECUTE FUNCTION note('signal');
CREATE TRIGGER z_note BEFORE INSERT ON execution_logs FOR EACH ROW EXECUTE FUNCTION note('');
"""
"""Notes what holds in the transaction of each row, in the owner's words; nothing of ours is replaced."""


async def test_commits_wait_for_the_disk(dsn: str, db: Conn, start: Start) -> None:
    """The server says that a commit need not wait; ours do."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as owner:
        name = sql.Identifier(owner.info.dbname)
        await owner.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
        await owner.execute(_NOTED)
    async with await psycopg.AsyncConnection.connect(dsn) as fresh:
        assert await _shown(fresh) == "off"
    await start(poll_interval=0.5)
    async with Database(dsn).pool("ingest", size=1) as pool:
        ingest = SignalIngest(pool, tables=TableCache(RoutingTable((Candidate("paper"),))), metrics=Metrics())
        await ingest.start()
        body = f'{{"kind": "ENTRY", "trade_id": "T{secrets.token_hex(4)}", "direction": "LONG", "symbol": "NQ"}}'
        receipt = await ingest.accept(Alert.now(body.encode(), "orb"))
        assert isinstance(receipt, Receipt)
        await reaches(db, receipt.tasks[0], Status.SUCCESS)
        await ingest.stop()
    rows = await (await db.execute("SELECT DISTINCT what, setting FROM noted ORDER BY what")).fetchall()
    assert dict(rows) == {
        "signal": "on",
        "ENQUEUED": "on",
        "INTENT": "on",
        "DONE": "on",
    }
    assert len(rows) == 4


async def _shown(conn: Any) -> str:
    row = await (await conn.execute("SHOW synchronous_commit")).fetchone()
    return str(row[0])
