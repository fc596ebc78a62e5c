"""The database that the configuration means: opened, migrated, described. Embedded when no DSN is given."""

from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from eventrouter.config import DatabaseConfig
from eventrouter.errors import ConfigError, EventrouterError, NoDatabase, StoreUnavailable, one_line
from eventrouter.store.connect import Database, conninfo
from eventrouter.store.embedded import EmbeddedServer, open_server
from eventrouter.store.embedded_home import default_home, has_database
from eventrouter.store.files import query
from eventrouter.store.migrate import MigrationReport, migrate

_SETTINGS = {"jit": "off", "max_connections": "100", "autovacuum_naptime": "15s", "log_min_messages": "warning"}


@dataclass(slots=True)
class OpenedDatabase:
    """A database that is there and has this version's schema. `server` is the embedded one, or None."""

    database: Database
    admin_dsn: str
    listen_dsn: str | None
    server: EmbeddedServer | None
    migration: MigrationReport | None

    def describe(self) -> str:
        """Where the data is, without secrets."""
        if self.server is not None:
            return f"embedded PostgreSQL in {self.server.home}"
        known = conninfo_to_dict(self.database.dsn)
        return f"PostgreSQL at {known.get('host', 'the local socket')}, database {known.get('dbname', known.get('user', '?'))}"

    def close(self) -> None:
        """Lets go of the database; the embedded server stops when nobody else uses it. Blocking."""
        if self.server is not None:
            self.server.close()


def open_database(config: DatabaseConfig, *, migrating: bool = True, creating: bool = True) -> OpenedDatabase:
    """Opens the configured database and brings it to this version's schema. Blocking.

    With `migrating` False a server that is not ours is left as it is; the embedded one is always brought up to date. With
    `creating` False an embedded one must be there: whoever only looks must not make an empty database out of a typing error.

    Raises StoreUnavailable when it cannot be reached, NoDatabase, MigrationError, EmbeddedServerError.
    """
    if config.dsn is None:
        home = (config.data_dir or default_home()).expanduser().absolute()
        if not creating and not has_database(home):
            raise NoDatabase(
                f"There is no database in {home}. Start it with: eventrouter run; or set [database] data_dir to where it is."
            )
        server = open_server(config.data_dir, settings=_SETTINGS)
        try:
            report: MigrationReport | None = migrate(server.admin_dsn, schema=config.schema_name)
        except BaseException:
            server.close()
            raise
        database = Database(server.app_dsn, config.schema_name, config.pool_size)
        return OpenedDatabase(database, server.admin_dsn, None, server, report)
    for key in ("dsn", "admin_dsn", "listen_dsn"):
        _check_dsn(key, getattr(config, key))
    dsn = config.dsn.get_secret_value()
    admin_dsn = config.admin_dsn.get_secret_value() if config.admin_dsn else dsn
    report = migrate(admin_dsn, schema=config.schema_name) if migrating else None
    listen_dsn = config.listen_dsn.get_secret_value() if config.listen_dsn else None
    return OpenedDatabase(Database(dsn, config.schema_name, config.pool_size), admin_dsn, listen_dsn, None, report)


def open_emptied(config: DatabaseConfig, holder: str) -> OpenedDatabase:
    """Opens the embedded database with nothing in it, whatever it held before. Blocking.

    For a database whose data nobody misses. Raises EventrouterError while a service runs on it, and what `open_database` raises.
    """
    if config.dsn is not None:
        raise ConfigError("Only an embedded database is ever emptied.")
    server = open_server(config.data_dir, settings=_SETTINGS)
    try:
        database = Database(server.app_dsn, config.schema_name, config.pool_size)
        opened = OpenedDatabase(database, server.admin_dsn, None, server, None)
        lock = RunLock(opened, holder)
        try:
            # before anything looks at it: another version's tables are in nobody's way either
            with psycopg.connect(opened.admin_dsn, autocommit=True) as conn:
                conn.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(config.schema_name)))
            opened.migration = migrate(opened.admin_dsn, schema=config.schema_name)
        finally:
            lock.close()
    except BaseException:
        server.close()
        raise
    return opened


def _check_dsn(key: str, dsn: SecretStr | None) -> None:
    try:
        conninfo_to_dict(dsn.get_secret_value() if dsn else "")
    except psycopg.ProgrammingError:  # its words hold the part that is wrong, which may be the password
        raise ConfigError(
            f"database.{key}: cannot be read as a connection string. In a URL, write special characters of the password "
            'percent-encoded (@ as %40); in "key=value" form, put values with spaces in single quotes.'
        ) from None


class RunLock:
    """Held by one `run` on an embedded database for as long as it lives; the database frees it when the process dies."""

    def __init__(self, opened: OpenedDatabase, holder: str) -> None:
        self._opened = opened
        self._holder = holder
        try:
            self._conn = psycopg.connect(conninfo(opened.database.dsn, holder), autocommit=True)
        except psycopg.OperationalError as error:
            raise StoreUnavailable(f"run lock: {one_line(error)}") from error
        row = self._conn.execute(query("take_run_lock")).fetchone()
        if row is None or not row[0]:
            other = self._conn.execute(query("run_lock_holder")).fetchone()
            self._conn.close()
            who = other[0].removeprefix("eventrouter-") if other else "another process"
            home = opened.server.home if opened.server else default_home()
            raise EventrouterError(
                f"eventrouter is running on {home} already ({who}). Stop it first, or give this one a data directory of its own "
                "([database] data_dir) and other ports. To share the work, start `eventrouter router` beside it."
            )

    def renewed(self) -> "RunLock":
        """The lock, taken again after the server was started again."""
        self._conn.close()
        return RunLock(self._opened, self._holder)

    def close(self) -> None:
        """Frees the lock."""
        self._conn.close()
