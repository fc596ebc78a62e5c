"""What `eventrouter demo` plays with: a broker of its own in this process, four accounts there, and one of the dry run."""

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eventrouter.app import Service
from eventrouter.config import AlertsConfig, Config, load_config
from eventrouter.credentials import KEY_VARIABLE, CredentialStore
from eventrouter.simulator import Settings, Simulator
from eventrouter.store.embedded_home import default_home
from eventrouter.store.opened import open_emptied

STRATEGY, MEASURED = "demo", "demo-latency"
PRICE = Decimal(24_000)
_ACCOUNTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("fixed-two", {"sizing": {"by": "fixed", "value": 2}}),
    ("three-times", {"sizing": {"by": "multiplier", "value": 3}}),
    ("risks-500", {"sizing": {"by": "risk_amount", "value": 500}}),
    ("risks-10", {"sizing": {"by": "risk_amount", "value": 10}}),
)
_PAPER = "dry-run"


class Desk:
    """The simulated broker's own side: its prices, and what its accounts hold."""

    def __init__(self, broker: Simulator) -> None:
        self._broker = broker.broker

    def price(self, price: Decimal) -> None:
        """The price of the micro Nasdaq future from now on."""
        self._broker.post(self._contract(), price)

    def held(self) -> list[tuple[str, int, Decimal]]:
        """Account, contracts of MNQ (negative: short) and balance in dollars, as the broker has them."""
        engine = self._broker.engine
        return [
            (name, engine.net(account.id, self._contract().id), account.balance)
            for (name, _), account in zip(_ACCOUNTS, engine.accounts.values(), strict=True)
        ]

    def _contract(self) -> Any:
        return next(each for each in self._broker.listing().active() if each.root == "MNQ")


@asynccontextmanager
async def desk(config: Path | None) -> AsyncIterator[tuple[Service, Desk]]:
    """A service whose only way out is a broker simulated in this process. It has keys and an empty database of its own."""
    settings = Settings(accounts=len(_ACCOUNTS), requests_per_minute=0, api_key=secrets.token_hex(8))
    with TemporaryDirectory(prefix="eventrouter-demo-") as directory:
        keys = _keys(Path(directory) / "credentials", settings)
        async with Simulator(settings) as broker:
            loaded = load_config(config, overrides=_sections(broker.url))
            home = loaded.database.data_dir or default_home()
            own = {"dsn": None, "admin_dsn": None, "listen_dsn": None, "data_dir": home.with_name(f"{home.name}-demo")}
            apart = _apart(loaded, own)
            # a new broker counts its orders and fills from one again: what an earlier demo has stored is not its past
            opened = await asyncio.to_thread(open_emptied, apart.database, f"demo-{os.getpid()}")
            try:
                yield Service(apart, exclusive=True, name=f"demo-{os.getpid()}", credentials=keys), Desk(broker)
            finally:
                await asyncio.to_thread(opened.close)


def _keys(directory: Path, broker: Settings) -> CredentialStore:
    """The login of the simulated broker, under a master key that only this process has."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    keys = CredentialStore(directory, environ={KEY_VARIABLE: key})
    login = {"user_name": broker.user, "api_key": broker.api_key}
    keys.put(_ACCOUNTS[0][0], "projectx", login, now=datetime.now(UTC))
    return keys


def _apart(loaded: Config, database: dict[str, Any]) -> Config:
    return loaded.model_copy(
        update={
            "database": loaded.database.model_copy(update=database),
            "server": loaded.server.model_copy(update={"spool": False}),
            "alerts": AlertsConfig(),  # what it shows is nobody's business
        }
    )


def _sections(url: str) -> dict[str, Any]:
    """Accounts, strategies and routes of the demo's own: nothing of the user's can be reached by it."""
    simulated = [
        {
            "name": name,
            "connector": "projectx",
            "broker_account": f"SIM-{number:03}",
            **({"login": _ACCOUNTS[0][0]} if number > 1 else {"url": url, "hub_url": f"{url}/hubs/user"}),
            "live": True,
            "automation": "allowed",
            **keys,
        }
        for number, (name, keys) in enumerate(_ACCOUNTS, 1)
    ]
    return {
        "router": {"dry_run": False, "accounts": []},
        "accounts": [*simulated, {"name": _PAPER}],
        "groups": [],
        "strategies": [{"name": STRATEGY}, {"name": MEASURED}],
        "routes": [
            {"name": STRATEGY, "strategy": STRATEGY, "accounts": [name for name, _ in _ACCOUNTS]},
            {"name": MEASURED, "strategy": MEASURED, "accounts": [_PAPER]},
        ],
    }
