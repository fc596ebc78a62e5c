"""Rows as JSON: times in ISO 8601, UTC; Decimal as a number; everything else as it is."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from aiohttp import web


def dumps(value: Any) -> str:
    """Compact JSON of a row or a list of rows."""
    return json.dumps(value, default=_plain, separators=(",", ":"))


def respond(value: Any, *, status: int = 200) -> web.Response:
    """A JSON answer that no cache keeps."""
    return web.json_response(value, status=status, dumps=dumps, headers={"Cache-Control": "no-store"})


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
