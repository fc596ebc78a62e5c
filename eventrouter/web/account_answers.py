"""Accounts as the API answers them; see store/accounts.py."""

from datetime import datetime
from typing import Literal

from pydantic import Field, JsonValue

from eventrouter.domain.tasks import Status
from eventrouter.web.answers import Answer, Facts, Mode


class Position(Answer):
    """`quantity` above zero is long."""

    contract: str
    quantity: float


class LastEvent(Answer):
    """The last thing that happened to the account in a mode, and its book afterwards."""

    seq: int
    kind: str
    message: str | None
    state: JsonValue
    created_at: datetime


class Link(Answer):
    """How the account's broker stands, as its router says."""

    account: str
    router: str
    connection: str
    mode: str
    state: str
    code: str | None
    message: str | None
    since: datetime
    seen_at: datetime
    fresh: bool


class Money(Answer):
    """Amounts in the account's currency; null where it is not known, or there is no such limit. See domain/room.py."""

    balance: float | None
    equity: float | None
    today: float | None
    to_daily_loss: float | None
    floor: float | None
    to_floor: float | None
    room: float | None = Field(
        description="How much may still be lost before entries stop: the nearer of the two limits."
    )


class Account(Answer):
    """An account and how it stands; of one that only tasks name, what is published is absent. `name` null: not routed yet."""

    name: str | None
    published: bool
    configured: bool = Field(description="In this process.")
    connector: str | None = None
    firm: str | None = None
    live: bool | None = None
    enabled: bool | None = None
    version: int | None = None
    withdrawn: bool | None = None
    changed_by: str | None = None
    changed_at: datetime | None = None
    settings: Facts | None = None
    open: dict[Status, int]
    holdings: dict[Mode, int]
    net: dict[Mode, list[Position]]
    states: dict[Mode, LastEvent]
    standing: Literal["open", "reducing", "halted"]
    standing_since: datetime | None
    standing_reason: str | None
    connection: Link | None
    mode: Mode | None
    state: Literal[
        "active",
        "withdrawn",
        "unpublished",
        "disabled",
        "flattening",
        "halted",
        "out_of_sync",
        "broker_down",
        "reducing",
        "no_router",
    ]
    reasons: list[str]
    money: Money


class Version(Answer):
    """A version of the account's settings."""

    version: int
    withdrawn: bool
    difference: JsonValue
    actor: str | None
    created_at: datetime


class Held(Answer):
    """What a trade holds on the account."""

    account: str
    mode: Mode
    trade_id: str
    contract: str
    quantity: float
    average_price: float | None
    opened_at: datetime | None


class Foreign(Answer):
    """An order that works at the broker and is nobody's here."""

    order_id: str
    contract: str
    side: str
    quantity: float
    filled: float
    state: str
    limit_price: float | None
    stop_price: float | None
    client_order_id: str | None
    placed_at: datetime | None


class Event(Answer):
    """Something that happened to the account."""

    mode: Mode
    seq: int
    kind: str
    actor: str | None
    message: str | None
    detail: JsonValue
    state: JsonValue
    created_at: datetime


class Difference(Answer):
    """A contract of which the broker holds another quantity."""

    contract: str
    ours: str
    broker: str


class OutOfSync(Answer):
    """What differs from the broker, since when, and what to do."""

    why: str
    since: datetime | None
    seen_at: datetime | None
    differences: list[Difference]
    what_to_do: JsonValue


class AccountInFull(Account):
    """One account with the history of its settings, what it holds, and what happened to it, the latest first."""

    versions: list[Version]
    held: list[Held]
    external: list[Foreign]
    events: list[Event]
    out_of_sync: OutOfSync | None
