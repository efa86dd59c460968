"""Where an address leads: to this machine, into a private network, or to what everybody can reach."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052 section 2.1: an IPv4 address is in its last 32 bits
_NEVER_PUBLIC: Final = (
    IPv6Network("::/96"),  # RFC 4291 section 2.5.5.1: IPv4-compatible, given up
    IPv6Network("64:ff9b:1::/48"),  # RFC 8215: NAT64 into a network of one's own
    IPv6Network("fec0::/10"),  # RFC 3879: site-local, given up
)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, as it is written: a name that only leads here is not."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_public(address: str) -> bool:
    """Return whether everybody can reach an address; one that holds an IPv4 address leads where that does.

    Raises ValueError for what is no address.
    """
    reached = _reached(ip_address(address.partition("%")[0]))
    if isinstance(reached, IPv6Address) and any(reached in network for network in _NEVER_PUBLIC):
        return False
    return reached.is_global and not reached.is_multicast


def _reached(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
