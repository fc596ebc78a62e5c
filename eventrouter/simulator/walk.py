"""Prices that walk at random: the same seed gives every contract the same path, whatever else happens."""

import random
from collections.abc import Callable, Iterable
from decimal import Decimal

from eventrouter.simulator.contracts import Contract

_MOST_TICKS = 4


class Walk:
    """Each contract has a stream of its own, so that asking for one more changes no other."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._draws: dict[str, random.Random] = {}

    def step(
        self, contracts: Iterable[Contract], price: Callable[[Contract], Decimal]
    ) -> list[tuple[Contract, Decimal]]:
        """The next price of each: up to four ticks up or down, and never below one tick."""
        return [(each, max(each.tick_size, price(each) + self._ticks(each) * each.tick_size)) for each in contracts]

    def _ticks(self, contract: Contract) -> int:
        draw = self._draws.setdefault(contract.id, random.Random(f"{self._seed}:{contract.id}"))  # noqa: S311 - prices, no secrets
        return draw.randint(-_MOST_TICKS, _MOST_TICKS)
