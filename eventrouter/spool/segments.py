"""The spool's files: appended to and forced to disk before anybody is told, read from the front, deleted once stored.

    place/database/lock              an flock of the one process that uses the directory
    place/database/00000001.spool    a segment, one line per alert
    place/database/00000001.damaged  a finished segment of which something could not be read or stored, kept for a person

An alert of one database must never become an order in another, so each database has a directory of its own. A line
without an end is what a crash cut off: nobody was told that it is kept, and it is dropped.
"""

import errno
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from eventrouter.errors import SpoolError, SpoolFull, StoreUnavailable
from eventrouter.logs import get_logger
from eventrouter.spool.record import decode, encode
from eventrouter.store.embedded_home import open_lock, try_lock_exclusive
from eventrouter.store.signals import StoredAlert

if sys.platform == "darwin":
    import fcntl

LIMIT_BYTES = 256 * 1024 * 1024
SEGMENT_BYTES = 4 * 1024 * 1024

_log = get_logger("eventrouter.spool")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(slots=True)
class Segment:
    """One file. `size`: bytes that are known to be on disk; `waiting`: alerts that are not known to be stored."""

    path: Path
    size: int = 0
    waiting: int = 0
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """The oldest alerts, in order, and where they end in their segment. `unreadable`: damaged lines among them."""

    segment: Segment
    alerts: tuple[StoredAlert, ...]
    end: int
    unreadable: int


class Spool:
    """The alerts of one database that wait on disk. All methods block; one thread may append while another reads.

    Raises SpoolError when the directory cannot be used, or another process uses it.
    """

    def __init__(
        self, place: Path, database: str, *, limit_bytes: int = LIMIT_BYTES, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.directory = place / database
        self._limit_bytes = limit_bytes
        self._segment_bytes = segment_bytes
        self._segments: list[Segment] = []
        self._read_to = 0  # in the first segment
        self._tail_fd: int | None = None  # of the last segment, while lines may still be added to it
        self._mutex = threading.Lock()
        self._closed = False
        try:
            _make_private(self.directory)
            self._lock_fd = _take_lock(self.directory)
        except OSError as error:
            raise SpoolError(f"The spool in {self.directory} cannot be used: {error}.") from error
        try:
            self._recover()
        except OSError as error:
            os.close(self._lock_fd)
            raise SpoolError(f"The spool in {self.directory} cannot be read: {error}.") from error
        _tell_of_others(place, database)

    @property
    def waiting(self) -> int:
        """Number of alerts that are not known to be stored."""
        return sum(segment.waiting for segment in tuple(self._segments))  # another thread may add one

    @property
    def pending(self) -> bool:
        """Whether there is anything to store, or a file to be done with."""
        return bool(self._segments)

    def append(self, alerts: Sequence[StoredAlert]) -> None:
        """Returns when all of these are on disk. Raises SpoolFull or StoreUnavailable when none of them is kept."""
        lines = b"".join(map(encode, alerts))
        with self._mutex:
            if self._closed:
                raise StoreUnavailable("spool: stopped.")
            if sum(segment.size for segment in self._segments) + len(lines) > self._limit_bytes:
                raise SpoolFull(f"spool: {self.directory} holds {self._limit_bytes} bytes, the most it may.")
            try:
                self._write(lines, len(alerts))
            except OSError as error:
                kind = SpoolFull if error.errno in _NO_ROOM else StoreUnavailable
                raise kind(f"spool: {self.directory} cannot be written: {error}.") from error

    def head(self, most: int) -> Batch:
        """The oldest alerts, at most so many; only while `pending`. Raises OSError."""
        segment, start = self._segments[0], self._read_to
        alerts: list[StoredAlert] = []
        read_to, unreadable = start, 0
        try:
            for end, alert in _lines(segment.path, start, segment.size):
                read_to = end
                if alert is None:
                    unreadable += 1
                else:
                    alerts.append(alert)
                if len(alerts) == most:
                    break
        except FileNotFoundError:
            _log.error("spool_segment_gone", file=str(segment.path), alerts=segment.waiting)
            read_to = segment.size
        return Batch(segment, tuple(alerts), read_to, unreadable)

    def drop(self, batch: Batch, *, keep: bool = False) -> None:
        """Forgets a batch that is committed; its segment is deleted with its last line, or kept aside for a person."""
        segment = batch.segment
        with self._mutex:
            if self._closed:
                return
            segment.waiting -= len(batch.alerts)
            segment.damaged |= keep or batch.unreadable > 0
            self._read_to = batch.end
            if batch.end < segment.size:
                return
            if len(self._segments) == 1:
                self._seal()
            self._segments.pop(0)
            self._read_to = 0
            _put_away(segment)

    def close(self) -> None:
        """Lets go of the files and the lock; what waits stays on disk. Idempotent."""
        with self._mutex:
            if not self._closed:
                self._closed = True
                self._seal()
                os.close(self._lock_fd)

    def _write(self, lines: bytes, count: int) -> None:
        if self._tail_fd is not None:
            deleted = os.fstat(self._tail_fd).st_nlink == 0
            if deleted or self._segments[-1].size >= self._segment_bytes:
                self._seal()
        fresh = self._tail_fd is None
        tail = Segment(self.directory / f"{self._next:08}.spool") if fresh else self._segments[-1]
        if fresh:
            self._tail_fd = _create(tail.path)
            self._next += 1
        assert self._tail_fd is not None
        try:
            _write_all(self._tail_fd, lines)
            _force(self._tail_fd)
            if fresh:
                _force_directory(self.directory)
        except OSError:
            self._take_back(tail)
            raise
        tail.size += len(lines)
        tail.waiting += count
        if fresh:
            self._segments.append(tail)

    def _take_back(self, tail: Segment) -> None:
        """Removes what a failed append left: it will be answered 503. After a failed fsync nothing more goes into this file."""
        assert self._tail_fd is not None
        with suppress(OSError):
            os.ftruncate(self._tail_fd, tail.size)
            _force(self._tail_fd)
        self._seal()
        if tail.size == 0:
            with suppress(OSError):
                tail.path.unlink()

    def _seal(self) -> None:
        descriptor, self._tail_fd = self._tail_fd, None
        if descriptor is not None:
            os.close(descriptor)

    def _recover(self) -> None:
        """Finds what an earlier process left."""
        numbered = [
            path for path in self.directory.iterdir() if path.suffix in (".spool", ".damaged") and path.stem.isdecimal()
        ]
        self._next = 1 + max((int(path.stem) for path in numbered), default=0)
        for path in sorted(path for path in numbered if path.suffix == ".spool"):
            segment = _examined(path)
            if not segment.waiting:
                _put_away(segment)
            else:
                self._segments.append(segment)
        if self._segments:
            _log.info("spool_found", directory=str(self.directory), alerts=self.waiting)


def _lines(path: Path, start: int, stop: int) -> Iterator[tuple[int, StoredAlert | None]]:
    """Each whole line as (its end, its alert or None where it is damaged)."""
    with path.open("rb") as file:
        file.seek(start)
        end = start
        while end < stop and (line := file.readline()).endswith(b"\n"):
            end += len(line)
            yield end, decode(line)


def _examined(path: Path) -> Segment:
    """A segment that an earlier process wrote, cut where its last whole line ends."""
    segment = Segment(path)
    found = path.stat().st_size
    for end, alert in _lines(path, 0, found):
        segment.size = end
        if alert is not None:
            segment.waiting += 1
        else:
            segment.damaged = True
            _log.error("spool_line_damaged", file=str(path), line_ends_at=end)
    if segment.size < found:
        _log.warning("spool_torn_line_dropped", file=str(path), bytes=found - segment.size)
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, segment.size)
            _force(descriptor)
        finally:
            os.close(descriptor)
    return segment


def _put_away(segment: Segment) -> None:
    """Deletes a segment with nothing left to store. If that fails it is stored again after the next start, to no effect."""
    try:
        if segment.damaged:
            segment.path.rename(segment.path.with_suffix(".damaged"))
            _log.error("spool_segment_kept", file=str(segment.path.with_suffix(".damaged")))
        else:
            segment.path.unlink()
    except OSError as error:
        _log.warning("spool_segment_not_deleted", file=str(segment.path), error=str(error))


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _force(descriptor: int) -> None:
    """Returns when the file's bytes are on the disk itself."""
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync there leaves them in the disk's own cache
    else:
        os.fsync(descriptor)


def _force_directory(directory: Path) -> None:
    """Returns when the directory's entries are on disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_private(directory: Path) -> None:
    """Makes the spool's two directories, private, and what is missing above them; an old one keeps its mode."""
    for path in (*reversed(directory.parents), directory):
        if path.exists():
            continue
        path.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0 and path not in (directory, directory.parent):
            path.chmod(0o711)  # the embedded server, which never runs as root, may come to live here
        _force_directory(path.parent)


def _take_lock(directory: Path) -> int:
    if sys.platform == "win32":
        raise SpoolError("There is no spool on Windows: set [server] spool = false.")
    descriptor = open_lock(directory / "lock")
    if try_lock_exclusive(descriptor):
        return descriptor
    os.close(descriptor)
    raise SpoolError(f"The spool in {directory} is used by another process.")


def _tell_of_others(place: Path, database: str) -> None:
    """Warns of alerts that wait for another database and that nobody looks after."""
    with suppress(OSError):
        for directory in place.iterdir():
            if directory.name == database or not any(directory.glob("*.spool")):
                continue
            descriptor = open_lock(directory / "lock")
            if try_lock_exclusive(descriptor):
                _log.warning("spool_of_another_database", directory=str(directory))
            os.close(descriptor)
