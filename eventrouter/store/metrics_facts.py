"""What a scrape reads of Postgres: a few bounded walks through indexes, in one transaction that locks nothing."""

from collections.abc import Sequence
from typing import Any

from psycopg.rows import dict_row

from eventrouter.domain.tasks import OPEN
from eventrouter.metrics.figures import Figures
from eventrouter.store.connect import Conn, missing_migrations, translated
from eventrouter.store.files import query

_LETTERS = ("FAILED", "REVIEW")
_CONTROLS = ("halt", "reduce", "flatten")


async def figures(conn: Conn, accounts: Sequence[str]) -> Figures:
    """All figures, see FIGURES; those of accounts only for `accounts`, which the configuration bounds.

    `conn` must not be in autocommit: settings are for its transaction. Raises StoreError.
    """
    async with translated("metrics"), conn.cursor(row_factory=dict_row) as cursor:

        async def rows(name: str, **values: Any) -> list[dict[str, Any]]:
            await cursor.execute(query(name), values or None)
            return await cursor.fetchall()

        await rows("metrics_settings")
        queue = {row["status"]: row for row in await rows("queue_figures")}
        letters = {row["status"]: row for row in await rows("dead_letter_figures")}
        halts = {row["action"]: row["count"] for row in await rows("halt_figures")}
        stands = await rows("account_figures", accounts=list(accounts))
        (seal,) = await rows("seal_figures")
        (transactions,) = await rows("transaction_figures")
        tables = {row["name"]: row for row in await rows("table_figures")}
        applied = sorted(row["name"] for row in await rows("applied_migrations") if row["name"][0].isdigit())
        lacking = await missing_migrations(conn)
    return {
        "tasks": {(status,): queue[status]["count"] for status in OPEN},
        "oldest_task_seconds": {(status,): queue[status]["age_s"] or 0.0 for status in OPEN},
        "dead_letters_open": {(each,): letters[each]["count"] if each in letters else 0 for each in _LETTERS},
        "oldest_dead_letter_seconds": {(): max((row["age_s"] for row in letters.values()), default=0.0)},
        "halts": {(action,): halts.get(action, 0) for action in _CONTROLS},
        "account_out_of_sync": {(row["name"],): row["out_of_sync"] for row in stands},
        "contracts_held": {(row["name"], mode): row[mode] for row in stands for mode in ("dry", "live")},
        "seal_age_seconds": {} if seal["age_s"] is None else {(): seal["age_s"]},
        "unsealed_seconds": {(): seal["unsealed_s"] or 0.0},
        "oldest_transaction_seconds": {(): transactions["oldest_s"]},
        "sessions_hidden": {(): transactions["hidden"]},
        "table_live_rows": {(name,): row["live"] for name, row in tables.items()},
        "table_dead_rows": {(name,): row["dead"] for name, row in tables.items()},
        "table_last_autovacuum_timestamp_seconds": {(name,): row["vacuumed_at"] for name, row in tables.items()},
        "schema_info": {(applied[-1],): 1} if applied else {},
        "migrations_pending": {(): len(lacking)},
    }
