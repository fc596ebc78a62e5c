"""The spool: alerts on disk while Postgres is away.

An alert that cannot be committed is appended to a file and answered once it is forced to disk. While anything waits there
new alerts join it, so that their order stays. It is stored as soon as Postgres answers, as what it was understood to be
when it came and with the time when it came; its uid makes storing it twice the same as storing it once.
"""

from eventrouter.spool.segments import Spool
from eventrouter.spool.writer import Spooled, SpoolWriter

__all__ = ["Spool", "SpoolWriter", "Spooled"]
