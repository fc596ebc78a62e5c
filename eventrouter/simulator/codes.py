"""Why a request is refused, and the number that each endpoint has for it: the same reason has different numbers."""

from enum import StrEnum, auto


class Reason(StrEnum):
    """Every refusal of the gateway."""

    ACCOUNT_NOT_FOUND = auto()
    ACCOUNT_REJECTED = auto()
    ACCOUNT_VIOLATION = auto()
    CONTRACT_NOT_ACTIVE = auto()
    CONTRACT_NOT_FOUND = auto()
    CREDENTIALS_INVALID = auto()
    FUNDS_INSUFFICIENT = auto()
    LIMIT_INVALID = auto()
    ORDER_NOT_FOUND = auto()
    ORDER_REJECTED = auto()
    POSITION_NOT_FOUND = auto()
    SIZE_INVALID = auto()
    TRADING_HOURS = auto()
    UNIT_INVALID = auto()
    UNIT_NUMBER_INVALID = auto()


class Refused(Exception):
    """A request that is not executed. `order`: the id of the rejected order, where one was made."""

    def __init__(self, reason: Reason, message: str, order: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.order = order


LOGIN = {Reason.CREDENTIALS_INVALID: 3}
BARS = {
    Reason.CONTRACT_NOT_FOUND: 1,
    Reason.UNIT_INVALID: 2,
    Reason.UNIT_NUMBER_INVALID: 3,
    Reason.LIMIT_INVALID: 4,
}
SEARCH = {Reason.ACCOUNT_NOT_FOUND: 1}
CONTRACT = {Reason.CONTRACT_NOT_FOUND: 1}
ORDER_BY_ID = {Reason.ACCOUNT_NOT_FOUND: 1, Reason.ORDER_NOT_FOUND: 1}
PLACE = {
    Reason.ACCOUNT_NOT_FOUND: 1,
    Reason.ORDER_REJECTED: 2,
    Reason.FUNDS_INSUFFICIENT: 3,
    Reason.ACCOUNT_VIOLATION: 4,
    Reason.TRADING_HOURS: 5,
    Reason.CONTRACT_NOT_FOUND: 8,
    Reason.CONTRACT_NOT_ACTIVE: 9,
    Reason.ACCOUNT_REJECTED: 10,
}
MODIFY = {
    Reason.ACCOUNT_NOT_FOUND: 1,
    Reason.ORDER_NOT_FOUND: 2,
    Reason.ORDER_REJECTED: 3,
    Reason.ACCOUNT_REJECTED: 6,
}
CANCEL = MODIFY
CLOSE = {
    Reason.ACCOUNT_NOT_FOUND: 1,
    Reason.POSITION_NOT_FOUND: 2,
    Reason.CONTRACT_NOT_FOUND: 3,
    Reason.CONTRACT_NOT_ACTIVE: 4,
    Reason.TRADING_HOURS: 5,
    Reason.ACCOUNT_REJECTED: 8,
}
PARTIAL_CLOSE = {
    Reason.ACCOUNT_NOT_FOUND: 1,
    Reason.POSITION_NOT_FOUND: 2,
    Reason.CONTRACT_NOT_FOUND: 3,
    Reason.CONTRACT_NOT_ACTIVE: 4,
    Reason.SIZE_INVALID: 5,
    Reason.TRADING_HOURS: 6,
    Reason.ACCOUNT_REJECTED: 9,
}
