"""Says of a handler what its address takes and answers; the OpenAPI document is made of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp.typedefs import Handler

from eventrouter.web.asked import Body, Parameters
from eventrouter.web.codes import CODES

H = TypeVar("H", bound=Handler)
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Described:
    """`answers`: status → the type of what it answers, as pydantic reads types; None where the answer is no JSON, see `media`.

    `refused`: status → codes that only this handler gives, beside those that every one of its kind does. `named`: where `refused` has
    codes of an open list, the list.
    """

    answers: Mapping[int, Any]
    refused: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    query: type[Parameters] | None = None
    body: type[Body] | None = None
    media: str = JSON


_KNOWN: dict[Handler, Described] = {}


def described(
    answer: Any,
    *,
    more: Mapping[int, Any] | None = None,
    refused: Mapping[int, tuple[str, ...]] | None = None,
    query: type[Parameters] | None = None,
    body: type[Body] | None = None,
    media: str = JSON,
    status: int = 200,
) -> Callable[[H], H]:
    """Marks a handler: `answer` is the type of its answer with `status`, `more` those of other statuses."""
    for number, codes in (refused or {}).items():
        unknown = set(codes) - set(CODES[number])
        assert not unknown, f"web/codes.py does not know {unknown}"

    def mark(handler: H) -> H:
        _KNOWN[handler] = Described({status: answer, **(more or {})}, refused or {}, query, body, media)
        return handler

    return mark


def description_of(handler: Handler) -> Described | None:
    """What is said of the handler; None for a page of the desk."""
    return _KNOWN.get(handler)
