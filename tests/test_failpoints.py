"""Failpoints: nothing without the variable, and nothing that is misspelt."""

import signal

import pytest

from eventrouter import failpoints
from tests.processes import command, environment


def test_nothing_is_armed() -> None:
    """Without the variable a point does nothing."""
    assert failpoints.ARMED is None
    for name in failpoints.POINTS:
        failpoints.hit(name)


@pytest.mark.parametrize("text", ["claim", "order.sent:0", "order.sent:x", "order.sent=explode", "=kill"])
def test_what_cannot_be_armed_ends_the_process(text: str) -> None:
    """A test that is misspelt must not run unarmed: status 2, and the points there are."""
    done = command("--help", env=environment() | {failpoints.VARIABLE: text})
    assert done.returncode == 2
    assert b"order.accepted" in done.stderr


def test_the_time_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """`:2` acts the second time and never again; other points do not count."""
    sent: list[int] = []
    monkeypatch.setattr("os.kill", lambda _, number: sent.append(number))
    armed = failpoints._armed("order.sent:2=stop")
    assert armed is not None
    for name in ("order.sent", "order.before", "order.sent", "order.sent"):
        armed.hit(name)
    assert sent == [signal.SIGSTOP]


def test_raising() -> None:
    """The action `raise` is an error in the place of the point."""
    armed = failpoints._armed("order.sent=raise")
    assert armed is not None
    with pytest.raises(failpoints.FailpointHit):
        armed.hit("order.sent")
