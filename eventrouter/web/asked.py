"""What requests carry, as models: the check of a body or of an address's parameters, and their part of the OpenAPI document."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from eventrouter.domain.controls import ALL
from eventrouter.domain.dead_letters import CHANGEABLE
from eventrouter.domain.tasks import Status

MOST_ID = 10**18 - 1
"""Every number of up to 18 digits is one that Postgres can compare with an id."""


def _storable(text: str) -> str:
    """A text that Postgres can store."""
    if "\0" in text:
        raise ValueError("holds a NUL character")
    if text.encode("utf-8", "replace").decode() != text:
        raise ValueError("holds half of a surrogate pair")
    return text


def _digits(text: Any) -> Any:
    """The number of a parameter, which is all digits; int() would take 1_000 and digits of other scripts too."""
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    raise ValueError("should be a number of 1 to 18 digits")


def _flag(text: Any) -> Any:
    if text not in ("true", "false"):
        raise ValueError("should be true or false")
    return text == "true"


def _any_text(value: Any) -> str:
    """Any text, half surrogate pairs too: what cannot be an alert is to be explained, not refused."""
    if not isinstance(value, str):
        raise ValueError("should be a text")  # noqa: TRY004 - pydantic turns ValueError into an answer
    return value


Id = Annotated[int, Field(ge=1, le=MOST_ID)]
Number = Annotated[Id, BeforeValidator(_digits, json_schema_input_type=Id)]
Flag = Annotated[bool, BeforeValidator(_flag, json_schema_input_type=bool)]
Text = Annotated[str, AfterValidator(_storable)]
Filter = Annotated[Text, Field(max_length=1000)]
Reason = Annotated[Text, Field(max_length=1000, description="Why; it stands in the log.")]
Actor = Annotated[Text, Field(min_length=1, max_length=100, description="Who it is, where nobody can sign in yet.")]
Limit = Annotated[Number, Field(description="How many at most; 500 at any rate.")]


class Parameters(BaseModel):
    """Parameters of an address. Those that it does not know are passed over, as a browser's bookmarks have them."""

    model_config = ConfigDict(extra="ignore")


class SignalsAsked(Parameters):
    """Which signals."""

    strategy: Filter | None = None
    before: Annotated[Number, Field(description="The last id of the page before.")] | None = None
    limit: Limit = 100


class TasksAsked(Parameters):
    """Which tasks."""

    status: Status | None = None
    account: Filter | None = None
    trade_id: Filter | None = None
    before: Annotated[Number, Field(description="The last id of the page before.")] | None = None
    limit: Limit = 100


class LettersAsked(Parameters):
    """Which dead letters."""

    task: Annotated[Number, Field(description="Only those of this task.")] | None = None
    closed: Annotated[Flag, Field(description="Those that somebody has resolved too.")] = False
    before: Annotated[Number, Field(description="The last letter of the page before.")] | None = None
    limit: Limit = 100


class FeedAsked(Parameters):
    """From where on."""

    position: (
        Annotated[str, Field(max_length=200, description="A position that the feed gave: what follows it.")] | None
    ) = None
    from_: str | None = Field(None, alias="from", description="start: all that there is; else from now on.")


class Body(BaseModel):
    """A request's body: no field is guessed or passed over, since a misspelt scope would mean everything."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ExplainAsked(Body):
    """An alert that is not sent."""

    alert: Annotated[
        str,
        PlainValidator(_any_text, json_schema_input_type=str),
        Field(description="Its body as text."),
    ]
    strategy: Annotated[Text, Field(min_length=1, max_length=64, description="Whose it is.")] | None = None


class ActionAsked(Body):
    """Who does something to a task, and why; the rest says how a retry sends it again, and of a resolve what became of it."""

    actor: Actor = "operator"
    reason: Reason | None = None
    confirm: (
        Annotated[
            Id, Field(description="The task's id once more: a retry from REVIEW and a resolve from ACCEPTED need it.")
        ]
        | None
    ) = None
    version: (
        Annotated[Id, Field(description="The task's version that you looked at: nothing is done once it has moved on.")]
        | None
    ) = None
    executed: Annotated[
        bool, Field(description="Of a resolve of an ACCEPTED task: whether the broker executed it.")
    ] = True
    even_if_old: bool = False
    even_if_held: bool = False
    set: Annotated[
        dict[str, Annotated[Text, Field(min_length=1, max_length=40)]],
        Field(
            description="What to change of the order; it is then sent as a new task.",
            json_schema_extra={"propertyNames": {"enum": list(CHANGEABLE)}},
        ),
    ] = {}


class ScopeAsked(Body):
    """What is to be resumed or flattened."""

    scope: Annotated[Text, Field(max_length=200, description="all, account:NAME or strategy:NAME.")] = ALL
    reason: Reason | None = None
    actor: Actor = "api"


class HaltAsked(ScopeAsked):
    """What is to be halted."""

    reduce: Annotated[bool, Field(description="Let what is held be made smaller by alerts, and open nothing.")] = False
