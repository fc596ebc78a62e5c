"""The OpenAPI document, made of the routes that there are and of what is said of their handlers; served at /openapi.json."""

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import JsonValue, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from eventrouter.domain.parsers import MOST_BYTES
from eventrouter.domain.tasks import ACTIONS
from eventrouter.web import scrape, webhook
from eventrouter.web.answers import Fault, Refusal
from eventrouter.web.asked import MOST_ID
from eventrouter.web.codes import CODES
from eventrouter.web.described import JSON, Described, described, description_of
from eventrouter.web.jsons import respond
from eventrouter.web.viewer import BASE, is_for_everybody, needs_login, needs_operate

Json = dict[str, Any]
_AT = "#/components/schemas/"
_ABOUT = """What the operator's listener answers, and the webhook of the public one. Every error is {"code", "message"}, with "field" where one
is at fault: `code` is for programs and does not change. An address that there is not answers 404, another method 405 with Allow.

Who signs in at /login has a session, and sends its token with every change. A script sends a key (eventrouter apikey add NAME).
Until there is a user, the machine itself needs neither. A request under a Host that is not ours (421), or from another site's page
(403), is refused whoever sends it. /openapi.json itself has no schema here but that of OpenAPI."""
_ID: Json = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MOST_ID}
_PATH: Mapping[str, Json] = {
    "task_id": _ID,
    "signal_id": _ID,
    "control": _ID,
    "action": {"type": "string", "enum": list(ACTIONS)},
    "name": {"type": "string", "minLength": 1, "maxLength": 100},
    "token": {"type": "string", "minLength": 1, "description": "The strategy's; eventrouter token new STRATEGY."},
}
"""What stands for a variable of an address; a new one has to be added here."""


@described(dict[str, JsonValue])
async def served(request: web.Request) -> web.Response:
    """This document."""
    return respond(document(request.app))


def document(
    operator: web.Application, *, operator_url: str | None = None, public_url: str = "http://127.0.0.1:8080"
) -> Json:
    """The document of the operator's application, as it is mounted, and of the webhook."""
    base = operator[BASE]
    hooks = [(route.method, f"/webhook{route.path}", route.handler) for route in webhook.ROUTES]
    routes = [*_routes(operator, base), *hooks]
    schemas, parts = _schemas([said for _, _, handler in routes if (said := description_of(handler))])
    paths: dict[str, Json] = {}
    for method, path, handler in routes:
        said = description_of(handler)
        if said is not None:
            place = paths.setdefault(path, {})
            place[method.lower()] = _operation(method, path, handler, said, parts)
            if path.startswith("/webhook"):
                place["servers"] = [{"url": public_url, "description": "[server] public"}]
    return {
        "openapi": "3.1.0",
        "info": {"title": "eventrouter", "version": version("eventrouter"), "description": _ABOUT},
        "servers": [{"url": operator_url or base or "/", "description": "[server] operator"}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _SCHEMES},
    }


_SCHEMES: Json = {
    "key": {"type": "http", "scheme": "bearer", "description": "A script's key."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "eventrouter",
        "description": "A session's cookie; behind TLS it is called __Host-eventrouter.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": "The token that belongs to the session.",
    },
}


def _routes(app: web.Application, base: str) -> Iterable[tuple[str, str, Handler]]:
    for route in app.router.routes():
        if route.resource is not None and route.method != "HEAD":
            yield route.method, route.resource.canonical.removeprefix(base), route.handler


def _schemas(all_said: Iterable[Described]) -> tuple[Json, Mapping[Any, Json]]:
    """The components, and for each described type the schema that refers to them."""
    types: dict[tuple[str, JsonSchemaMode], Any] = {}
    for said in all_said:
        types |= {(repr(each), "serialization"): each for each in said.answers.values() if each is not None}
        types |= {(repr(each), "validation"): each for each in (said.query, said.body) if each is not None}
    types |= {(repr(each), "serialization"): each for each in (Fault, Refusal)}
    inputs = [(key, mode, TypeAdapter(each)) for (key, mode), each in types.items()]
    parts, everything = TypeAdapter.json_schemas(inputs, ref_template=_AT + "{model}")
    return everything["$defs"], parts


def _operation(method: str, path: str, handler: Any, said: Described, parts: Mapping[Any, Json]) -> Json:
    summary, _, more = (handler.__doc__ or "").partition("\n")
    found: Json = {
        "operationId": _name(method, path),
        "summary": summary,
        "tags": [handler.__module__.rpartition(".")[2]],
        "responses": _responses(method, path, handler, said, parts),
    }
    if more.strip():
        found["description"] = " ".join(more.split())
    if given := [*_path_parameters(path), *_query_parameters(said, parts)]:
        found["parameters"] = given
    if said.body is not None:
        schema = parts[repr(said.body), "validation"]
        found["requestBody"] = {"content": {JSON: {"schema": schema}}}
    elif handler is webhook.webhook:
        text = {"schema": {"type": "string", "maxLength": MOST_BYTES}}
        found["requestBody"] = {
            "description": "An alert, whatever its type.",
            "content": {"text/plain": text, JSON: {}},
        }
    found["security"] = _security(method, handler)
    return found


def _name(method: str, path: str) -> str:
    """A name for generators of clients: post_api_tasks_task_id_action."""
    words = re.findall(r"\w+", f"{method.lower()}{path}")
    return "_".join([*words, "slash"] if path.endswith("/") else words)


def _security(method: str, handler: Handler) -> list[Json]:
    if handler is webhook.webhook or not needs_login(handler):
        return []
    nothing: list[Json] = [{}] if handler is scrape.metrics else []  # it may be read from the machine itself
    return [*nothing, {"key": []}, {"session": [], "csrf": []} if method != "GET" else {"session": []}]


def _path_parameters(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH[name]} for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameters(said: Described, parts: Mapping[Any, Json]) -> list[Json]:
    if said.query is None:
        return []
    schema = said.query.model_json_schema(ref_template=_AT + "{model}", by_alias=True)
    return [_parameter(name, dict(each)) for name, each in schema["properties"].items()]


def _parameter(name: str, schema: Json) -> Json:
    """Of an optional parameter the schema is that of its value: none is not null, but absent."""
    if "anyOf" in schema:
        (value,) = (each for each in schema.pop("anyOf") if each != {"type": "null"})
        schema = {**schema, **value}
    if schema.get("default", ...) is None:
        del schema["default"]
    schema.pop("title", None)
    about = {"description": text} if (text := schema.pop("description", None)) else {}
    return {"name": name, "in": "query", **about, "schema": schema}


def _responses(method: str, path: str, handler: Handler, said: Described, parts: Mapping[Any, Json]) -> Json:
    found: Json = {}
    for status, answer in said.answers.items():
        content: Json = {} if status == 101 else {said.media: {"schema": {"type": "string"}}}
        if answer is not None:
            content = {JSON: {"schema": parts[repr(answer), "serialization"]}}
        found[str(status)] = {"description": _ANSWERED.get(status, "What was asked for."), "content": content}
    for status, codes in sorted(_refusals(method, path, handler, said).items()):
        fault = _fault(codes)
        if str(status) in found:  # /readyz says 503 in words of its own
            there = found[str(status)]["content"][JSON]["schema"]
            found[str(status)]["content"] = {JSON: {"schema": {"anyOf": [there, fault]}}}
            continue
        sentences = "\n".join(f"- {code}: {sentence}" for code, sentence in codes.items())
        found[str(status)] = {"description": sentences, "content": {JSON: {"schema": fault}}, **_headers(status)}
    if handler is webhook.webhook:
        fault = {"allOf": [{"$ref": f"{_AT}Fault"}, {"properties": {"code": {"$ref": f"{_AT}Refusal"}}}]}
        found["422"] = {"description": "The alert is refused, and kept.", "content": {JSON: {"schema": fault}}}
    return found


_ANSWERED = {
    101: "The WebSocket is open.",
    202: "The alert is on disk; it is stored when the database answers again.",
    503: "Not ready.",
}


def _fault(codes: Mapping[str, str]) -> Json:
    return {"allOf": [{"$ref": f"{_AT}Fault"}, {"properties": {"code": {"enum": list(codes)}}}]}


def _headers(status: int) -> Json:
    """Retry-After is said in seconds."""
    return {"headers": {"Retry-After": {"schema": {"type": "string", "pattern": "^[0-9]+$"}}}} if status == 503 else {}


def _refusals(method: str, path: str, handler: Handler, said: Described) -> Mapping[int, Mapping[str, str]]:
    """status → code → sentence: what every handler of its kind refuses, and what this one does."""
    codes: dict[int, list[str]] = {}
    if handler is not webhook.webhook:
        codes = _of_the_listener(method, path, handler, said)
    for status, more in said.refused.items():
        codes.setdefault(status, []).extend(each for each in more if each not in codes.get(status, ()))
    return {status: {code: CODES[status][code] for code in each} for status, each in codes.items()}


def _of_the_listener(method: str, path: str, handler: Handler, said: Described) -> dict[int, list[str]]:
    codes: dict[int, list[str]] = {403: ["ORIGIN_FOREIGN"], 421: ["HOST_UNKNOWN"], 503: ["FAULT"]}
    if not is_for_everybody(handler):
        codes[401] = ["KEY_WRONG"]
        codes[503] += ["STORE_UNAVAILABLE", "TOO_MANY"]
        if needs_login(handler):
            codes[401].insert(0, "LOGIN_NEEDED")
            codes[403].append("OPERATOR_ONLY")
    if said.query is not None:
        codes[400] = ["FIELD_WRONG", "KEY_REPEATED"]
        codes[422] = ["NOT_STORABLE"]
    if "{" in path:
        codes[404] = ["NOT_FOUND"]
    if method != "GET":
        codes[400] = ["BODY_CODED", "BODY_BROKEN", "BODY_NOT_UTF8", "BODY_NOT_JSON", "BODY_NOT_OBJECT", "KEY_REPEATED"]
        codes[403] += ["CSRF_WRONG", *(["ROLE_VIEW"] if needs_operate(handler) else [])]
        codes |= {413: ["BODY_TOO_LARGE"], 415: ["JSON_ONLY"], 422: ["FIELD_WRONG", "NOT_STORABLE"]}
    return codes
