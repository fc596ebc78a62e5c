"""Where a request really comes from, and whether that may send alerts."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Sources:
    """`allowed`: who may send (empty: everybody). `proxies`: whose X-Forwarded-For is believed."""

    allowed: tuple[Network, ...] = ()
    proxies: tuple[Network, ...] = ()

    @classmethod
    def of(cls, allowed: Sequence[str], proxies: Sequence[str]) -> "Sources":
        """From addresses and networks as text."""
        return cls(tuple(map(ipaddress.ip_network, allowed)), tuple(map(ipaddress.ip_network, proxies)))

    def origin(self, peer: str | None, forwarded_for: Sequence[str]) -> str:
        """The sender's address: the peer, or behind trusted proxies the first address from the right that is none of them.

        Read from right to left, since a sender can write anything on the left.
        """
        address = peer or ""
        hops = [hop.strip() for line in forwarded_for for hop in line.split(",")]
        while _within(address, self.proxies) and hops:
            address = hops.pop()
        return address

    def is_proxy(self, peer: str | None) -> bool:
        """Whether what this peer says of others is believed."""
        return _within(peer or "", self.proxies)

    def may_send(self, origin: str) -> bool:
        """Whether alerts from there are taken."""
        return not self.allowed or _within(origin, self.allowed)


def _within(address: str, networks: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return any((mapped or parsed) in network for network in networks)
