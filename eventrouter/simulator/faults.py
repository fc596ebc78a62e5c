"""Faults that the control API arms: which requests they hit, how often, and what they do.

A fault hits the next `times` requests that match its endpoint, account and tag. One request can meet several: it waits for
every stall, its order is shaped by every shaping fault, and the first fault armed of those that decide the answer decides it.
"""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, TypeAdapter

from eventrouter.simulator.orders import Order


class _Fault(BaseModel):
    """`endpoint`: such as Order/place; `*` is any. `tag`: the request's customTag. `times`: requests that it hits."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    endpoint: str = "Order/place"
    account: StrictInt | None = None
    tag: str | None = None
    times: StrictInt = Field(default=1, ge=1)


class Refuse(_Fault):
    """Answers `success: false` with this number. `after`: the request was executed all the same (codes 6 and 7 of place)."""

    fault: Literal["refuse"]
    when: Literal["before", "after"] = "before"
    code: StrictInt = 2
    message: str = "Refused by an armed fault."


class Http(_Fault):
    """Answers an HTTP status such as 500 or 429, before or after executing."""

    fault: Literal["http"]
    when: Literal["before", "after"] = "after"
    status: StrictInt = Field(default=500, ge=400, le=599)
    retry_after_s: StrictInt | None = None


class Drop(_Fault):
    """Closes the connection: before executing, after it, or after it and half of the answer."""

    fault: Literal["drop"]
    when: Literal["before", "after", "midway"] = "after"


class Cut(_Fault):
    """Executes, then answers 200 with the first half of the JSON."""

    fault: Literal["cut"]


class Stall(_Fault):
    """Waits so many real seconds before or after executing, or until it is released. What is then executed is executed,
    even if the client has long gone.
    """

    fault: Literal["stall"]
    when: Literal["before", "after"] = "after"
    seconds: float | None = Field(default=None, gt=0)


class Hide(_Fault):
    """Late visibility: searches and look-ups show the order and its trades after so many seconds of the broker's clock, or
    once the fault is released. Positions and the hub show it at once.
    """

    fault: Literal["hide"]
    seconds: float | None = Field(default=None, gt=0)


class RejectLater(_Fault):
    """Accepts the order, then rejects it after so many seconds of the broker's clock."""

    fault: Literal["reject_later"]
    seconds: float = Field(default=0, ge=0)


class RejectStop(_Fault):
    """Rejects the order's stop loss bracket when the entry's first fill would let it work; the target works on."""

    fault: Literal["reject_stop"]


class Partial(_Fault):
    """Fills at most so many contracts at each price that is posted; `cancel` cancels the rest after the first fill."""

    fault: Literal["partial"]
    contracts: StrictInt = Field(ge=1)
    rest: Literal["work", "cancel"] = "work"


class Delay(_Fault):
    """Fills nothing before so many seconds of the broker's clock have passed."""

    fault: Literal["delay"]
    seconds: float = Field(gt=0)


Fault = Refuse | Http | Drop | Cut | Stall | Hide | RejectLater | RejectStop | Partial | Delay
FAULT: TypeAdapter[Fault] = TypeAdapter(Annotated[Fault, Field(discriminator="fault")])
Deciding = Refuse | Http | Drop | Cut


@dataclass(eq=False, slots=True)
class Armed:
    """A fault with what is left of it. `stalled`: requests that wait in it now. `hidden`: orders that it hides."""

    id: int
    fault: Fault
    left: int
    stalled: int = 0
    hits: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    hidden: list[Order] = field(default_factory=list)

    async def stall(self) -> None:
        """Waits, when it is a stall."""
        assert isinstance(self.fault, Stall)
        self.stalled += 1
        try:
            async with asyncio.timeout(self.fault.seconds):
                await self.released.wait()
        except TimeoutError:
            pass
        finally:
            self.stalled -= 1

    def body(self) -> dict[str, Any]:
        """For the control API."""
        shown = self.fault.model_dump()
        return {"id": self.id, **shown, "left": self.left, "hits": self.hits, "stalled": self.stalled}


class Faults:
    """Those that are armed, in the order in which they were."""

    def __init__(self) -> None:
        self.armed: dict[int, Armed] = {}
        self._ids = itertools.count(1)

    def arm(self, fault: Fault) -> Armed:
        """Arms one."""
        armed = Armed(next(self._ids), fault, fault.times)
        self.armed[armed.id] = armed
        return armed

    def meet(self, endpoint: str, account: object, tag: object) -> list[Armed]:
        """Those that this request meets; each is used up by one. Of those that decide the answer only the first is met."""
        return list(self._meet(endpoint, account, tag))

    def _meet(self, endpoint: str, account: object, tag: object) -> Iterator[Armed]:
        decided = False
        for armed in self.armed.values():
            fault = armed.fault
            wanted = fault.endpoint in ("*", endpoint) and fault.account in (None, account) and fault.tag in (None, tag)
            decides = isinstance(fault, Deciding)
            if not wanted or not armed.left or (decides and decided):
                continue
            decided = decided or decides
            armed.left -= 1
            armed.hits += 1
            yield armed
