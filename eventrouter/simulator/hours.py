"""When CME's electronic market is open."""

from datetime import datetime, time
from zoneinfo import ZoneInfo

CHICAGO = ZoneInfo("America/Chicago")
_OPENS, _CLOSES = time(17), time(16)


def is_open(at: datetime) -> bool:
    """Sunday 17:00 to Friday 16:00 in Chicago, closed every day from 16:00 to 17:00. Holidays are trading days here."""
    local = at.astimezone(CHICAGO)
    evening, day = local.time() >= _OPENS, local.time() < _CLOSES
    match local.weekday():
        case 5:
            return False
        case 6:
            return evening
        case 4:
            return day
        case _:
            return day or evening
