"""Publishes this process's share of the configuration when a service starts, and says what changed by it."""

import asyncio
import json
from collections.abc import Mapping, Sequence

from eventrouter.config import Config
from eventrouter.config.rules import published_rows
from eventrouter.errors import ConfigError, StoreUnavailable
from eventrouter.logs import get_logger
from eventrouter.store.connect import Conn, Database, translated
from eventrouter.store.settings import Change, publish, stakes

_log = get_logger("eventrouter.settings")
_PAUSE_FIRST_S = 0.2
_PAUSE_LONGEST_S = 5.0
_LONGEST_VALUE = 200
_MOVES = frozenset({"connector", "broker_account", "url", "login"})
"""What makes an account another one, or may."""


async def publish_configuration(
    database: Database, config: Config, actor: str, *, with_web: bool, with_router: bool
) -> list[Change]:
    """Publishes in one commit what this process answers for; returns what differs from before. Waits for Postgres.

    A router answers for the accounts that it claims, and one that claims all of them also for there being no others. The web
    half answers for strategies and routes; accounts it publishes only until somebody else has done so.

    Raises ConfigError, and publishes nothing, when an account is to be another one at its broker while it has something there.
    """
    rows = published_rows(config)
    accounts, claimed = rows["account"], config.router.accounts
    own = {name: body for name, body in accounts.items() if with_router and (not claimed or name in claimed)}
    pause_s = _PAUSE_FIRST_S
    while True:
        try:
            async with translated("publish"):
                conn = await database.connect("publish")
                async with conn, conn.transaction():
                    changes = await publish(conn, actor, "account", own, withdraw_others=with_router and not claimed)
                    left = await _stakes(conn, changes, own)
                    if with_web:
                        changes += await publish(conn, actor, "account", accounts, only_new=True)
                        changes += await publish(conn, actor, "strategy", rows["strategy"], withdraw_others=True)
                        changes += await publish(conn, actor, "routes", rows["routes"], withdraw_others=True)
        except StoreUnavailable as error:
            _log.warning("waiting_for_postgres", error=str(error), retry_in_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(_PAUSE_LONGEST_S, 2 * pause_s)
        else:
            break
    for change in changes:
        _tell(change, actor)
    for account, stake in left.items():
        _log.error(
            "account_left_alone", account=account, stake=stake, hint="No router closes it. Put it back, or close it."
        )
    return changes


async def _stakes(
    conn: Conn, changes: Sequence[Change], accounts: Mapping[str, Mapping[str, object]]
) -> dict[str, str]:
    """What withdrawn accounts have at their brokers, in words. Raises ConfigError for those that move away from something."""
    moved = {
        each.name for each in changes if not each.withdrawn and each.version > 1 and _MOVES & each.difference.keys()
    }
    moved |= {name for name, body in accounts.items() if body.get("login") in moved}  # they go where that one goes
    withdrawn = {each.name for each in changes if each.withdrawn}
    found = await stakes(conn, moved | withdrawn)
    faults = [
        f"Account {name} {found[name]} where it was configured, and is another broker account now. Close that first "
        f"(eventrouter flatten account:{name}), or give the new one another name."
        for name in sorted(moved & found.keys())
    ]
    if faults:
        raise ConfigError("\n".join(faults))
    return {name: found[name] for name in sorted(withdrawn & found.keys())}


def _tell(change: Change, actor: str) -> None:
    """One line for each change. A name that is new has everything before it null, so only what it is called is said."""
    about = {"kind": change.kind, "name": change.name, "version": change.version, "actor": actor}
    if change.withdrawn:
        _log.warning("settings_withdrawn", **about)
    elif change.version == 1:
        _log.info("settings_published", **about)
    else:
        _log.warning("settings_changed", **about, difference=_short(change.difference))


def _short(difference: Mapping[str, object]) -> dict[str, str]:
    """The difference as text, each key cut to a length that a log line can have."""
    return {key: json.dumps(values, default=str)[:_LONGEST_VALUE] for key, values in difference.items()}
