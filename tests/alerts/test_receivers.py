"""Telling through apprise: taken, refused, hanging; and nothing of a URL ever comes out."""

import asyncio
import logging
from io import StringIO
from pathlib import Path

import pytest

from eventrouter.alerts import receivers_of
from eventrouter.config import AlertsConfig
from eventrouter.domain.notices import Message, Severity
from eventrouter.errors import ConfigError
from tests.alerts.inbox import SECRET, Inbox, receivers

MESSAGE = Message("eventrouter: a title", "a body", Severity.CRITICAL)


async def test_a_message_arrives_once(box: Inbox) -> None:
    """Title, body and kind are the message's."""
    (receiver,) = receivers(box)
    answer = await receiver.send(MESSAGE, 5.0)
    assert (answer.receiver, answer.taken, answer.said) == (receiver.name, True, "taken")
    assert [(each["title"], each["message"], each["type"]) for each in box.messages] == [
        ("eventrouter: a title", "a body", "failure")
    ]


async def test_a_refusal_is_told_with_its_status(box: Inbox) -> None:
    """What the service said is in the answer, so that a person can mend it."""
    box.status = 403
    (receiver,) = receivers(box)
    answer = await receiver.send(MESSAGE, 5.0)
    assert not answer.taken
    assert "403" in answer.said


@pytest.mark.parametrize("status", [200, 400, 404, 500])
async def test_no_part_of_a_url_is_said_or_logged(box: Inbox, said: StringIO, status: int) -> None:
    """Not in an answer, a name or a log line, with all libraries at debug level."""
    box.status = status
    (receiver,) = receivers(box)
    answers = [await receiver.send(MESSAGE, 5.0)]
    (gone,) = receivers_of(AlertsConfig.model_validate({"urls": [f"json://u:{SECRET}@127.0.0.1:1/{SECRET}"]}))
    answers.append(await gone.send(MESSAGE, 5.0))
    logging.getLogger("tests").warning("the logs are read")
    assert "the logs are read" in said.getvalue()
    assert SECRET not in said.getvalue()
    for answer in answers:
        assert SECRET not in f"{answer}"
    assert "127.0.0.1" not in answers[1].said


async def test_a_service_that_hangs_is_left_and_gets_no_second_thread(box: Inbox) -> None:
    """The time-out is ours; until the old message ends nothing else is sent to it, then it is told again."""
    box.open.clear()
    (receiver,) = receivers(box)
    first = await receiver.send(MESSAGE, 0.2)
    second = await receiver.send(MESSAGE, 0.2)
    assert (first.said, second.said) == ("No answer within 0.2 s.", "It still hangs in the message before.")
    assert len(box.messages) == 1
    box.open.set()
    assert receiver._busy is not None
    await asyncio.to_thread(receiver._busy.join)
    assert (await receiver.send(MESSAGE, 5.0)).taken


@pytest.mark.parametrize("url", ["nosuchservice://hunter2canarytoken", "tgram://hunter2canarytoken", "discord://x"])
async def test_a_url_that_apprise_does_not_know_is_refused_without_showing_it(url: str, said: StringIO) -> None:
    """Before anything runs, named by its place."""
    with pytest.raises(ConfigError, match=r"alerts\.urls\[0\]: apprise knows no such URL") as caught:
        receivers_of(AlertsConfig.model_validate({"urls": [url]}))
    assert SECRET not in str(caught.value)
    assert SECRET not in said.getvalue()


def test_a_file_of_urls_must_be_private(tmp_path: Path) -> None:
    """Comments and empty lines are none; one that is listed twice is told once; others must not be able to read it."""
    file = tmp_path / "urls"
    file.write_text("# mine\n\njson://127.0.0.1/a\njson://127.0.0.1/b\njson://127.0.0.1/a\n")
    config = AlertsConfig.model_validate({"urls_file": str(file), "urls": ["json://127.0.0.1/b"]})
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        receivers_of(config)
    file.chmod(0o600)
    assert len({receiver.name for receiver in receivers_of(config)}) == len(receivers_of(config)) == 2
    file.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        receivers_of(config)
