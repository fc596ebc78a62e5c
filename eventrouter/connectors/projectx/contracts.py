"""Which contract a symbol means: by its name and the broker's flag of the current one; the id is never built from a name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from eventrouter.domain.broker import Contract
from eventrouter.domain.symbols import bare_symbol

_ID = re.compile(r"CON\.[A-Z0-9.]+")
_MONTHS = "FGHJKMNQUVXZ"
_ONE_MONTH = re.compile(rf"([A-Z0-9]{{1,4}}?)([{_MONTHS}])(20[0-9]{{2}}|[0-9]{{1,2}})")
_BY_NUMBER = re.compile(r"([A-Z0-9]{1,4}) ([0-9]{2})-([0-9]{2})")
_CURRENT = re.compile(r"([A-Z0-9]{1,4})1!")
_ROOT = re.compile(r"[A-Z0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to search for: an id, or a root with a month, or a root's current contract. `year` is as many digits as were given."""

    id: str | None = None
    root: str = ""
    month: str | None = None
    year: str = ""

    @property
    def text(self) -> str:
        """What to type into the broker's search."""
        return f"{self.root}{self.month}{self.year[-1:]}" if self.month else self.root


def wanted(symbol: str) -> Wanted | None:
    """What a symbol as alerts write it asks for; None when it can be no futures contract."""
    name = bare_symbol(symbol)
    if _ID.fullmatch(name):
        return Wanted(id=name)
    if found := _BY_NUMBER.fullmatch(name):
        number = int(found[2])
        return Wanted(root=found[1], month=_MONTHS[number - 1], year=found[3]) if 1 <= number <= 12 else None
    if found := _ONE_MONTH.fullmatch(name):
        return Wanted(root=found[1], month=found[2], year=found[3])
    if found := _CURRENT.fullmatch(name):
        return Wanted(root=found[1])
    return Wanted(root=name) if _ROOT.fullmatch(name) else None


def choose(listed: Sequence[Contract], want: Wanted) -> Contract | None:
    """The one that is wanted, or None when none or several fit."""
    fitting = {contract.id: contract for contract in listed if _fits(contract, want)}
    return next(iter(fitting.values())) if len(fitting) == 1 else None


def _fits(contract: Contract, want: Wanted) -> bool:
    if want.id is not None:
        return contract.id == want.id
    found = _ONE_MONTH.fullmatch(contract.name.upper())
    if found is None or found[1] != want.root:
        return False
    if want.month is None:
        return contract.active
    if found[2] != want.month or found[3][-1] != want.year[-1]:
        return False
    # a name has one digit of the year; the id has two, so that a contract ten years off is not taken for it
    dated = re.search(rf"\.[{_MONTHS}]([0-9]{{2}})$", contract.id)
    return dated is None or len(want.year) < 2 or dated[1] == want.year[-2:]
