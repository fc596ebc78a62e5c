"""Holds answers against the OpenAPI document: their status, their type, and every field of them."""

import json
import re
from functools import cache
from typing import Any

import jsonschema_rs
from aiohttp import ClientResponse, web

from eventrouter.app import Service, operator_app
from eventrouter.config import Config
from eventrouter.web.openapi import document

Json = dict[str, Any]


@cache
def operator() -> web.Application:
    """The operator's application of a service that never starts."""
    return operator_app(Service(Config()))


@cache
def whole() -> Json:
    """The document."""
    return document(operator())


def operation(method: str, path: str) -> tuple[str, Json] | None:
    """(address with its variables, operation) of a request, or None."""
    for template, methods in sorted(whole()["paths"].items(), key=lambda each: each[0].count("{")):
        if method.lower() in methods and _pattern(template).fullmatch(path):
            return template, methods[method.lower()]
    return None


async def check(answer: ClientResponse) -> None:
    """Fails where an answer of a described address is not described, or its body is another than it says."""
    found = operation(answer.method, answer.url.path)
    if found is not None:
        told = fault_of(answer.method, found[0], answer.status, answer.content_type, await answer.text())
        assert told is None, f"{answer.method} {answer.url.path}: {told}"


def fault_of(method: str, template: str, status: int, content_type: str, text: str) -> str | None:
    """What of an answer the document does not say, or None."""
    said = whole()["paths"][template][method.lower()]["responses"].get(str(status))
    if said is None:
        return f"{status} is not documented: {text[:300]}"
    content = said["content"]
    if content_type not in content:
        return f"{content_type} is not documented for {status}"
    if content_type != "application/json":
        return None
    faults = [
        f"{'.'.join(str(at) for at in fault.instance_path)}: {fault.message}"
        for fault in _validator(method, template, str(status)).iter_errors(json.loads(text))
    ]
    return "; ".join(faults)[:1000] or None


@cache
def _validator(method: str, template: str, status: str) -> jsonschema_rs.Draft202012Validator:
    content = whole()["paths"][template][method.lower()]["responses"][status]["content"]
    schema = {**content["application/json"]["schema"], "components": whole()["components"]}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)))
