"""SignalR's JSON protocol: records that end with 0x1e, in text or binary frames, whole or in parts."""

import json
from collections.abc import Mapping
from typing import Any

from eventrouter.connectors.projectx.json_values import Unreadable, parse_object

SEPARATOR = "\x1e"
INVOCATION, COMPLETION, PING, CLOSE = 1, 3, 6, 7
HANDSHAKE = {"protocol": "json", "version": 1}
MOST_BYTES = 4 * 1024 * 1024


def record(message: Mapping[str, Any]) -> str:
    """A message as it goes on the wire."""
    return json.dumps(message) + SEPARATOR


class Records:
    """Cuts frames into records; a record may go on in the next frame."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, frame: str | bytes) -> list[dict[str, Any]]:
        """The records that this frame completes. Raises Unreadable."""
        data = self._rest + (frame.encode() if isinstance(frame, str) else frame)
        *whole, self._rest = data.split(SEPARATOR.encode())
        if len(self._rest) > MOST_BYTES:
            raise Unreadable("a record has no end")
        try:
            return [parse_object(text.decode()) for text in whole]
        except UnicodeDecodeError:
            raise Unreadable("a record is not UTF-8") from None
