"""Prepares the decision about entries: facts from Postgres inside the claim, contracts from brokers outside of it.

No broker is awaited while a claim's transaction is open: an entry whose contract is not known yet is left for the next
claim, the broker is asked meanwhile, and its answer wakes the connection.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from eventrouter.connection import Connection
from eventrouter.domain.accounts import Account
from eventrouter.domain.contract_choice import Looked
from eventrouter.domain.gate import Gate, question_of
from eventrouter.ending import ended
from eventrouter.logs import get_logger
from eventrouter.store.facts import account_facts
from eventrouter.store.tasks import Claim

ASKED_WITHIN_S = 10.0
FRESH_S = 600.0  # a broker's active contract changes a few times a year
UNKNOWN_FRESH_S = 60.0
FAULT_FRESH_S = 1.0  # long enough for the entry that waits to be told
MOST_REMEMBERED = 1000
_log = get_logger("eventrouter.router")


class ContractBook:
    """What one connection's broker said of symbols, each for a while. Asks at most once at a time for a symbol."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[Looked, float]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def known(self, symbol: str) -> Looked | None:
        """What the broker said, if that is fresh."""
        looked, until = self._known.get(symbol, (None, 0.0))
        return looked if looked is not None and self._clock() < until else None

    def ask(self, symbol: str, connection: Connection) -> None:
        """Asks in the background, within a limited time, unless it is being asked; an answer wakes the connection."""
        if symbol not in self._asking:
            self._asking[symbol] = asyncio.create_task(self._ask(symbol, connection))

    async def stop(self) -> None:
        """Ends what is being asked."""
        await ended(self._asking.values())

    async def _ask(self, symbol: str, connection: Connection) -> None:
        try:
            async with asyncio.timeout(ASKED_WITHIN_S):
                contract = await connection.connector.contract(symbol)
            looked, fresh_s = Looked(contract), FRESH_S if contract is not None else UNKNOWN_FRESH_S
        except TimeoutError:
            looked, fresh_s = Looked(fault=f"No answer within {ASKED_WITHIN_S:g} s."), FAULT_FRESH_S
        except Exception as error:
            looked, fresh_s = Looked(fault=f"{type(error).__name__}: {str(error)[:300]}"), FAULT_FRESH_S
        finally:
            del self._asking[symbol]
        if looked.fault is not None:
            _log.warning("contract_not_named", symbol=symbol, error=looked.fault)
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[symbol] = (looked, self._clock() + fresh_s)
        connection.wake.set()


class Gatekeeper:
    """Makes a claim's gate. `accounts` are all of this router, as they are configured, also in a dry run."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = {account.name: account for account in accounts}
        self._books: dict[str, ContractBook] = {account.connection: ContractBook() for account in accounts}

    async def gate(self, claim: Claim, mode: str) -> Gate | None:
        """The gate for a claim's entries, all of this mode, their accounts locked; None when there are none."""
        opening = [task for task in claim.due if task.opening]
        if not opening or claim.now is None:
            return None
        facts = await account_facts(claim.conn, question_of(opening, self._accounts), mode)
        return Gate(self._accounts, facts, claim.now, mode == "dry", self._look_up)

    def ask(self, gate: Gate | None, connection: Connection) -> None:
        """Asks the broker for the contracts that a claim's entries wait for; call it when the claim has ended."""
        for account, symbol in sorted(gate.asked) if gate else ():
            self._books[self._accounts[account].connection].ask(symbol, connection)

    async def stop(self) -> None:
        """Ends what is being asked."""
        for book in self._books.values():
            await book.stop()

    def _look_up(self, account: Account, symbol: str) -> Looked | None:
        return self._books[account.connection].known(symbol)
