"""What the endpoints take. A body that does not fit is answered 400, before anything is executed.

Numbers may be left out where .NET would read 0: an account 0 is simply not found.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictInt
from pydantic.alias_generators import to_camel

from eventrouter.simulator.orders import OrderType, Side, Status


def _number(value: object) -> object:
    """A JSON number, not the text of one."""
    if type(value) in (int, Decimal, type(None)):
        return value
    raise ValueError("must be a number")


Price = Annotated[Decimal | None, BeforeValidator(_number)]


class _Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class Empty(_Body):
    """Nothing."""


class LoginKey(_Body):
    """POST /api/Auth/loginKey."""

    user_name: str
    api_key: str


class AccountSearch(_Body):
    """POST /api/Account/search."""

    only_active_accounts: bool = False


class ContractSearch(_Body):
    """POST /api/Contract/search; `live` (the data subscription) changes nothing here."""

    search_text: str | None = None
    live: bool = False


class ContractsAvailable(_Body):
    """POST /api/Contract/available."""

    live: bool = False


class ContractById(_Body):
    """POST /api/Contract/searchById."""

    contract_id: str = ""


class RetrieveBars(_Body):
    """POST /api/History/retrieveBars; `live` changes nothing here."""

    contract_id: str
    live: bool
    start_time: datetime
    end_time: datetime
    unit: StrictInt
    unit_number: StrictInt
    limit: StrictInt
    include_partial_bar: bool


class OfAccount(_Body):
    """Order/searchOpen, Position/searchOpen."""

    account_id: StrictInt = 0


class TimeWindow(OfAccount):
    """Order/search, which needs its start, and Trade/search, which does not."""

    start_timestamp: datetime | None = None
    end_timestamp: datetime | None = None


class OrderWindow(OfAccount):
    """Order/search."""

    start_timestamp: datetime
    end_timestamp: datetime | None = None


class OneOrder(OfAccount):
    """Order/searchById, Order/cancel."""

    order_id: StrictInt = 0


class OrderFilter(_Body):
    """The filter of Order/v2/query."""

    account_id: StrictInt
    statuses: tuple[Status, ...] | None = None
    contract_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


class OrderQuery(_Body):
    """POST /api/Order/v2/query. Assumed: sortBy 0 is the creation time and 1 the id; direction 0 ascends and 1 descends."""

    filter: OrderFilter
    page_size: StrictInt = 100
    page_offset: StrictInt = 0
    sort_by: StrictInt = 0
    sort_direction: StrictInt = 0
    include_total_count: bool = False


class Bracket(_Body):
    """A bracket's side: signed ticks from the entry's price."""

    ticks: StrictInt
    type: OrderType


class PlaceOrder(OfAccount):
    """POST /api/Order/place."""

    contract_id: str = ""
    type: OrderType
    side: Side
    size: StrictInt = 0
    limit_price: Price = None
    stop_price: Price = None
    trail_price: Price = None
    custom_tag: str | None = None
    stop_loss_bracket: Bracket | None = None
    take_profit_bracket: Bracket | None = None


class ModifyOrder(OneOrder):
    """POST /api/Order/modify."""

    size: StrictInt | None = None
    limit_price: Price = None
    stop_price: Price = None
    trail_price: Price = None


class CloseContract(OfAccount):
    """POST /api/Position/closeContract."""

    contract_id: str = ""


class PartialClose(CloseContract):
    """POST /api/Position/partialCloseContract."""

    size: StrictInt = 0
