"""One login at one broker: the connector once it is open, the accounts that go through it, and what wakes its loops."""

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import groupby

from eventrouter.connectors import CREDENTIAL_FIELDS, REGISTRY
from eventrouter.connectors.base import ConnectionSettings, Connector
from eventrouter.connectors.measured import Measured
from eventrouter.connectors.unready import Unready
from eventrouter.credentials import CredentialStore
from eventrouter.domain.accounts import Account
from eventrouter.domain.circuit import Allowance, Circuit
from eventrouter.domain.orders import NotSent, Outcome, Rejected, Unknown
from eventrouter.errors import ConfigError, EventrouterError
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics

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
    never used before `ready`; loops that need the broker wait for that. `circuit` holds back what would only fail;
    `look_ups_failed`: task → how often in a row its look-up failed, and when (the loop's time) it is tried again.
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
        self.circuit = Circuit()
        self.look_ups_failed: dict[int, tuple[int, float]] = {}
        self._openings = 0
        self._circuit_id = secrets.token_hex(4)
        self._tried = asyncio.Event()
        self._looked = asyncio.Event()
        self._reconciled = asyncio.Event()
        self._watched = asyncio.Event()
        self._make = make

    async def tried(self) -> None:
        """Returns once the connector is open, or once it is known why it is not."""
        await self._tried.wait()

    async def looked(self) -> None:
        """Returns once the broker was asked how the accounts stand and what became of orders that a router left behind, at the
        latest after LOOK_WITHIN_S.

        Before that an account without books would deny its first entries for limits that nobody can check, and could not say why.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_WITHIN_S):
                if self.mode == "live":
                    await self._watched.wait()
                if self.ready.is_set():
                    await self._reconciled.wait()
                    if self.mode == "live":
                        await self._looked.wait()

    def note_look(self) -> None:
        """Every account was looked at, or could not be."""
        self._looked.set()

    def note_watch(self) -> None:
        """It is written down whether the broker can be used."""
        self._watched.set()

    def note_reconciled(self) -> None:
        """What was left in SENDING or UNKNOWN was looked at, or could not be."""
        self._reconciled.set()

    @property
    def state(self) -> str:
        """ "open", or why nothing can be sent, or that only exits and probes are."""
        if not self.ready.is_set():
            return self.fault or "opening"
        return f"circuit {self.circuit.said}" if self.circuit.is_open else "open"

    @property
    def opening_id(self) -> str | None:
        """Names the circuit's latest opening while it is open, else None."""
        return f"{self._circuit_id}-{self._openings}" if self.circuit.is_open else None

    def allowance(self) -> Allowance:
        """What may be sent now."""
        return self.circuit.allowance(time.monotonic())

    def held_for_s(self, since: float) -> float | None:
        """Seconds until more may be sent than at `since` (of time.monotonic()), zero or less where it may be by now.

        None: nothing was held back, or a probe is out. As of `since`, since what was let go after a claim looked waits for the next one.
        """
        again_s = self.circuit.allowance(since).again_s
        return None if again_s is None else again_s - (time.monotonic() - since)

    def note_sent(self, orders: int) -> None:
        """So many orders are on their way."""
        self.circuit = self.circuit.sent(time.monotonic(), orders)

    def note_outcome(self, outcome: Outcome) -> None:
        """What an order's outcome says about the broker: an answer, no way to reach it, or nothing."""
        match outcome:
            case NotSent(message, None, False) | Rejected(_, message, True):
                self.note_failure(message)
            case NotSent() | Unknown():
                self._turn(self.circuit.unclear(time.monotonic(), _jitter()))
            case _:
                self.note_answer()

    def note_failure(self, why: str, retry_after_s: float | None = None) -> None:
        """The broker could not be reached."""
        self._turn(self.circuit.failed(time.monotonic(), why, _jitter(), retry_after_s))

    def note_answer(self) -> None:
        """The broker answered."""
        self._turn(self.circuit.answered())

    def _turn(self, after: Circuit) -> None:
        before, self.circuit = self.circuit, after
        if after.is_open and not before.is_open:
            self._openings += 1
            _log.warning("circuit_opened", connection=self.name, accounts=self.account_names, error=after.why)
        elif before.is_open and not after.is_open:
            _log.info("circuit_closed", connection=self.name, accounts=self.account_names)
            self.wake.set()

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
        self._turn(Circuit())  # what failed before was the connector that did not stand
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


def _jitter() -> float:
    return random.random()  # noqa: S311 - spreads probes, guards nothing


def connections_of(
    accounts: Sequence[Account], credentials: CredentialStore | None, *, dry_run: bool, metrics: Metrics
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
        connections.append(Connection(name, members, _maker(name, connector, members, credentials, metrics)))
    return tuple(connections)


def _maker(
    name: str, connector: str, accounts: Sequence[Account], credentials: CredentialStore | None, metrics: Metrics
) -> Make:
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
        settings = ConnectionSettings(
            name,
            {account.name: account.broker_account or account.name for account in accounts},
            secret,
            first.url,
            first.hub_url,
        )
        return Measured(connector, REGISTRY[connector](settings), metrics)

    return make
