"""Notices strategies that are not heard of any more: TradingView stops an alert for good without telling anybody."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from eventrouter.errors import StoreError
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.store.connect import Pool
from eventrouter.store.signals import last_heard

_log = get_logger("eventrouter.silence")
_LOOK_SHORTEST_S = 0.5
_LOOK_LONGEST_S = 60.0


Tell = Callable[[str, datetime | None, bool], None]
"""Told of a strategy, when it was last heard of (None: never), and whether it is missing now or back."""


async def watch_silence(
    pool: Pool, expected: Mapping[str, float], metrics: Metrics, tell: Tell = lambda *_: None
) -> None:
    """Warns once for each strategy that was silent for longer than expected (seconds), and once more when it is back.

    A strategy that was never heard of counts from now on. Runs until cancelled.
    """
    began = datetime.now(UTC)
    silent: set[str] = set()
    pause_s = min(_LOOK_LONGEST_S, max(_LOOK_SHORTEST_S, min(expected.values()) / 4))
    while True:
        try:
            heard = await last_heard(pool, list(expected))
        except StoreError:
            heard = {}  # nothing can be heard of anybody while Postgres is away
        for strategy, last in heard.items():
            quiet_s = (datetime.now(UTC) - (last or began)).total_seconds()
            _tell(strategy, last, quiet_s, expected[strategy], silent, metrics, tell)
        await asyncio.sleep(pause_s)


def _tell(
    strategy: str,
    last: datetime | None,
    quiet_s: float,
    expected_s: float,
    silent: set[str],
    metrics: Metrics,
    tell: Tell,
) -> None:
    missing = quiet_s > expected_s
    metrics.strategy_silent.labels(strategy).set(missing)
    if missing and strategy not in silent:
        silent.add(strategy)
        last_text = last.isoformat() if last else "never"
        _log.warning("strategy_silent", strategy=strategy, last_alert=last_text, expected_every_s=expected_s)
        tell(strategy, last, missing)
    elif not missing and strategy in silent:
        silent.discard(strategy)
        _log.warning("strategy_heard_again", strategy=strategy)
        tell(strategy, last, missing)
