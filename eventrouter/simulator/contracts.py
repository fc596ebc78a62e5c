"""The futures that this broker lists: ticks, months and names as the gateway gives them, and which month is active.

Assumed: every future ends on the third Friday of its delivery month, energies one month earlier; the next month becomes
the active one on the Monday of that week. Real calendars differ by product; a client must ask, never compute.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

MONTHS = "FGHJKMNQUVXZ"

# root, root in the gateway's ids, tick size, tick value in dollars, months, a price to start from (invented), description
_TABLE = """
ES  EP   0.25       12.50   HMUZ         6600      E-mini S&P 500
MES MES  0.25       1.25    HMUZ         6600      Micro E-mini S&P 500
NQ  ENQ  0.25       5.00    HMUZ         24000     E-mini Nasdaq-100
MNQ MNQ  0.25       0.50    HMUZ         24000     Micro E-mini Nasdaq-100
YM  YM   1          5.00    HMUZ         46000     E-mini Dow ($5)
MYM MYM  1          0.50    HMUZ         46000     Micro E-mini Dow
RTY RTY  0.10       5.00    HMUZ         2400      E-mini Russell 2000
M2K M2K  0.10       0.50    HMUZ         2400      Micro E-mini Russell 2000
NKD NKD  5          25.00   HMUZ         48000     Nikkei 225 (USD)
EMD EMD  0.10       10.00   HMUZ         3200      E-mini S&P MidCap 400
CL  CLE  0.01       10.00   FGHJKMNQUVXZ 60        Crude Oil (WTI)
MCL MCLE 0.01       1.00    FGHJKMNQUVXZ 60        Micro WTI Crude
NG  NGE  0.001      10.00   FGHJKMNQUVXZ 4         Henry Hub Natural Gas
GC  GCE  0.10       10.00   GJMQVZ       4000      Gold
MGC MGC  0.10       1.00    GJMQVZ       4000      Micro Gold
SI  SIE  0.005      25.00   HKNUZ        50        Silver
SIL SIL  0.005      5.00    HKNUZ        50        Micro (1000oz) Silver
HG  CPE  0.0005     12.50   HKNUZ        5         Copper
PL  PLE  0.10       5.00    FJNV         1500      Platinum
6E  EU6  0.00005    6.25    HMUZ         1.16      Euro FX
M6E M6E  0.0001     1.25    HMUZ         1.16      Micro EUR/USD
6B  BP6  0.0001     6.25    HMUZ         1.32      British Pound
6J  JY6  0.0000005  6.25    HMUZ         0.0065    Japanese Yen
6A  DA6  0.00005    5.00    HMUZ         0.65      Australian Dollar
6C  CA6  0.00005    5.00    HMUZ         0.71      Canadian Dollar
6S  SF6  0.00005    6.25    HMUZ         1.25      Swiss Franc
ZB  USA  0.03125    31.25   HMUZ         117       30-Year T-Bond
UB  ULA  0.03125    31.25   HMUZ         121       Ultra T-Bond
ZN  TYA  0.015625   15.625  HMUZ         113       10-Year T-Note
ZF  FVA  0.0078125  7.8125  HMUZ         109       5-Year T-Note
ZT  TUA  0.00390625 7.8125  HMUZ         104       2-Year T-Note
ZC  ZCE  0.25       12.50   HKNUZ        430       Corn
ZS  ZSE  0.25       12.50   FHKNQUX      1120      Soybeans
ZW  ZWA  0.25       12.50   HKNUZ        530       Chicago SRW Wheat
MBT MBT  5          0.50    FGHJKMNQUVXZ 90000     Micro Bitcoin
"""
_ENDS_A_MONTH_EARLIER = frozenset({"CL", "MCL", "NG"})


@dataclass(frozen=True, slots=True)
class Contract:
    """One month of one future. `tick_value` in dollars per contract, `last_day` the last on which it trades."""

    id: str
    name: str
    symbol_id: str
    root: str
    description: str
    tick_size: Decimal
    tick_value: Decimal
    start: Decimal
    last_day: date

    @property
    def point_value(self) -> Decimal:
        """Dollars that one contract gains when the price rises by 1."""
        return self.tick_value / self.tick_size

    @property
    def rolls_on(self) -> date:
        """The first day on which the next month is the active one."""
        return self.last_day - timedelta(days=4)

    def on_grid(self, price: Decimal) -> bool:
        """Whether a price is a whole number of ticks."""
        return price % self.tick_size == 0


@dataclass(frozen=True, slots=True)
class _Future:
    root: str
    symbol: str
    tick_size: Decimal
    tick_value: Decimal
    months: str
    start: Decimal
    description: str

    def contract(self, year: int, month: int) -> Contract:
        """The contract that is delivered in this month."""
        code, decade = MONTHS[month - 1], year % 100
        return Contract(
            id=f"CON.F.US.{self.symbol}.{code}{decade:02}",
            name=f"{self.root}{code}{year % 10}",
            symbol_id=f"F.US.{self.symbol}",
            root=self.root,
            description=f"{self.description}: {date(year, month, 1):%B %Y}",
            tick_size=self.tick_size,
            tick_value=self.tick_value,
            start=self.start,
            last_day=self._last_day(year, month),
        )

    def listed(self, today: date) -> tuple[Contract, Contract, Contract]:
        """The month before the active one, the active one, and the next."""
        months = [
            self.contract(year, month)
            for year in range(today.year - 1, today.year + 3)
            for month in range(1, 13)
            if MONTHS[month - 1] in self.months
        ]
        active = next(place for place, each in enumerate(months) if today < each.rolls_on)
        return months[active - 1], months[active], months[active + 1]

    def _last_day(self, year: int, month: int) -> date:
        if self.root in _ENDS_A_MONTH_EARLIER:
            year, month = (year - 1, 12) if month == 1 else (year, month - 1)
        first = date(year, month, 1)
        return first + timedelta(days=(4 - first.weekday()) % 7 + 14)


def _future(line: str) -> _Future:
    root, symbol, size, value, months, start, description = line.split(maxsplit=6)
    return _Future(root, symbol, Decimal(size), Decimal(value), months, Decimal(start), description)


FUTURES = tuple(_future(line) for line in _TABLE.strip().splitlines())


class Listing:
    """What is listed on one day: three months of every future, of which the middle one is active."""

    def __init__(self, today: date) -> None:
        self.today = today
        triples = [future.listed(today) for future in FUTURES]
        self.contracts = {each.id: each for triple in triples for each in triple}
        self._active = {triple[1].id for triple in triples}
        self._by_name = {each.name: each for each in self.contracts.values()}

    def is_active(self, contract: Contract) -> bool:
        """Whether it is its future's active month."""
        return contract.id in self._active

    def is_tradable(self, contract: Contract) -> bool:
        """Whether it can still, or already, be traded: what is held can be closed after its successor became active."""
        return self.today <= contract.last_day

    def find(self, id_or_name: str) -> Contract | None:
        """A listed contract by its id or its name."""
        return self.contracts.get(id_or_name) or self._by_name.get(id_or_name)

    def active(self) -> list[Contract]:
        """Every future's active month."""
        return [self.contracts[each] for each in sorted(self._active)]

    def search(self, text: str, most: int = 20) -> list[Contract]:
        """Contracts whose name or description has the text in it: NQ also finds MNQ."""
        wanted = text.strip().lower()
        found = (each for each in self.contracts.values() if wanted in f"{each.name} {each.description}".lower())
        return sorted(found, key=lambda each: (each.name, each.id))[:most]


@lru_cache(maxsize=16)
def listing(today: date) -> Listing:
    """The day's listing."""
    return Listing(today)
