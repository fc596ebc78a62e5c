"""One login at one broker: the connector once it is open, the accounts that go through it, and what wakes its loops."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import groupby

from eventrouter.connectors import CREDENTIAL_FIELDS, REGISTRY
from eventrouter.connectors.base import ConnectionSettings, Connector
from eventrouter.connectors.unready import Unready
from eventrouter.credentials import CredentialStore
from eventrouter.domain.accounts import Account
from eventrouter.errors import ConfigError, EventrouterError
from eventrouter.logs import get_logger

OPEN_WITHIN_S = 10.0
OPEN_AGAIN_S = 5.0
CLOSE_WITHIN_S = 5.0
LOOK_WITHIN_S = 3.0
SIMULATED = "dryrun"
_log = get_logger("eventrouter.router")

Make = Callable[[], Awaitable[Connector]]
"""Makes the connector. Raises EventrouterError when something is missing for it, saying what to do."""


class Connection:
    """Has a connector at any time: until the real one is open, one that answers that nothing was sent, and why.

    `mode` is that of its accounts' tasks, dry or live. `wake` is set when there may be work to claim, `unknown` when a task's outcome may have to be looked up; `on_reduced` is
    called with an account of which the outcome of a reduction is recorded. A connector is
    never used before `ready`; loops that need the broker wait for that.
    """

    def __init__(self, name: str, accounts: Sequence[Account], make: Make) -> None:
        self.name = name
        self.accounts = tuple(accounts)
        self.account_names = [account.name for account in accounts]
        self.mode = "dry" if name == SIMULATED else "live"
        self.connector: Connector = Unready("It is not open yet.")
        self.fault: str | None = None
        self.fault_code: str | None = None
        self.ready = asyncio.Event()
        self.wake = asyncio.Event()
        self.unknown = asyncio.Event()
        self.on_reduced: Callable[[str], None] = lambda account: None
        self._tried = asyncio.Event()
        self._looked = asyncio.Event()
        self._watched = asyncio.Event()
        self._make = make

    async def tried(self) -> None:
        """Returns once the connector is open, or once it is known why it is not."""
        await self._tried.wait()

    async def looked(self) -> None:
        """Returns once the broker was asked how the accounts stand, at the latest after LOOK_WITHIN_S.

        Before that an account without books would deny its first entries for limits that nobody can check, and could not say why.
        """
        if self.mode == "live":
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_WITHIN_S):
                    await self._watched.wait()
                    if self.ready.is_set():
                        await self._looked.wait()

    def note_look(self) -> None:
        """Every account was looked at, or could not be."""
        self._looked.set()

    def note_watch(self) -> None:
        """It is written down whether the broker can be used."""
        self._watched.set()

    async def open(self) -> None:
        """Makes and opens the connector; tries again until it stands, and says why it does not."""
        while not self.ready.is_set():
            fault = await self._open_once()
            if fault is None:
                self._stands()
                return
            if fault != self.fault:
                _log.error("connection_fault", connection=self.name, accounts=self.account_names, error=fault)
            self.fault, self.connector = fault, Unready(fault)
            self._tried.set()
            await asyncio.sleep(OPEN_AGAIN_S)

    async def close(self) -> None:
        """Closes the connector; one that hangs is left alone."""
        await self._close(self.connector)

    def _stands(self) -> None:
        if self.fault is not None:
            _log.info("connection_repaired", connection=self.name, accounts=self.account_names)
        self.fault = None
        self.ready.set()
        self._tried.set()
        self.wake.set()
        self.unknown.set()

    async def _open_once(self) -> str | None:
        """Why the connector cannot be used; None once it can."""
        connector: Connector = Unready("")
        self.fault_code = None
        try:
            async with asyncio.timeout(OPEN_WITHIN_S):
                connector = await self._make()
                await connector.open()
            self.connector = connector
        except EventrouterError as error:
            self.fault_code = getattr(error, "code", None)
            return str(error)
        except TimeoutError:
            return f"The connector did not open within {OPEN_WITHIN_S:g} s."
        except Exception as error:
            return f"The connector cannot be opened: {type(error).__name__}: {error}"
        finally:
            if self.connector is not connector:
                await self._close(connector)
        return None

    async def _close(self, connector: Connector) -> None:
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await connector.close()
        except Exception as error:
            _log.warning("connection_not_closed", connection=self.name, error=f"{type(error).__name__}: {error}")


def connections_of(
    accounts: Sequence[Account], credentials: CredentialStore | None, *, dry_run: bool
) -> tuple[Connection, ...]:
    """One connection for each login; an account in dry mode reaches no broker, whatever its connector. Raises ConfigError."""

    def name_of(account: Account) -> str:
        return account.connection if account.mode(dry_run=dry_run) == "live" else SIMULATED

    for account in accounts:
        if account.connector not in REGISTRY and name_of(account) != SIMULATED:
            raise ConfigError(f"Account {account.name}: there is no connector {account.connector!r}.")
    connections = []
    for name, group in groupby(sorted(accounts, key=name_of), key=name_of):
        members = list(group)
        connector = SIMULATED if name == SIMULATED else members[0].connector
        connections.append(Connection(name, members, _maker(name, connector, members, credentials)))
    return tuple(connections)


def _maker(name: str, connector: str, accounts: Sequence[Account], credentials: CredentialStore | None) -> Make:
    login = accounts[0].login or accounts[0].name
    # the account that the login belongs to says where its broker is
    first = next((account for account in accounts if account.name == login), accounts[0])

    async def make() -> Connector:
        fields = CREDENTIAL_FIELDS.get(connector, ())
        if fields and credentials is None:
            raise ConfigError(f"Account {login}: this router was given no credentials.")
        secret = {}
        if fields and credentials is not None:
            secret = await asyncio.to_thread(credentials.get, login, connector, [field.name for field in fields])
        return REGISTRY[connector](
            ConnectionSettings(
                name,
                {account.name: account.broker_account or account.name for account in accounts},
                secret,
                first.url,
                first.hub_url,
            )
        )

    return make
