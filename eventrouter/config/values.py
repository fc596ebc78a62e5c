"""What a value may be, section after section: its type, its check, and the sentence when it is wrong."""

import difflib
import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, SecretStr

from eventrouter.domain.denials import LARGEST_EXPONENT, MOST_DIGITS
from eventrouter.domain.notices import Kind
from eventrouter.domain.trading_day import WEEKDAYS, Window

_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_DAYS = rf"(?:{'|'.join(WEEKDAYS)})(?:-(?:{'|'.join(WEEKDAYS)}))?"
_WINDOW = re.compile(rf"(?:(?P<days>{_DAYS}(?:,{_DAYS})*) )?(?P<opens>{_CLOCK})-(?P<closes>{_CLOCK})", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener binds: a host name or IP address without brackets, and a port (0 = any free one)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(value: object) -> Address:
    """The address in the text HOST:PORT, IPv6 in brackets. Raises ValueError."""
    if isinstance(value, Address):
        return value
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        good = _is_ip(host, version=6)
    else:
        good = _HOST.fullmatch(host) is not None
    if not (good and re.fullmatch("[0-9]{1,5}", port) and int(port) <= 65535):
        raise ValueError("must be HOST:PORT with a port from 0 to 65535, as in 127.0.0.1:8080 or [::1]:8080")
    return Address(host, int(port))


def did_you_mean(word: str, words: Iterable[str], *, cutoff: float = 0.6) -> str:
    """`; did you mean X?` for the nearest of the words, or nothing. Names of the user's choice need a higher `cutoff` than keys."""
    near = difflib.get_close_matches(word, list(words), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]}?" if near else ""


def harmless(text: str) -> bool:
    """Whether a text may stand in a message: short, and too simple to hold an address or a connection string."""
    return re.fullmatch(r"[\w.,:\[\]\"' -]{0,60}", text) is not None


def shown(value: object) -> str:
    """A single value as it would stand in the file, or nothing where it might hold a secret."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return str(value).lower() if len(str(value)) <= 60 else ""
    if isinstance(value, int | float):
        return repr(value)
    return f'"{value}"' if isinstance(value, str) and harmless(value) else ""


def decimal_number(text: str) -> Decimal | float:
    """A number of the file with the very digits that were written; infinite where no decimal holds its exponent."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return float(text)


def exact(value: object) -> object:
    """A number as the Decimal that was written; anything else as it is. Raises ValueError for what no money is."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return value
    number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    digits = len(number.as_tuple().digits)
    if number.is_finite() and (digits > MOST_DIGITS or (number and abs(number.adjusted()) > LARGEST_EXPONENT)):
        raise ValueError(f"must have at most {MOST_DIGITS} digits and not go beyond 10^{LARGEST_EXPONENT}")
    return number


def number_in(value: object) -> Decimal | None:
    """The same for a value that may be wrong: a finite number, or None."""
    try:
        number = exact(value)
    except ValueError:
        return None
    return number if isinstance(number, Decimal) and number.is_finite() else None


def _as_float(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def parse_clock(text: object) -> time | None:
    """The local time in the text HH:MM, or None."""
    return time.fromisoformat(text) if isinstance(text, str) and re.fullmatch(_CLOCK, text) else None


def parse_window(text: object) -> Window | None:
    """The window in the text "08:30-15:00" or "mon-fri 08:30-15:00" or "sun,mon-thu 17:00-02:00", or None."""
    found = _WINDOW.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    opens, closes = time.fromisoformat(found["opens"]), time.fromisoformat(found["closes"])
    return Window(opens, closes, frozenset(_weekdays((found["days"] or "").lower())))


def _weekdays(days: str) -> Iterator[int]:
    for part in days.split(",") if days else ():
        first, _, last = part.partition("-")
        number, length = WEEKDAYS.index(first), WEEKDAYS.index(last or first) - WEEKDAYS.index(first)
        yield from ((number + step) % 7 for step in range(length % 7 + 1))


def _window(value: str) -> str:
    window = parse_window(value)
    if window is None:
        raise ValueError('must be like "08:30-15:00" or "mon-fri 08:30-15:00"')
    if window.opens == window.closes != time():
        raise ValueError("must close at another time than it opens; a whole day is 00:00-00:00")
    return value


def _day(value: str) -> str:
    try:
        good = date.fromisoformat(value).isoformat() == value
    except ValueError:
        good = False
    if not good:
        raise ValueError("must be a date such as 2026-11-27")
    return value


def _is_ip(text: str, version: int | None = None) -> bool:
    try:
        return ipaddress.ip_address(text).version == version or version is None
    except ValueError:
        return False


def matching(pattern: str, sentence: str) -> AfterValidator:
    """A check that a text is of this pattern as a whole; the sentence says what it must be."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(sentence)
        return value

    return AfterValidator(check)


def _dsn(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.startswith(("postgresql://", "postgres://")) and "=" not in text:
        raise ValueError('must be "postgresql://USER:PASSWORD@HOST:PORT/DATABASE" or "host=HOST dbname=DATABASE ..."')
    return value


def _alert_kind(value: str) -> str:
    if value not in list(Kind):
        raise ValueError(f"must be one of {', '.join(Kind)}")
    return value


def _alert_url(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[a-z][a-z0-9+.-]{0,30}://[!-~]+", value.get_secret_value(), re.IGNORECASE):
        raise ValueError('must be an apprise URL such as "tgram://TOKEN/CHAT" or "mailto://USER:PASSWORD@HOST"')
    return value


def directory(value: object) -> object:
    """A path with ~ resolved. Raises ValueError."""
    if value == "":
        raise ValueError("must not be empty; leave the key out for the usual place")
    try:
        return Path(value).expanduser() if isinstance(value, str) else value
    except RuntimeError:
        raise ValueError("starts with ~, but this user has no home directory") from None


def host_name(value: str) -> str:
    """A host in lower case and without brackets. Raises ValueError."""
    bare = value.removeprefix("[").removesuffix("]")
    if not _is_ip(bare) and not _HOST.fullmatch(bare):
        raise ValueError("must be a host name or IP address, without a port")
    return bare.lower()


def network(value: str) -> str:
    """An address or network as it is. Raises ValueError."""
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise ValueError("must be an IP address or a network such as 10.0.0.0/8") from None
    return value


def web_address(value: str) -> str:
    """A base address without its trailing slash. Raises ValueError."""
    if not _is_web_address(value):
        raise ValueError('must be like "https://alerts.example.com", without a user, a query or a fragment')
    return value.rstrip("/")


def broker_url(value: str) -> str:
    """The same for an address that keys are sent to: plain http stays in private networks. Raises ValueError."""
    if value and not _is_web_address(value):
        raise ValueError('must be like "https://api.example.com", without a user, a query or a fragment')
    if value.startswith("http:") and not _is_private(urlsplit(value).hostname or ""):
        raise ValueError("must begin with https://; keys and orders go there, and http:// is for private networks only")
    return value.rstrip("/")


def _is_web_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return good and not re.search(r"[@?#\s]", value)


def _is_private(host: str) -> bool:
    """Whether a host is this machine or one beside it: a private address, or a name without a domain."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host


_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
Name = Annotated[str, matching(_NAME, "must be 1 to 64 letters, digits, _ . or -, the first a letter or digit")]
HeaderName = Annotated[str, matching("[A-Za-z][A-Za-z0-9-]{0,99}", "must be a header's name: letters, digits and -")]
Schema = Annotated[str, matching("[a-z_][a-z0-9_]{0,62}", "must be 1 to 63 of a-z, 0-9 and _, the first no digit")]
Symbol = Annotated[str, matching("[!-~]{1,64}", "must be 1 to 64 visible ASCII characters without spaces")]
Listen = Annotated[Address, BeforeValidator(parse_address), PlainSerializer(str)]
Dsn = Annotated[SecretStr, AfterValidator(_dsn)]
AlertKind = Annotated[str, AfterValidator(_alert_kind)]
AlertUrl = Annotated[SecretStr, AfterValidator(_alert_url)]


Real = Annotated[float, BeforeValidator(_as_float)]
Amount = Annotated[Decimal, BeforeValidator(exact)]
Clock = Annotated[str, matching(_CLOCK, 'must be a local time such as "17:00"')]
WindowText = Annotated[str, AfterValidator(_window)]
Day = Annotated[str, AfterValidator(_day)]
Words = Annotated[
    str,
    matching(
        r"(?:[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,98}\S)?)?", "must be at most 100 characters without spaces around"
    ),
]


class Section(BaseModel):
    """A table of the file. Nothing in it changes; unknown keys and values of another type are faults."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True, validate_default=True
    )
