"""A small scene with something of everything: accounts that stand in every way, signals that came to every end, work for a person."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eventrouter.connectors.projectx.budget import Budget
from eventrouter.store import access
from eventrouter.store.connect import Database
from eventrouter.web.logins import hashed
from tests.live.keys import MASTER_KEY, MASTER_KEY_NAME, store_keys
from tests.live.market import FIRST, market
from tests.live.pace import BUDGET, LOOK_AGAIN, LOOK_AGAIN_S, MOST_REQUESTS
from tests.live.rig import Rig, configured, rig
from tests.live.settings_text import account, text
from tests.processes import until_async

OPERATOR, PASSWORD = "ann", "a horse that reads"
_TOPSTEP = {"firm": "Topstep", "balance": 50_000, "drawdown": {"trail": "end_of_day", "amount": 2_000}}
ACCOUNTS: Mapping[str, Mapping[str, Any]] = {
    "combine": {**_TOPSTEP, "daily_loss": 1_000, "max_contracts": 8, "sizing": {"by": "fixed", "value": 2}},
    "eval-50k": {**_TOPSTEP, "daily_loss": 300, "max_contracts": 3, "instruments": ["MES"]},
    "careful": {**_TOPSTEP, "daily_loss": 1_000, "max_contracts": 1},
    "resting": {**_TOPSTEP, "daily_loss": 1_000},
    "adrift": {"daily_loss": 800, "balance": 25_000},
    "asks-first": {**_TOPSTEP, "automation": "approve_each", "approve_within": 3_600.0, "max_contracts": 2},
    "slices": {"max_contracts": 10, "instruments": ["MGC", "MCL"]},
}
"""At one broker that answers. Besides: elsewhere, whose broker is down, and paper, which only simulates."""
_AWAY = {"firm": "Apex", "balance": 100_000, "daily_loss": 2_500, "max_contracts": 10}
_ROUTES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("orb", ("combine", "careful", "resting", "adrift", "asks-first", "elsewhere", "paper")),
    ("fade", ("eval-50k",)),
    ("gold", ("slices",)),
    ("notes", ("combine", "paper")),
)
_NOTES_LAST_S = 4.0  # a lost order of theirs is looked up, and sent again, for so long; then it is somebody's to review


@dataclass
class Scene:
    """The service with its scene. `tasks`: a task's id by what is special about it; `signals` likewise."""

    rig: Rig
    tasks: dict[str, int] = field(default_factory=dict)
    signals: dict[str, int] = field(default_factory=dict)

    def keep(self, word: str, answer: Mapping[str, Any], task: int | None = None) -> None:
        """Remembers an alert's signal, and one of its tasks."""
        self.signals[word] = answer["signal_id"]
        if task is not None:
            self.tasks[word] = task

    def pages(self) -> Mapping[str, str]:
        """A name for a file → the address, of every page that shows something of the scene."""
        return {
            "now": "/",
            "signals": "/signals",
            "signals-filtered": "/signals?strategy=orb&status=DENIED",
            "signal": f"/signals/{self.signals['entry']}",
            "signal-refused": f"/signals/{self.signals['refused']}",
            "task": f"/tasks/{self.tasks['entry']}",
            "task-partial": f"/tasks/{self.tasks['partial']}",
            "task-review": f"/tasks/{self.tasks['review']}",
            "task-held": f"/tasks/{self.tasks['held']}",
            "dead": "/dead",
            "letter": f"/dead/{self.tasks['review']}",
            "approvals": "/approvals",
            "explain": "/explain",
            "controls": "/controls",
            "control": "/controls/2",
            "control-preview": "/controls/set?action=flatten&scope=all",
            "nothing": "/signals/999999",
        }


@asynccontextmanager
async def scene(dsn: str, directory: Path) -> AsyncIterator[Scene]:
    """A service in this empty, migrated database, its brokers in this process, with the whole scene played."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, MASTER_KEY_NAME, MASTER_KEY)
        patch.setattr(LOOK_AGAIN, LOOK_AGAIN_S)
        patch.setattr(BUDGET, partial(Budget, most=MOST_REQUESTS))
        async with market(accounts=len(ACCOUNTS), unique_tags=False) as near, market(accounts=1) as far:
            numbers = {name: FIRST + place for place, name in enumerate(ACCOUNTS)}
            tables = [account(name, numbers[name], near.url, "combine", **keys) for name, keys in ACCOUNTS.items()]
            tables += [account("elsewhere", FIRST, far.url, "elsewhere", **_AWAY), {"name": "paper"}]
            routes = [{"name": name, "strategy": name, "accounts": names} for name, names in _ROUTES]
            strategies = [{"name": "notes", "max_age": _NOTES_LAST_S}]
            written = text(dsn, tables, directory / "credentials", routes=routes, strategies=strategies)
            store_keys(directory / "credentials", ["combine", "elsewhere"])
            config = configured(directory / "config.toml", written)
            async with rig(config, dsn, near, numbers, {"elsewhere": far}) as opened:
                played = Scene(opened)
                for act in (_trades, _ends, _person, _standings):
                    await act(played)
                yield played


async def sign_in_is_needed(dsn: str) -> None:
    """From now on a page needs a login: of ann, who may operate."""
    async with await Database(dsn).connect("test") as conn:
        await access.add_user(conn, OPERATOR, hashed(PASSWORD), "operate")


async def _trades(scene: Scene) -> None:
    """Positions with a profit and a loss, a trade that is over, and one of three contracts filled."""
    rig, fade, gold = scene.rig, await scene.rig.as_strategy("fade"), await scene.rig.as_strategy("gold")
    for root, price in (("MES", 6900), ("MGC", 4000), ("MCL", 60), ("ZN", 113)):
        await rig.market.price(root, price)
    notes = await rig.as_strategy("notes")
    await notes.done(await notes.entry("N-1", 1, "short", symbol="ZN1!", price=113))
    await notes.done(await notes.exit("N-1"))
    long = await fade.entry("F-7", 2, symbol="MES1!", price=6900, stop_loss=6860)
    await fade.done(long)
    await rig.market.arm("partial", contracts=1, account=rig.numbers["slices"])
    sliced = await gold.entry("G-3", 3, symbol="MGC1!", price=4000, stop_loss=3980)
    scene.keep("partial", sliced.answer, sliced.task("slices"))
    await gold.reached(sliced.task("slices"), "ACCEPTED")
    limit = await gold.entry("G-4", 1, symbol="MCL1!", price=60, order_type="limit", limit_price=55)
    await gold.reached(limit.task("slices"), "ACCEPTED")


async def _ends(scene: Scene) -> None:
    """One entry on all accounts, a refused alert, a repeat, one that nobody trades, one too old; an order that is lost, one refused."""
    rig, site = scene.rig, scene.rig.site
    entry = await rig.entry(
        "ORB-20261123-1", 1, price=24000, stop_loss=23960, take_profit=24100, comment="opening range"
    )
    scene.keep("entry", entry.answer, entry.task("combine"))
    scene.tasks["held"] = entry.task("asks-first")
    for name in ("combine", "careful", "resting", "adrift", "paper"):
        await rig.ended(entry.task(name))
    _, refused = await site.alert(rig.token, b'{"action": "buy", "symbol": "MNQ1!", "quantity": "lots"}')
    _, nonsense = await site.alert(rig.token, b"ORB long MNQ please")
    scene.signals["refused"] = (await rig.rows("SELECT max(id) AS id FROM automated_signals"))[0]["id"] - 1
    assert refused["code"]
    assert nonsense["code"]
    again = {"trade_id": "ORB-20261123-2", "action": "buy", "side": "long", "quantity": 1, "symbol": "MNQ1!"}
    for _ in range(2):
        _, answer = await site.alert(rig.token, again)
    scene.keep("repeat", answer)
    old = await rig.entry("ORB-20261123-3", 1, timestamp="2026-01-02T14:30:00Z")
    scene.keep("expired", old.answer)
    _, nobody = await site.alert(await site.token("unrouted"), {**again, "trade_id": "U-1"})
    scene.keep("no order", nobody)
    # the other broker goes away, which is believed after some seconds
    await rig.others["elsewhere"].arm("http", endpoint="*", when="before", status=503, times=100_000)
    await rig.others["elsewhere"].client.control("hub", {"drop": True})
    notes = await rig.as_strategy("notes")
    await rig.market.arm("drop", when="before", account=rig.numbers["combine"], times=1_000)
    lost = await notes.entry("N-2", 1, symbol="ZN1!", price=113)
    scene.keep("review", lost.answer, lost.task("combine"))
    await notes.reached(lost.task("combine"), "REVIEW")
    await rig.market.disarm()
    await rig.market.arm(
        "refuse", code=2, message="Account has violated a trading rule.", account=rig.numbers["slices"]
    )
    gold = await rig.as_strategy("gold")
    failed = await gold.entry("G-5", 1, symbol="MCL1!", price=60)
    scene.keep("failed", failed.answer, failed.task("slices"))
    await gold.reached(failed.task("slices"), "FAILED")


async def _person(scene: Scene) -> None:
    """Somebody refuses an entry that waits for approval; a second one waits."""
    rig = scene.rig
    rows = await rig.rows("SELECT id FROM execution_tasks WHERE account = 'asks-first' AND status = 'HELD' ORDER BY id")
    status, _ = await rig.site.act(f"/api/tasks/{rows[-1]['id']}/refuse", {"reason": "too close to the news"})
    assert status == 200


async def _standings(scene: Scene) -> None:
    """Prices move; then accounts are reduced and halted, and one holds nothing of what it bought."""
    rig = scene.rig
    await rig.market.price("MNQ", 24041)
    await rig.market.price("MES", 6874)
    for path, body in (
        ("halt", {"scope": "account:careful", "reduce": True, "reason": "one more loss and it is over"}),
        ("halt", {"scope": "account:resting", "reason": "done for the day"}),
    ):
        assert (await rig.site.act(f"/api/{path}", body))[0] == 200
    broker = rig.market.simulator
    assert broker is not None
    held = broker.broker.engine.positions
    for key in [key for key in held if key[0] == rig.numbers["adrift"]]:
        del held[key]  # a position that vanishes without a fill
    await rig.market.client.control("hub", {"drop": True})
    for name, state in (("adrift", "out_of_sync"), ("elsewhere", "broker_down")):
        await until_async(partial(_is, rig, name, state), within_s=60, what=f"{name} {state}")


async def _is(rig: Rig, name: str, state: str) -> bool:
    _, answer = await rig.site.get("/api/accounts")
    rows = answer["accounts"] if isinstance(answer, dict) else answer
    return any(row["name"] == name and row["state"] == state for row in rows)
