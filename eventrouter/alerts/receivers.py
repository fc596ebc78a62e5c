"""Who is told: one receiver for each apprise URL. A URL is a secret, so nothing that leaves here has a part of it.

apprise blocks, and some of its services know no time-out. So each message has a thread of its own, which nobody waits for
longer than the time-out, and a receiver that still hangs in its last message gets no second thread.
"""

import asyncio
import hashlib
import logging
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from eventrouter.config import AlertsConfig
from eventrouter.domain.notices import Message, Severity, harmless
from eventrouter.errors import ConfigError
from eventrouter.logs import REDACTED, redact_text

if TYPE_CHECKING:
    from apprise import NotifyBase

_MOST_SAID = 200
_MOST_FILE_BYTES = 65_536
_THREAD = "eventrouter-alert"
_LIBRARIES = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib", "charset_normalizer", "paho")
_ALWAYS = ("apprise", "paho")
_LEAST_SECRET = 3  # a shorter part of a URL is none, and would be found in every word


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a message at one receiver, in words without secrets."""

    receiver: str
    taken: bool
    said: str


class Receiver(Protocol):
    """Somebody who can be told. `name` is the same in every process, and tells nothing of the address."""

    @property
    def name(self) -> str:
        """For logs, metrics and the database."""
        ...

    async def send(self, message: Message, timeout_s: float) -> Answer:
        """Sends one message; returns within the time-out, and never raises for what the other side does."""
        ...


class AppriseReceiver:
    """One apprise URL. Raises ConfigError, which names it by `key`, where apprise does not know it."""

    def __init__(self, url: str, key: str) -> None:
        self._service = _service(url, key)
        self._secrets = _secrets(url)
        # three bytes of a hash tell receivers apart, and nobody finds the URL by them
        self.name = f"{url.partition(':')[0].lower()}-{hashlib.sha256(url.encode()).hexdigest()[:6]}"
        self._busy: threading.Thread | None = None

    async def send(self, message: Message, timeout_s: float) -> Answer:
        """See Receiver."""
        if self._busy is not None and self._busy.is_alive():
            return Answer(self.name, taken=False, said="It still hangs in the message before.")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Answer] = loop.create_future()

        def finish(answer: Answer) -> None:
            if not done.done():
                done.set_result(answer)

        def work() -> None:
            answer = self._send(message)
            try:
                loop.call_soon_threadsafe(finish, answer)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

        # a daemon: a service that hangs must not keep the process from ending
        self._busy = threading.Thread(target=work, name=_THREAD, daemon=True)
        self._busy.start()
        try:
            async with asyncio.timeout(timeout_s):
                return await done
        except TimeoutError:
            return Answer(self.name, taken=False, said=f"No answer within {timeout_s:g} s.")

    def _send(self, message: Message) -> Answer:
        from apprise import NotifyFormat, NotifyType

        kinds = {Severity.INFO: NotifyType.INFO, Severity.WARNING: NotifyType.WARNING}
        heard = _Heard.here()
        try:
            taken = self._service.notify(
                body=message.body,
                title=message.title,
                notify_type=kinds.get(message.severity, NotifyType.FAILURE),
                body_format=NotifyFormat.TEXT,
            )
        except Exception as error:  # a service's plugin may raise anything
            heard.lines.append(f"{type(error).__name__}: {error}")
            taken = False
        said = "taken" if taken else self._clean(" ".join(heard.lines)) or "It was not taken, and nothing was said why."
        return Answer(self.name, taken=bool(taken), said=said)

    def _clean(self, said: str) -> str:
        for secret in self._secrets:
            said = re.sub(re.escape(secret), REDACTED, said, flags=re.IGNORECASE)
        return harmless(redact_text(said), _MOST_SAID)


class _Heard(threading.local):
    """What the libraries of this thread's message log; it goes nowhere else, for they name addresses."""

    lines: list[str]

    @classmethod
    def here(cls) -> "_Heard":
        _heard.lines = []
        return _heard


_heard = _Heard()


class _Ears(logging.Filter):
    """Takes the records of our threads out of the libraries' loggers, and apprise's in any thread: what it says of a URL that it
    cannot read has the URL in it. Warnings are kept as what the receiver said.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        ours = threading.current_thread().name == _THREAD
        if ours and record.levelno >= logging.WARNING and record.name.partition(".")[0] == "apprise":
            _heard.lines.append(record.getMessage())
        # a service of apprise may have threads of its own; the other libraries speak for their host elsewhere
        return not ours and record.name.partition(".")[0] not in _ALWAYS


_ears = _Ears()


def receivers_of(settings: AlertsConfig) -> tuple[AppriseReceiver, ...]:
    """One for each URL of the settings and of their file, each once. Raises ConfigError, without a URL in it."""
    urls = [(url.get_secret_value(), f"alerts.urls[{number}]") for number, url in enumerate(settings.urls)]
    if settings.urls_file is not None:
        urls += [(url, f"{settings.urls_file}, line {line}") for line, url in _lines(settings.urls_file)]
    return tuple(AppriseReceiver(url, key) for url, key in dict(reversed(urls)).items())[::-1]


def _lines(file: Path) -> list[tuple[int, str]]:
    """Number and text of each line that holds a URL."""
    try:
        with file.open("rb") as opened:
            found = os.fstat(opened.fileno())
            text = opened.read(_MOST_FILE_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"alerts.urls_file: {file} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    if found.st_mode & 0o077:
        raise ConfigError(f"alerts.urls_file: others may read {file}: run chmod 600 {file}.")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _service(url: str, key: str) -> "NotifyBase":
    from apprise import Apprise, AppriseAsset, PersistentStoreMode

    # nothing on disk, no redirect of what is secret to somebody else
    asset = AppriseAsset(storage_mode=PersistentStoreMode.MEMORY, http_redirects=False, secure_logging=True)
    _cover_ears()
    service: Any = Apprise.instantiate(url, asset=asset)
    if service is None:
        raise ConfigError(
            f"{key}: apprise knows no such URL; see https://appriseit.com for how those of a service look."
        )
    _cover_ears()
    return service  # type: ignore[no-any-return]


def _cover_ears() -> None:
    """Puts the filter on each logger of the libraries that there is: a logger's filter does not cover those below it."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _LIBRARIES]
    for name in {*names, *_LIBRARIES}:
        logging.getLogger(name).addFilter(_ears)


def _secrets(url: str) -> Sequence[str]:
    """The URL and every part of it, as it stands and decoded, the longest first."""
    rest = url.partition("://")[2]
    parts = {url, rest, *re.split(r"[/?&#@:=,]", rest), *re.split(r"[/?&#]", rest)}
    parts |= {unquote(part) for part in parts}
    return sorted((part for part in parts if len(part) >= _LEAST_SECRET), key=len, reverse=True)
