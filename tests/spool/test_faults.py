"""What the spool cannot do, and who has none: a clear 503, and nothing that was kept is lost."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventrouter.spool import Spool, SpoolWriter, segments, writer
from eventrouter.store.batch import Batcher
from tests.processes import until_async
from tests.spool.conftest import Postgres, alert
from tests.spool.live_spool import drained, entry, rows, spool_for, spool_of, spooling
from tests.web.live_site import ENTRY, configuration, running


async def test_without_a_spool_an_outage_is_answered_503(
    dsn: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`spool = false`: nothing is kept, the sender is told to come back, and no directory is made."""
    config = configuration(dsn, server={"spool": False, "spool_dir": str(tmp_path / "spool")})
    async with running(config, with_router=False) as site:
        token = await site.token()
        assert (await site.alert(token, ENTRY))[0] == 200
        assert await spool_of(site) == {"state": "off", "alerts": 0}
        postgres.stop()
        async with site.session.post(site.public(f"/webhook/{token}"), data=json.dumps(ENTRY)) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert (await answer.json())["code"] == "STORE_UNAVAILABLE"
    assert not (tmp_path / "spool").exists()


async def test_a_full_spool_is_answered_503(
    dsn: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its limit it takes no more, says so, and loses nothing of what it has."""
    monkeypatch.setattr(segments.Spool.__init__, "__kwdefaults__", {"limit_bytes": 2_000, "segment_bytes": 500})
    async with spooling(dsn, tmp_path) as (site, token):
        postgres.stop()
        answers = [await site.alert(token, entry(f"T-{number}")) for number in range(6)]
        kept = [f"T-{number}" for number, (status, _) in enumerate(answers) if status == 202]
        assert 0 < len(kept) < 6
        assert kept == [f"T-{number}" for number in range(len(kept))]
        async with site.session.post(site.public(f"/webhook/{token}"), data=json.dumps(ENTRY)) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert (await answer.json())["code"] == "SPOOL_FULL"
        refused, _ = await site.alert(token, b"hello " * 200)
        assert refused == 503
        postgres.start()
        await drained(site)
        assert (await site.alert(token, entry("after")))[0] == 200
    assert [trade for (trade,) in rows(dsn, "trade_id")] == ["first", *kept, "after"]


async def test_a_second_service_has_no_spool_until_the_first_lets_go(
    dsn: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two do not share one: the second answers 503 and logs why; when the first stops, it takes the spool with what is in it."""
    monkeypatch.setattr(writer, "_OPEN_EVERY_S", 0.1)
    async with (
        spooling(dsn, tmp_path) as (second, token),
        running(second.service.config, with_router=False) as third,
    ):
        assert await spool_of(third) == {"state": "unavailable", "alerts": 0}
        assert "used by another process" in caplog.text
        assert (await third.alert(token, entry("third")))[0] == 200
        postgres.stop()
        assert (await third.alert(token, ENTRY))[0] == 503
        assert (await second.alert(token, entry("kept")))[0] == 202
        await second.stop()

        async def takes_over() -> bool:
            return await spool_of(third) == {"state": "waiting", "alerts": 1}

        await until_async(takes_over, within_s=10, what="the spool's change of hands")
        assert (await third.alert(token, entry("also kept")))[0] == 202
        postgres.start()
        await drained(third)
    assert [trade for (trade,) in rows(dsn, "trade_id")] == ["first", "third", "kept", "also kept"]


async def test_a_directory_that_cannot_be_written_stops_nothing_else(dsn: str, tmp_path: Path) -> None:
    """The service runs without a spool and says so."""
    (tmp_path / "file").write_text("")
    async with spooling(dsn, tmp_path / "file") as (site, _):
        assert await spool_of(site) == {"state": "unavailable", "alerts": 0}


async def test_what_no_database_takes_is_kept_for_a_person(dsn: str, postgres: Postgres, tmp_path: Path) -> None:
    """An alert with values that cannot be stored becomes a refused one with its bytes; the others are not held up."""
    place = tmp_path / "spool"
    async with spooling(dsn, place) as (site, token):
        postgres.stop()
        assert (await site.alert(token, entry("T-1")))[0] == 202
        (segment,) = place.rglob("*.spool")
        await site.stop()
    spool = Spool(place, segment.parent.name)
    strange = alert(2, raw=b"strange")
    assert strange.ask is not None
    spool.append(
        [
            alert(1),
            replace(strange, ask=replace(strange.ask, payload={"symbol": "\ud800"})),
            replace(strange, uid=UUID(int=3), strategy="\0"),
            alert(4),
        ]
    )
    spool.close()
    postgres.start()
    async with running(configuration(dsn, server={"spool": True, "spool_dir": str(place)}), with_router=False) as site:
        await drained(site)
    assert rows(dsn, "trade_id, code, raw")[2:] == [
        ("T-1", None, b"{}"),
        ("T-4", None, b"{}"),
        (None, "NOT_STORABLE", b"strange"),
    ]
    assert sorted(path.name for path in segment.parent.iterdir()) == ["00000002.damaged", "lock"]


async def test_a_batch_that_takes_too_long_is_tried_smaller(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is only slow is not asked for five hundred at once for ever."""
    monkeypatch.setattr(writer, "_DRAIN_WITHIN_S", 0.3)
    commit = Batcher.commit
    sizes: list[int] = []

    async def slow(self: SpoolWriter, items: Sequence[Any], deadline: float) -> Any:
        sizes.append(len(items))
        if len(items) > 100:
            await asyncio.sleep(1)
        return await commit(self, items, deadline)

    monkeypatch.setattr(Batcher, "commit", slow)
    spool = await spool_for(dsn, tmp_path)
    spool.append([alert(number) for number in range(300)])
    spool.close()
    async with running(
        configuration(dsn, server={"spool": True, "spool_dir": str(tmp_path)}), with_router=False
    ) as site:
        await drained(site)
    assert [trade for (trade,) in rows(dsn, "trade_id")] == [f"T-{number}" for number in range(300)]
    assert max(sizes) > 100 > min(sizes)
