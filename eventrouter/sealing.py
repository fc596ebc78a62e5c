"""Seals history once a minute, so that nobody can change what happened before and make it look untouched."""

import asyncio

from eventrouter.errors import StoreError, StoreUnavailable
from eventrouter.logs import get_logger
from eventrouter.store.chain import seal
from eventrouter.store.connect import Pool

SEAL_EVERY_S = 60.0
_log = get_logger("eventrouter.sealing")


async def keep_sealing(pool: Pool, *, every_s: float = SEAL_EVERY_S) -> None:
    """Seals now and then every `every_s` seconds; any number of processes may. Runs until cancelled."""
    while True:
        try:
            sealed = await seal(pool)
        except StoreUnavailable as error:
            _log.debug("not_sealed", error=str(error))  # others tell that Postgres is away; the next seal covers it all
        except StoreError as error:
            _log.error("not_sealed", error=str(error))
        else:
            if sealed is not None:
                _log.debug("sealed", seal=sealed)
        await asyncio.sleep(every_s)
