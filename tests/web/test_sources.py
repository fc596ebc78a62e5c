"""Where a request comes from cannot be made up by its sender."""

import pytest

from eventrouter.web.sources import Sources

PROXIES = ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "origin"),
    [
        pytest.param("203.0.113.5", ["1.1.1.1"], "203.0.113.5", id="a stranger's header counts for nothing"),
        pytest.param("10.0.0.1", ["203.0.113.5"], "203.0.113.5", id="one proxy"),
        pytest.param("10.0.0.1", ["1.1.1.1, 203.0.113.5, 10.0.0.2"], "203.0.113.5", id="right to left, past proxies"),
        pytest.param("10.0.0.1", ["1.1.1.1", "203.0.113.5"], "203.0.113.5", id="several header lines"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="a proxy that says nothing"),
        pytest.param("::1", ["garbage"], "garbage", id="garbage is no address and may not send"),
    ],
)
def test_the_origin_is_the_first_untrusted_hop(peer: str, forwarded: list[str], origin: str) -> None:
    """The header is believed only as far as trusted proxies wrote it."""
    sources = Sources.of(["203.0.113.0/24"], PROXIES)
    assert sources.origin(peer, forwarded) == origin
    assert sources.may_send(origin) == (origin == "203.0.113.5")


def test_everybody_may_send_by_default() -> None:
    """Without a list the token alone decides."""
    assert Sources().may_send("198.51.100.7")


def test_ipv4_in_ipv6_is_the_same_address() -> None:
    """A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d."""
    assert Sources.of(["203.0.113.5"], []).may_send("::ffff:203.0.113.5")
