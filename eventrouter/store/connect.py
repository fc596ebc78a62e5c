"""Connections: one small pool for each use, so that a slow report never delays a webhook, and one voice for errors."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from eventrouter.errors import RowRefused, StoreBusy, StoreError, StoreUnavailable, one_line
from eventrouter.store.files import query
from eventrouter.store.migrate import pending

Conn = psycopg.AsyncConnection[Any]
Pool = AsyncConnectionPool[Any]

GuardLevel = Literal["login", "role", "triggers"]
"""How far the service is held back: it logs in as the application role; becomes it after login; or only triggers guard."""

CHANNEL = "eventrouter_tasks"
STATEMENT_TIMEOUT_S = 15.0

# A dead peer is noticed within about ten seconds instead of the kernel's two hours.
_KEEPALIVE: Mapping[str, Any] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
}


def _json_loads(data: str | bytes) -> Any:
    """JSON with exact numbers. What Python cannot read (nested too deep, a number of thousands of digits) stays text."""
    try:
        return json.loads(data, parse_float=Decimal)
    except (ValueError, RecursionError):
        return data.decode() if isinstance(data, bytes) else data


def conninfo(dsn: str, application: str) -> str:
    """The DSN with our defaults where it says nothing itself."""
    given = conninfo_to_dict(dsn)
    merged = {**_KEEPALIVE, "application_name": f"eventrouter-{application}", **given}
    return make_conninfo(**merged)


# What the values of one row can cause: bad data, a broken constraint, text that is no text, a row too large for an index.
GUILTY_ROW = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded, UnicodeError)

_STANDBY = (
    psycopg.errors.ReadOnlySqlTransaction
)  # a primary that became one takes no writes, like a server that is away


@asynccontextmanager
async def translated(operation: str) -> AsyncIterator[None]:
    """Turns psycopg's errors into ours: StoreBusy, StoreUnavailable, RowRefused, StoreError."""
    try:
        yield
    except TooManyRequests as error:
        raise StoreBusy(f"{operation}: too much work is waiting for Postgres.") from error
    except GUILTY_ROW as error:
        raise RowRefused(f"{operation}: {one_line(error)}") from error
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed, OSError, _STANDBY) as error:
        said = one_line(error) or "no answer in time"
        raise StoreUnavailable(f"{operation}: Postgres cannot be reached or did not answer: {said}") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction, psycopg.errors.UndefinedColumn) as error:
        raise StoreError(
            f"{operation}: the schema is missing or old, run `eventrouter migrate`: {one_line(error)}"
        ) from error
    except psycopg.Error as error:
        raise StoreError(f"{operation}: {one_line(error)}") from error


@asynccontextmanager
async def session(pool: Pool, operation: str) -> AsyncIterator[Conn]:
    """A connection of a pool, for as long as a statement may take: a server that is frozen is one that is away."""
    async with translated(operation), asyncio.timeout(STATEMENT_TIMEOUT_S + 5.0), pool.connection() as conn:
        yield conn


async def listen(conn: Conn, *channels: str) -> None:
    """Subscribes this connection, which must be in autocommit, to channels."""
    for channel in channels:
        await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))


async def notify(conn: Conn, channel: str = CHANNEL, payload: str = "") -> None:
    """Notifies everybody who listens to the channel."""
    await conn.execute(query("notify"), {"channel": channel, "payload": payload})


@dataclass(frozen=True, slots=True)
class Database:
    """Where the database is and how to behave on it."""

    dsn: str
    schema: str = "public"
    pool_size: int = 5

    async def configure(self, conn: Conn, *, role: bool = True) -> None:
        """Sets what every session of ours needs; called once for each new connection."""
        set_json_loads(_json_loads, conn)
        autocommit = conn.autocommit
        await conn.set_autocommit(True)
        await conn.execute(
            query("configure_session"),
            {"search_path": f'"{self.schema}", pg_temp', "timeout": f"{STATEMENT_TIMEOUT_S}s"},
        )
        if role:
            cursor = await conn.execute(query("may_become_app"))
            if (await cursor.fetchone() or (False,))[0]:
                # PostgreSQL 16 can make somebody a member who may not become the role; the guard level then says so
                with suppress(psycopg.errors.InsufficientPrivilege):
                    await conn.execute("SET ROLE eventrouter_app")
        await conn.set_autocommit(autocommit)

    def pool(self, application: str, *, size: int | None = None, waiting: int = 0) -> Pool:
        """A pool that is not open yet. `waiting`: how many requests may queue for a connection (0: any number)."""
        return AsyncConnectionPool(
            conninfo(self.dsn, application),
            min_size=1,
            max_size=size or self.pool_size,
            max_waiting=waiting,
            timeout=5.0,
            reconnect_timeout=2.0,
            max_idle=60.0,
            configure=self.configure,
            check=AsyncConnectionPool.check_connection,
            open=False,
            name=application,
        )

    async def connect(self, application: str, *, dsn: str | None = None) -> Conn:
        """A connection of its own, in autocommit. Raises StoreUnavailable."""
        async with translated("connect"):
            conn = await psycopg.AsyncConnection.connect(conninfo(dsn or self.dsn, application), autocommit=True)
            try:
                await self.configure(conn)
            except BaseException:
                await conn.close()
                raise
            return conn


async def identity(conn: Conn) -> str:
    """Which cluster and database this is, as SYSTEM.OID: the same after a failover, another one after a dump and restore."""
    row = await (await conn.execute(query("database_identity"))).fetchone()
    return str(row[0]) if row else ""


async def guard_level(conn: Conn) -> GuardLevel:
    """How far this session is held back by the database."""
    row = await (await conn.execute(query("guard_level"))).fetchone()
    level: GuardLevel = row[0] if row else "triggers"
    return level


async def missing_migrations(conn: Conn) -> list[str]:
    """What `eventrouter migrate` would do here; empty when the database is up to date."""
    try:
        cursor = await conn.execute(query("applied_migrations"))
    except psycopg.errors.UndefinedTable:
        return pending({})
    return pending(dict(await cursor.fetchall()))
