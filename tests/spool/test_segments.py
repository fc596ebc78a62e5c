"""The spool's files: what was acknowledged is there after any crash, in order; what was not does no harm."""

import dataclasses
import errno
import os
import shutil
import stat
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.trades import Ask
from eventrouter.errors import SpoolError, SpoolFull, StoreUnavailable
from eventrouter.spool import Spool
from eventrouter.spool.record import decode, encode
from eventrouter.store.signals import StoredAlert
from tests.spool.conftest import alert

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=3)
any_alert = st.builds(
    StoredAlert,
    ask=st.none() | st.builds(Ask, payload=json_objects, record=json_objects),
    headers=st.dictionaries(st.text(), st.text(), max_size=2),
)


def opened(place: Path, **limits: int) -> Spool:
    """The spool of one database below this directory."""
    return Spool(place, "1.1.public", **limits)


def drained(spool: Spool, most: int = 500) -> list[UUID]:
    """The uids of everything in the spool, in order; it is empty then."""
    uids: list[UUID] = []
    while spool.pending:
        batch = spool.head(most)
        uids += [each.uid for each in batch.alerts]
        spool.drop(batch)
    return uids


def files(spool: Spool) -> list[str]:
    """The names of the spool's files, without its lock."""
    return sorted(path.name for path in spool.directory.iterdir() if path.name != "lock")


# records


@given(any_alert)
def test_a_line_reads_back_as_the_alert_that_was_written(written: StoredAlert) -> None:
    """Every field of every type, to the microsecond and the last byte."""
    line = encode(written)
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert decode(line) == written


@given(any_alert, st.data())
def test_a_damaged_line_is_no_alert(written: StoredAlert, data: st.DataObject) -> None:
    """A changed byte, wherever it is, is noticed."""
    line = bytearray(encode(written))
    line[data.draw(st.integers(0, len(line) - 2))] ^= data.draw(st.integers(1, 255))
    assert decode(bytes(line)) is None


def test_every_field_of_an_alert_is_kept() -> None:
    """A field that is added to the alert later cannot be forgotten here."""
    values = {field.name for kind in (StoredAlert, Ask) for field in dataclasses.fields(kind)}
    assert all(f'"{name}":'.encode() in encode(alert()) for name in values)


# order, segments and limits


def test_alerts_come_out_in_the_order_they_went_in(tmp_path: Path) -> None:
    """Across batches, segments and a restart; nothing is left on disk then."""
    alerts = [alert(number) for number in range(50)]
    spool = opened(tmp_path, segment_bytes=2_000)
    for start in range(0, 50, 3):
        spool.append(alerts[start : start + 3])
    assert (spool.waiting, len(files(spool)) > 5) == (50, True)
    first = spool.head(2)
    spool.drop(first)
    spool.close()
    spool = opened(tmp_path)
    assert [each.uid for each in first.alerts] == [each.uid for each in alerts[:2]]
    assert drained(spool, most=2) == [each.uid for each in alerts]
    assert (spool.waiting, spool.pending, files(spool)) == (0, False, [])


def test_alerts_may_come_while_others_go(tmp_path: Path) -> None:
    """A segment that is read up to its end goes on with what was appended meanwhile."""
    alerts = [alert(number) for number in range(4)]
    spool = opened(tmp_path)
    spool.append(alerts[:2])
    batch = spool.head(500)
    spool.append(alerts[2:3])
    spool.drop(batch)
    spool.append(alerts[3:])
    assert drained(spool) == [each.uid for each in alerts[2:]]
    spool.append(alerts[:1])
    assert drained(spool) == [alerts[0].uid]


def test_a_segment_lives_until_its_last_alert_is_dropped(tmp_path: Path) -> None:
    """A process that dies before that finds all of them again."""
    alerts = [alert(number) for number in range(3)]
    spool = opened(tmp_path)
    spool.append(alerts)
    spool.drop(spool.head(2))
    assert (spool.waiting, len(files(spool))) == (1, 1)
    spool.close()
    assert drained(opened(tmp_path)) == [each.uid for each in alerts]


def test_the_spool_has_a_limit(tmp_path: Path) -> None:
    """What does not fit is refused as a whole, and there is room again once something is stored."""
    spool = opened(tmp_path, limit_bytes=3 * len(encode(alert())))
    kept = [alert(1), alert(2)]
    spool.append(kept)
    with pytest.raises(SpoolFull, match="the most it may"):
        spool.append([alert(3), alert(4)])
    assert drained(spool) == [each.uid for each in kept]
    spool.append([alert(3), alert(4)])


def test_directories_and_files_are_private(tmp_path: Path) -> None:
    """Nobody else may read alerts; a directory that was there keeps its mode."""
    tmp_path.chmod(0o755)
    spool = opened(tmp_path / "above" / "spool")
    spool.append([alert()])
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (spool.directory, *tmp_path.rglob("*"))}
    above = modes.pop(tmp_path / "above")
    assert above == (0o711 if os.geteuid() == 0 else 0o700)
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


# one process, one database


def test_two_do_not_share_a_spool(tmp_path: Path) -> None:
    """The second is told so; it may have the spool once the first has let go."""
    first = opened(tmp_path)
    with pytest.raises(SpoolError, match="used by another process"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


def test_alerts_of_another_database_stay_where_they_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They become no orders here, and a warning says where they are, unless somebody looks after them."""
    other = Spool(tmp_path, "2.2.public")
    other.append([alert()])
    assert not opened(tmp_path).pending
    assert "spool_of_another_database" not in caplog.text
    other.close()
    assert not Spool(tmp_path, "3.3.public").pending
    assert "spool_of_another_database" in caplog.text
    assert str(other.directory) in caplog.text


def test_a_directory_that_cannot_be_is_explained(tmp_path: Path) -> None:
    """The error names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="file/spool"):
        opened(tmp_path / "file" / "spool")


# crashes


@pytest.mark.parametrize("tail", [b"", b"0", b"deadbeef {", b"\0" * 4096, encode(alert())[:-1]], ids=len)
def test_a_torn_line_is_dropped(tmp_path: Path, tail: bytes) -> None:
    """What was cut off was never acknowledged: it is gone, and the alerts before it and after it are whole."""
    before, after = alert(1), alert(2)
    spool = opened(tmp_path)
    spool.append([before])
    spool.close()
    (segment,) = spool.directory.glob("*.spool")
    whole = segment.read_bytes()
    segment.write_bytes(whole + tail)
    spool = opened(tmp_path)
    assert segment.read_bytes() == whole
    spool.append([after])
    assert drained(spool) == [before.uid, after.uid]
    assert files(spool) == []


def test_a_segment_of_nothing_but_a_torn_line_is_deleted(tmp_path: Path) -> None:
    """Its number is not used again."""
    spool = opened(tmp_path)
    (spool.directory / "00000007.spool").write_bytes(b"0123")
    spool.close()
    spool = opened(tmp_path)
    assert (spool.pending, files(spool)) == (False, [])
    spool.append([alert()])
    assert files(spool) == ["00000008.spool"]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_line_damaged_later_costs_no_other(tmp_path: Path, number: int) -> None:
    """It was acknowledged once, so it is kept for a person, and the lines around it are stored."""
    alerts = [alert(number) for number in range(3)]
    spool = opened(tmp_path)
    spool.append(alerts)
    spool.close()
    (segment,) = spool.directory.glob("*.spool")
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[number] = lines[number].replace(b"T-", b"U-")
    segment.write_bytes(b"".join(lines))
    spool = opened(tmp_path)
    assert spool.waiting == 2
    assert drained(spool, most=1) == [each.uid for index, each in enumerate(alerts) if index != number]
    assert files(spool) == ["00000001.damaged"]
    assert lines[number] in (spool.directory / "00000001.damaged").read_bytes()


def test_a_segment_deleted_by_hand_stops_nothing(tmp_path: Path) -> None:
    """What was in it is gone; what comes is kept."""
    spool = opened(tmp_path)
    spool.append([alert(1)])
    (spool.directory / "00000001.spool").unlink()
    later = alert(2)
    spool.append([later])
    assert drained(spool) == [later.uid]


class Disk:
    """What a disk would hold after the power is cut: bytes that were forced, under names that were forced."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        self._fsync = os.fsync
        self._forced: dict[int, bytes] = {}
        self._named: dict[str, int] = {}
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, descriptor: int) -> None:
        """Remembers what is forced."""
        self._fsync(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self._named = {path.name: path.stat().st_ino for path in self._directory.glob("*.spool")}
        else:
            inode = os.fstat(descriptor).st_ino
            (path,) = (path for path in self._directory.glob("*.spool") if path.stat().st_ino == inode)
            self._forced[inode] = path.read_bytes()

    def after_the_cut(self, place: Path) -> Path:
        """A directory with what is left."""
        shutil.rmtree(place, ignore_errors=True)
        (place / self._directory.name).mkdir(parents=True)
        for name, inode in self._named.items():
            (place / self._directory.name / name).write_bytes(self._forced.get(inode, b""))
        return place


def test_what_is_acknowledged_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever `append` has returned, the disk itself holds the alerts and the names of their files."""
    spool = opened(tmp_path / "spool", segment_bytes=1_500)
    disk = Disk(spool.directory, monkeypatch)
    acknowledged: list[UUID] = []
    for number in range(12):
        each = alert(number)
        spool.append([each])
        acknowledged.append(each.uid)
        left = opened(disk.after_the_cut(tmp_path / "left"))
        assert drained(left) == acknowledged
        left.close()
    assert len(files(spool)) > 2


def _failing(call: str, error: int, monkeypatch: pytest.MonkeyPatch, *, after: int = 0) -> None:
    """From its `after`-th call on, this function of os fails; a write does half of its work before."""
    real = getattr(os, call)
    calls = 0

    def fail(descriptor: int, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            if call == "write" and calls == after + 1:
                return real(descriptor, arguments[0][: len(arguments[0]) // 2])
            raise OSError(error, os.strerror(error))
        return real(descriptor, *arguments)

    monkeypatch.setattr(os, call, fail)


@pytest.mark.parametrize(("error", "expected"), [(errno.ENOSPC, SpoolFull), (errno.EIO, StoreUnavailable)])
@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("begun", [True, False], ids=["in a segment", "in a new one"])
def test_a_disk_that_fails_keeps_nothing_and_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int, expected: type[Exception], begun: bool
) -> None:
    """What was refused does not turn up later; what was kept before and comes after is there."""
    before, after = [alert(1)] if begun else [], alert(3)
    spool = opened(tmp_path)
    if begun:
        spool.append(before)
    with monkeypatch.context() as broken:
        _failing(call, error, broken)
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as raised:
                spool.append([alert(2)])
            assert raised.type is expected
    assert spool.waiting == len(before)
    spool.append([after])
    spool.close()
    assert drained(opened(tmp_path)) == [*(each.uid for each in before), after.uid]


def test_a_name_that_is_not_forced_is_not_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file is of no use when its directory entry is lost."""
    spool = opened(tmp_path)
    with monkeypatch.context() as broken:
        _failing("fsync", errno.EIO, broken, after=1)
        with pytest.raises(StoreUnavailable):
            spool.append([alert()])
    assert (spool.pending, files(spool)) == (False, [])


def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    """An alert that comes while the service stops is not lost silently."""
    spool = opened(tmp_path)
    spool.close()
    spool.close()
    with pytest.raises(StoreUnavailable):
        spool.append([alert()])
