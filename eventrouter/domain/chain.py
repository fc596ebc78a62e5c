"""Tamper evidence: what the hash of a history row and of a seal is taken over. The database writes them; this computes them anew.

A hash is SHA-256 over the 32 bytes before it in its chain (zeros for the first) and the canonical bytes of the row: a JSON array
in UTF-8 that begins with the form's number. Times are whole microseconds since 1970 in UTC, bytes are hex, and JSON stands as
Postgres writes JSONB, which is one text for one value: keys in order, no repeats.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

ZERO = bytes(32)
FORM = 1
SEAL_FORMAT = "eventrouter seal 1"


@dataclass(frozen=True, slots=True)
class RawJson:
    """A JSON value in the text that Postgres gives it; not read, since not every number in it fits into Python."""

    text: str


@dataclass(frozen=True, slots=True)
class Seal:
    """A checkpoint: `heads` heads of chains, whose own hash is `digest`, and the hash of the seal before it.

    `made_at_us` is in microseconds since 1970; the transactions from `from_xid` up to, not including, `to_xid` were looked at.
    """

    id: int
    previous: bytes
    hash: bytes
    made_at_us: int
    from_xid: str
    to_xid: str
    heads: int
    digest: bytes

    def computed(self) -> bytes:
        """The hash that this seal has if nobody changed it."""
        return row_hash(
            self.previous, (self.id, self.made_at_us, self.from_xid, self.to_xid, self.heads, self.digest.hex())
        )

    def exported(self) -> dict[str, Any]:
        """What is kept elsewhere."""
        return {
            "format": SEAL_FORMAT,
            "id": self.id,
            "hash": self.hash.hex(),
            "previous": self.previous.hex(),
            "made_at_us": self.made_at_us,
            "from_xid": self.from_xid,
            "to_xid": self.to_xid,
            "heads": self.heads,
            "digest": self.digest.hex(),
        }


def seal_of(exported: Any) -> Seal:
    """An exported seal. Raises ValueError where that is none, or where it was changed since."""
    if not isinstance(exported, Mapping) or exported.get("format") != SEAL_FORMAT:
        raise ValueError(f"its format is not {SEAL_FORMAT!r}")
    try:
        seal = Seal(
            int(exported["id"]),
            bytes.fromhex(exported["previous"]),
            bytes.fromhex(exported["hash"]),
            int(exported["made_at_us"]),
            str(exported["from_xid"]),
            str(exported["to_xid"]),
            int(exported["heads"]),
            bytes.fromhex(exported["digest"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"a field is missing or of a wrong kind: {error}") from error
    if seal.computed() != seal.hash:
        raise ValueError("its hash is not the one of its content: it was changed after it was exported")
    return seal


def row_hash(previous: bytes, values: Sequence[int | str | RawJson | None]) -> bytes:
    """The hash of a row whose meaning is in `values`, in their order, after the row whose hash is `previous`."""
    return sha256(previous + _canonical((FORM, *values))).digest()


def head_bytes(kind: str, name: str, seq: int, head: bytes) -> bytes:
    """What one sealed head adds to its seal's digest."""
    return _canonical((kind, name, seq, head.hex()))


def _canonical(values: Sequence[int | str | RawJson | None]) -> bytes:
    return ("[" + ", ".join(map(_text, values)) + "]").encode()


def _text(value: int | str | RawJson | None) -> str:
    return value.text if isinstance(value, RawJson) else json.dumps(value, ensure_ascii=False)
