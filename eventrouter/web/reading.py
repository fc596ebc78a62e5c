"""Reads what a request carries into its model; what does not fit is refused with the field that is at fault."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from aiohttp import web
from pydantic import ValidationError

from eventrouter.errors import RequestWrong
from eventrouter.web.asked import Body, Parameters

P = TypeVar("P", bound=Parameters)
B = TypeVar("B", bound=Body)
_CONSTANTS = "NaN and Infinity are no JSON"


def parameters(request: web.Request, model: type[P]) -> P:
    """The address's parameters. Raises RequestWrong: 400."""
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            raise RequestWrong(400, "KEY_REPEATED", f"{name} stands twice in the address; send one of the two.", name)
        given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as wrong:
        raise _refusal(400, wrong, ()) from None


async def body(request: web.Request, model: type[B]) -> B:
    """The JSON object of a body; no body is the empty object. Raises RequestWrong: 400 no JSON object, 422 a field."""
    found = await json_object(request)
    try:
        return model.model_validate(found)
    except ValidationError as wrong:
        raise _refusal(422, wrong, tuple(model.model_fields)) from None


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body, whatever is in it. Raises RequestWrong: 400."""
    raw = await request.read()
    try:
        found = json.loads(raw.decode("utf-8") or "{}", object_pairs_hook=_unique, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise RequestWrong(400, "BODY_NOT_UTF8", "The body is not UTF-8 text.") from None
    except (ValueError, RecursionError):
        raise RequestWrong(400, "BODY_NOT_JSON", "The body is no JSON, or is nested too deeply.") from None
    if not isinstance(found, dict):
        raise RequestWrong(400, "BODY_NOT_OBJECT", "The body must be a JSON object.")
    return found


def _unique(pairs: Sequence[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RequestWrong(400, "KEY_REPEATED", "A field stands twice in the body; send one of the two.")
    return found


def _no_number(_constant: str) -> None:
    raise ValueError(_CONSTANTS)


def _refusal(status: int, wrong: ValidationError, fields: Sequence[str]) -> RequestWrong:
    """The first thing that is wrong, in a sentence that names its field."""
    first = wrong.errors(include_url=False, include_input=False)[0]
    field = str(first["loc"][0])[:100] if first["loc"] else ""
    if first["type"] == "missing":
        said = f"{field} is missing."
    elif first["type"] == "extra_forbidden":
        said = f"There is no field {field!r} here. The fields are {', '.join(fields)}."
    else:
        said = f"{field}: {first['msg'].removeprefix('Value error, ')}."
    return RequestWrong(status, "FIELD_WRONG", said, field or None)
