"""What the API answers, as models: the OpenAPI document is made of them, and the tests hold every answer against it.

Rows come from the database as they are and are not read again on their way out: an unforeseen value in one of them must not keep a
trader from seeing all others.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from eventrouter.domain.refusals import REFUSALS
from eventrouter.domain.tasks import Status

Mode = Literal["dry", "live"]
Facts = dict[str, JsonValue]
Refusal = StrEnum("Refusal", {code: code for code in REFUSALS})  # type: ignore[misc] # the codes of domain/refusals.py
Refusal.__doc__ = "Why an alert is refused."


class Answer(BaseModel):
    """Nothing is answered that is not described."""

    model_config = ConfigDict(extra="forbid")


class Fault(Answer):
    """Every error, whatever its status: `code` for programs, `message` for people, and the field that is at fault."""

    code: str
    message: str
    field: str | None = None


class Index(Answer):
    """What there is to look at."""

    service: Literal["eventrouter"]
    see: list[str]


class SignalKept(Answer):
    """An alert as it came in. `signal_uid` was drawn on receipt; `duplicate_of` is that of the first of its kind."""

    id: int
    signal_uid: UUID
    duplicate_of: UUID | None
    strategy: str
    trade_id: str | None
    event_type: str | None
    code: Refusal | None = Field(description="Why it was refused.")
    message: str | None
    field: str | None
    content_type: str | None
    source_ip: str | None
    raw: str = Field(description="The body as it came, without its secrets.")
    parsed: JsonValue
    received_at: datetime
    created_at: datetime


class Signal(SignalKept):
    """A line of the list: the alert and the ids of the tasks that it made."""

    tasks: list[int]


class Outcome(Answer):
    """What became of an alert on one account: a task, or nothing and why. Of no task all about an order is null."""

    account: str | None
    trade_id: str | None
    event_type: str | None
    decision: Literal["task", "nothing"]
    task: int | None
    status: Status | None
    mode: Mode | None
    reason: str | None
    message: str | None
    detail: Facts | None
    at: datetime | None
    route: JsonValue = None
    multiplier: JsonValue = None
    quantity: str | float | None
    contract: str | None
    filled: float | None
    average_price: float | None


class SignalOutcomes(SignalKept):
    """An alert with what became of it on every account."""

    first_signal: int | None
    trades: list[str] | None
    fired_at: datetime | None
    accounts: list[Outcome]


class Task(Answer):
    """An order intent for one account: the columns of execution_tasks."""

    id: int
    trade_id: str
    event_type: str
    status: Status
    attempts: int
    last_error: str | None
    payload: JsonValue
    last_attempt_at: datetime | None
    created_at: datetime
    updated_at: datetime
    signal_id: int | None
    account: str | None
    lane: str | None
    mode: Mode | None
    client_order_id: str | None
    expires_at: datetime | None
    run_at: datetime | None
    worker: str | None
    lease_until: datetime | None
    version: int
    plan: JsonValue
    retry_of: int | None


class Behind(Answer):
    """The first task of a lane, which keeps those behind it waiting."""

    task: int
    status: Status


class TaskOfSignal(Task):
    """The same, with its signal's strategy and time of receipt, and what it waits for in its lane."""

    received_at: datetime | None
    strategy: str | None
    behind: Behind | None


class LogRow(Answer):
    """A row of a task's log."""

    seq: int
    prev_status: Status | None
    status: Status
    attempt: int | None
    actor: str | None
    reason: str | None
    message: str | None
    response_code: int | None
    response_body: str | None
    detail: JsonValue
    run_at: datetime | None
    lease_until: datetime | None
    created_at: datetime


class TaskWithLog(TaskOfSignal):
    """A task with its whole log, in order."""

    log: list[LogRow]


class Evidence(Answer):
    """What is known of a dead letter: its intent, what followed, and what the broker has shown of it."""

    sent: Facts | None
    steps: list[Facts]
    look_ups: int
    orders: list[Facts]
    fills: list[Facts]


class DeadLetter(Answer):
    """A task that ended in FAILED or REVIEW. `id` is the task's, `letter` its own; `task_status` is how the task stands now."""

    letter: int
    id: int
    status: Status
    code: str | None
    message: str | None
    suggestion: str
    evidence: Evidence
    client_order_id: str | None
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    closed_how: str | None
    closed_reason: str | None
    trade_id: str
    event_type: str
    account: str | None
    lane: str | None
    mode: Mode | None
    attempts: int
    last_error: str | None
    created_at: datetime
    updated_at: datetime
    task_status: Status
    retry_of: int | None


class Forecast(Answer):
    """What an alert would do on one account."""

    account: str
    event: str | None
    trade_id: str | None
    decision: str
    reason: str | None
    message: str | None
    quantity: float | None
    asked: JsonValue
    contract: str | None
    calculation: JsonValue
    resolution: JsonValue
    mode: Mode | None
    figures: Facts


class Explanation(Answer):
    """What an alert would do; `signal` has what was read of it, in the words of a stored alert."""

    understood: bool
    code: Refusal | None
    message: str
    field: str | None
    mend: str | None
    strategy: str
    family: str | None
    signal: Facts | None
    repairs: list[str]
    notes: list[str]
    duplicate_of: int | None
    accounts: list[Forecast]


class Standing(Answer):
    """A halt, reduction, resumption or flattening."""

    id: int
    scope: str = Field(description="all, account:NAME or strategy:NAME.")
    action: Literal["halt", "reduce", "resume", "flatten"]
    actor: str
    reason: str | None
    created_at: datetime


class Standings(Answer):
    """`standing`: the latest row of each scope; `history`: the latest rows of all, newest first."""

    standing: list[Standing]
    history: list[Standing]


class Progress(Answer):
    """How far an account is with a flattening. `flat_at`: when the broker, read again, showed nothing; `exits`: tasks that close trades."""

    account: str
    mode: Mode | None
    state: Literal["WAITING", "UNDER_WAY", "NOT_FLAT", "FLAT"]
    cancelled: list[JsonValue]
    closed: list[JsonValue]
    exits: list[int]
    flat_at: datetime | None
    unresolved: list[JsonValue]
    held: list[JsonValue]
    working: list[JsonValue]
    message: str | None


class StandingWithProgress(Standing):
    """`accounts`: of a flattening, how far each account is."""

    accounts: list[Progress] | None = None


class TaskAtBroker(Answer):
    """A task whose order may be at the broker."""

    task_id: int
    account: str | None
    mode: Mode | None
    trade_id: str
    event_type: str
    status: Status
    client_order_id: str | None
    since: datetime | None


class StandingSet(Standing):
    """What was just set. `in_flight`: tasks whose orders may be at the broker; `working`: those whose orders may still fill."""

    in_flight: list[TaskAtBroker]
    working: list[TaskAtBroker]


class Taken(Answer):
    """A stored alert; a repeat has the ids of the first."""

    signal_id: int
    trade_id: str | None
    event_type: str | None
    duplicate: bool
    tasks: list[int]
    notes: list[str] | None = None


class Spooled(Answer):
    """An alert on disk, which is stored when the database answers again."""

    spooled: Literal[True]
    signal_uid: UUID


class Spool(Answer):
    """`alerts`: how many wait on disk for the database."""

    state: Literal["not here", "off", "unavailable", "empty", "waiting"]
    alerts: int


Listening = Literal["up", "down", "not here"]


class Health(Answer):
    """The process answers. `listener`: whether the database's notifications arrive."""

    status: Literal["ok"]
    listener: Listening
    spool: Spool


class Readiness(Answer):
    """Whether the process can do its work. Who is not signed in learns only `status`."""

    status: Literal["ready", "not ready", "stopping"]
    database: str | None = None
    listener: Listening | None = None
    spool: Spool | None = None
    connections: Facts | Literal["not here"] | None = None
    alerts: Facts | None = None
    guard: str | None = None
