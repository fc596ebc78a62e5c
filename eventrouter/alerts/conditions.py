"""What is up or down in this process, and cannot stand in the database: logins, the listener, Postgres itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4

from eventrouter.domain.notices import Kind, Notice, Severity, plain_notice

_TITLES = {
    Kind.CONNECTOR: ("Connection {subject} is down", "Connection {subject} is open again"),
    Kind.LISTENER: ("The listener is down", "The listener is up again"),
    Kind.DATABASE: ("Postgres is away", "Postgres is back"),
}
_SEVERITIES = {Kind.CONNECTOR: Severity.CRITICAL, Kind.LISTENER: Severity.WARNING, Kind.DATABASE: Severity.CRITICAL}
_ADVICE = {
    Kind.CONNECTOR: "Nothing is sent over it meanwhile.",
    Kind.LISTENER: "Tasks are found by the poll meanwhile.",
    Kind.DATABASE: "Nothing is sent meanwhile; alerts are kept on disk where there is a spool.",
}


class _Key(NamedTuple):
    kind: Kind
    subject: str


@dataclass(slots=True)
class Conditions:
    """Tells once when something has been down for `down_for_s` seconds, and once when it is up again. `where`: this process."""

    down_for_s: float
    where: str
    _since: dict[_Key, float] = field(default_factory=dict)
    _told: dict[_Key, float] = field(default_factory=dict)

    def look(self, kind: Kind, faults: Mapping[str, str | None], now_s: float, at: datetime) -> list[Notice]:
        """What to tell. `faults`: subject → why it is down, None while it is up; `now_s`: seconds of a steady clock."""
        notices = (self._one(_Key(kind, subject), fault, now_s, at) for subject, fault in faults.items())
        return [each for each in notices if each is not None]

    def _one(self, key: _Key, fault: str | None, now_s: float, at: datetime) -> Notice | None:
        down, up = (title.format(subject=key.subject) for title in _TITLES[key.kind])
        if fault is None:
            self._since.pop(key, None)
            began = self._told.pop(key, None)
            if began is None:
                return None
            body = f"It was down for {now_s - began:.0f} s, as {self.where} saw it."
            return self._notice(key, Severity.INFO, up, body, at)
        since = self._since.setdefault(key, now_s)
        if key in self._told or now_s - since < self.down_for_s:
            return None
        self._told[key] = since
        body = f"{fault} Seen by {self.where} for {now_s - since:.0f} s. {_ADVICE[key.kind]}"
        return self._notice(key, _SEVERITIES[key.kind], down, body, at)

    def _notice(self, key: _Key, severity: Severity, title: str, body: str, at: datetime) -> Notice:
        # a topic of its own lets a commit whose answer was lost be repeated
        return plain_notice(key.kind, severity, title, body, topic=f"{key.kind}/{uuid4()}", at=at)
