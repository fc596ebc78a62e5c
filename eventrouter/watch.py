"""Watches whether the broker of one connection can be used, and says so to whoever looks: in memory, and in connection_states.

Opening a connector sends nothing, so a wrong key, an account that the login lacks and a dead broker show only when it is asked.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from eventrouter.connection import Connection
from eventrouter.domain.links import OPEN, OPENING, Link, LinkState, down, link_of_error, links_of
from eventrouter.logs import get_logger
from eventrouter.store.connect import Pool, session
from eventrouter.store.connections import note_connections

ASKED_WITHIN_S = 10.0
_log = get_logger("eventrouter.router")


class Watch:
    """Asks the broker for its accounts every `every_s` seconds, and every `again_s` while something is down."""

    def __init__(
        self, pool: Pool, connection: Connection, *, name: str, every_s: float = 15.0, again_s: float = 5.0
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._name = name
        self._every_s = every_s
        self._again_s = again_s
        self._links: dict[str, Link] = dict.fromkeys(connection.account_names, OPENING)

    @property
    def links(self) -> Mapping[str, Link]:
        """Account → how its broker stands."""
        return dict(self._links)

    async def run(self) -> None:
        """Runs until cancelled; raises StoreError when Postgres is away."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_s if all(each.is_open for each in self._links.values()) else self._again_s)

    async def look(self) -> None:
        """One question to the broker, and what it comes to written down. Raises StoreError."""
        await self._connection.tried()
        self._note(await self._asked())
        async with session(self._pool, "watch") as conn:
            await note_connections(conn, self._name, self._connection.name, self._connection.mode, self._links)
        self._connection.note_watch()

    async def _asked(self) -> dict[str, Link]:
        connection = self._connection
        if not connection.ready.is_set():
            code, said = connection.fault_code or "CANNOT_OPEN", connection.fault or "It cannot be opened."
            fault = down(code, said.removeprefix(f"{code}: "))
            return dict.fromkeys(connection.account_names, fault)
        if connection.mode != "live":
            return dict.fromkeys(connection.account_names, OPEN)
        try:
            async with asyncio.timeout(ASKED_WITHIN_S):
                shown = await connection.connector.accounts()
        except TimeoutError:
            fault = down("BROKER_UNREACHABLE", f"The broker did not answer within {ASKED_WITHIN_S:g} s.")
            return dict.fromkeys(connection.account_names, fault)
        except Exception as error:  # whatever a connector does, its accounts are down and somebody must be told
            return dict.fromkeys(connection.account_names, link_of_error(error))
        names = {account.name: account.broker_account or account.name for account in connection.accounts}
        return links_of(names, shown)

    def _note(self, found: Mapping[str, Link]) -> None:
        now = datetime.now(UTC)
        for name, link in found.items():
            before = self._links[name]
            same = link.same(before) and before.since is not None
            self._links[name] = replace(link, since=before.since if same else now)
            if same:
                continue
            if not link.is_open:
                _log.error(
                    "account_down", account=name, connection=self._connection.name, code=link.code, why=link.message
                )
            elif before.state is LinkState.DOWN:
                _log.info("account_up", account=name, connection=self._connection.name)


def told(links: Mapping[str, Link]) -> dict[str, Any]:
    """A connection as /readyz shows it: {state, accounts: {name: {state, code, message, since}}}.

    `state`: open, partly (some of its accounts are open), down, or opening.
    """
    states = {link.state for link in links.values()}
    if states == {LinkState.OPEN}:
        state = "open"
    elif LinkState.OPEN in states:
        state = "partly"
    else:
        state = "down" if LinkState.DOWN in states else "opening"
    accounts = {
        name: {"state": str(link.state), "code": link.code, "message": link.message, "since": link.since}
        for name, link in links.items()
    }
    return {"state": state, "accounts": accounts}


def faults_of(connections: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
    """What is wrong with each connection, and with a single account of one that works for others: subject → sentence, or None.

    `connections`: name → what `told` made. While nothing of a connection works, nothing is said of its single accounts: they are
    neither up nor told twice.
    """
    faults: dict[str, str | None] = {}
    for name, standing in connections.items():
        why = {
            account: f"{link['code']}: {link['message']}" if link["state"] == LinkState.DOWN else None
            for account, link in standing["accounts"].items()
        }
        if standing["state"] in {"open", "partly"}:
            faults[name] = None
            if len(why) > 1:
                faults |= {f"{name} for {account}": fault for account, fault in why.items()}
        else:
            faults[name] = _all_of(why)
    return faults


def _all_of(faults: Mapping[str, str | None]) -> str | None:
    accounts: dict[str, list[str]] = {}
    for name, fault in faults.items():
        if fault is not None:
            accounts.setdefault(fault, []).append(name)
    if len(accounts) == 1:
        return next(iter(accounts))
    return " ".join(f"{', '.join(names)}: {fault}" for fault, names in accounts.items()) or None
