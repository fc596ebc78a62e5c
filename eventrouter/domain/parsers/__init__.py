"""From an alert's bytes to a Signal, or to the code and sentence that say why not.

The shape of the body decides the format, never its content type: JSON, a form, key=value pairs, words. Secrets are taken
out before anything is understood, so that none can reach a signal, a refusal or a note.
"""

import re
from dataclasses import dataclass, field, replace

from eventrouter.domain.parsers.bodies import MOST_BYTES, read_body
from eventrouter.domain.parsers.secret_fields import Findings, redact, scrubbed, without_known
from eventrouter.domain.signals import Signal
from eventrouter.errors import SignalRefused

__all__ = ["MOST_BYTES", "Reading", "clean_text", "format_name", "read_alert"]

_FORMATS = {"stage13b": "eventrouter's own format", "generic": "JSON in nobody's form"}
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was made of a body: exactly one of `signal` and `refusal`.

    `redacted` is the body with every secret value replaced by [redacted], and otherwise byte for byte the same.
    `secrets` are those values, in the order found: candidates for the token of an alert that carries its own.
    `family` is the format that was recognised, also in a body that was then refused; None if none was.
    """

    redacted: bytes
    secrets: tuple[str, ...] = field(repr=False)
    signal: Signal | None
    refusal: SignalRefused | None
    family: str | None = None


def read_alert(raw: bytes, *, known_secrets: tuple[str, ...] = ()) -> Reading:
    """Reads a body. Never raises, for any bytes; linear in their number.

    `known_secrets`, such as the token that came with it, are taken out wherever they stand, in any encoding.
    """
    findings = Findings(known=tuple(filter(None, known_secrets)))
    for secret in findings.known:  # as it is written it stays until the end: [redacted] in its place has another shape
        raw = without_known(raw, secret, but_plain=True)
    signal: Signal | None = None
    refusal: SignalRefused | None = None
    try:
        signal = read_body(raw, findings)
    except SignalRefused as refused:
        refusal = refused
    except Exception:  # an alert that breaks a parser must still be stored and answered, and never be traded
        refusal = SignalRefused(
            "READING_FAILED", "The alert could not be read, by a fault of eventrouter; please report it with the body."
        )
    redacted, secrets = redact(raw, findings.secrets)
    hidden = (*findings.known, *secrets)
    if signal is not None:
        signal = replace(signal, repairs=tuple(_telling(sentence, hidden) for sentence in findings.repairs))
    if refusal is not None:
        field = _telling(refusal.field, hidden) if refusal.field else None
        refusal = SignalRefused(refusal.code, _telling(refusal.message, hidden), field)
    return Reading(_without(redacted, findings.known), secrets, signal, refusal, findings.family)


def format_name(family: str) -> str:
    """A family as people call it."""
    return _FORMATS.get(family, family)


def clean_text(text: str, known_secrets: tuple[str, ...]) -> str:
    """A text that came beside the body, such as a header, without the known secrets and those that it announces."""
    return str(scrubbed(_without(text.encode(), known_secrets).decode("utf-8", "replace"), known_secrets))


def _without(raw: bytes, secrets: tuple[str, ...]) -> bytes:
    for secret in secrets:
        raw = without_known(raw, secret)
    return raw


def _telling(text: str, secrets: tuple[str, ...]) -> str:
    """A sentence that quotes the body, without what must not be told and what no store takes."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(scrubbed(text, secrets)).encode("utf-8", "replace").decode())
