"""What /metrics says of orders at a broker that speaks the real API."""

from prometheus_client.parser import text_string_to_metric_families

from tests.live.conftest import Start
from tests.live.rig import Rig
from tests.processes import until_async


async def measured(rig: Rig) -> dict[tuple[str, ...], float]:
    """Every sample under its name and label values."""
    async with rig.site.session.get(rig.site.operator("/metrics")) as answer:
        families = text_string_to_metric_families(await answer.text())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


async def test_an_order_that_works_before_it_fills(start: Start) -> None:
    """Each phase is counted once, the calls under their connector, and the login and its account are up."""
    rig = await start()
    posted = await rig.entry("T1", 2, order_type="limit", limit_price=23900)
    await rig.reached(posted.task("one"), "ACCEPTED")
    await rig.market.price("MNQ", 23800)
    await rig.done(posted)

    async def filled() -> bool:
        return (await measured(rig))["eventrouter_phase_seconds_count", "filled"] == 1

    await until_async(filled)
    found = await measured(rig)
    for phase in ("stored", "claimed", "sent", "acknowledged"):
        assert found["eventrouter_phase_seconds_count", phase] == 1
    assert found["eventrouter_broker_calls_total", "projectx", "send", "accepted"] == 1
    assert found["eventrouter_broker_calls_total", "projectx", "positions", "ok"] >= 1
    assert found["eventrouter_account_up", "one"] == 1
    assert {value for (name, *_), value in found.items() if name == "eventrouter_connection_up"} == {1}
    assert {value for (name, *_), value in found.items() if name == "eventrouter_circuit_open"} == {0}
