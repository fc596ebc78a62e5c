"""Times as alerts write them: ISO 8601 with a zone, or seconds or milliseconds since 1970."""

import re
from datetime import UTC, datetime, timedelta

from eventrouter.errors import SignalRefused

_ISO = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s?(Z|z|UTC|[+-]\d{2}:?\d{2})?", re.ASCII
)
_EPOCH = re.compile(r"(\d{10})(?:\.\d{1,9})?|(\d{13})", re.ASCII)
_START = datetime(1970, 1, 1, tzinfo=UTC)


def moment_of(name: str, text: str) -> datetime:
    """The aware time in UTC. A time without a zone is refused: its age could be wrong by hours. Raises SignalRefused."""
    moment = _moment(name, text)
    if not 2000 <= moment.year < 2200:
        raise _wrong(name, text, f"the year {moment.year} cannot be meant")
    return moment


def _moment(name: str, text: str) -> datetime:
    if epoch := _EPOCH.fullmatch(text):
        seconds = int(epoch[1]) if epoch[1] else int(epoch[2]) / 1000
        return _START + timedelta(seconds=seconds)
    iso = _ISO.fullmatch(text)
    if iso is None:
        raise _wrong(name, text, "it must look like 2026-03-10T14:31:05Z or be seconds or milliseconds since 1970")
    day, minute, second, fraction, zone = iso.groups()
    if zone is None:
        raise _wrong(name, text, "it has no time zone; end it with Z if it is UTC, as {{timenow}} is")
    zone = "+00:00" if zone in ("Z", "z", "UTC") else zone
    try:
        moment = datetime.fromisoformat(f"{day}T{minute}:{second or '00'}.{(fraction or '0')[:6].ljust(6, '0')}{zone}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _wrong(name, text, "there is no such time") from None


def _wrong(name: str, text: str, why: str) -> SignalRefused:
    return SignalRefused("TIME_WRONG", f"{name} is {text[:40]!r}; {why}.", name)
