"""One alert as one line: the CRC-32 of the rest in hexadecimal, a space, JSON. It holds what its row would hold, no more."""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from eventrouter.store.signals import StoredAlert


def encode(alert: StoredAlert) -> bytes:
    """The alert's line, its line end included."""
    text = json.dumps(alert, default=_plain, allow_nan=False, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def decode(line: bytes) -> StoredAlert | None:
    """The alert of a whole line; None when the line is damaged, or was written by a version with other fields."""
    checksum, _, text = line.removesuffix(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        alert: StoredAlert = _restored(StoredAlert, json.loads(text))
    except (ValueError, TypeError, AttributeError):
        return None
    return alert


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, UUID | datetime):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} cannot stand in the spool")


def _restored(kind: Any, value: Any) -> Any:
    """The value of this type that `_plain` made JSON of."""
    if get_origin(kind) in (Union, UnionType):
        kind = next(each for each in get_args(kind) if each is not type(None))
    if value is None:
        return None
    if kind is bytes:
        return base64.b64decode(value, validate=True)
    if kind is UUID:
        return UUID(value)
    if kind is datetime:
        return datetime.fromisoformat(value)
    if get_origin(kind) is tuple:
        return tuple(_restored(get_args(kind)[0], each) for each in value)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _restored(hints.get(name), each) for name, each in value.items()})
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
