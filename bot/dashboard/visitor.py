"""Where a request comes from. Proxy headers count only if one of our proxies wrote them (S16)."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from aiohttp import web

from bot.dashboard.parts import PARTS

Network = IPv4Network | IPv6Network
_AGENT_LENGTH: Final = 120


def address_of(request: web.Request) -> str:
    """Address of whoever asks; behind our proxies the last one that was not theirs."""
    peer = _peer(request)
    if not _is_among(peer, request.app[PARTS].trusted_proxies):
        return peer
    hops = [each.strip() for each in ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")]
    for hop in reversed(hops):
        if not _is_address(hop):  # nothing left of what a proxy of ours would write
            break
        if not _is_among(hop, request.app[PARTS].trusted_proxies):
            return hop
    return peer


def is_secure(request: web.Request) -> bool:
    """Whether the browser's side of the connection is encrypted."""
    if not _is_among(_peer(request), request.app[PARTS].trusted_proxies):
        return request.secure
    return request.headers.getall("X-Forwarded-Proto", [""])[-1].rsplit(",", 1)[-1].strip().lower() == "https"


def comes_around_the_proxy(request: web.Request) -> bool:
    """Whether it reached us without the proxy that it has to pass, and not from this machine."""
    proxies, peer = request.app[PARTS].trusted_proxies, _peer(request)
    return bool(proxies) and not _is_among(peer, proxies) and not (_is_address(peer) and ip_address(peer).is_loopback)


def agent_of(request: web.Request) -> str:
    """What the browser says it is, shortened."""
    return request.headers.get("User-Agent", "")[:_AGENT_LENGTH]


def _peer(request: web.Request) -> str:
    """Who is at the other end of the connection; an IPv4 address as such, also where we listen on "::"."""
    text = (request.remote or "").partition("%")[0]  # a link-local address may name its interface
    mapped = getattr(ip_address(text), "ipv4_mapped", None) if _is_address(text) else None
    return str(mapped or text)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_among(text: str, networks: Sequence[Network]) -> bool:
    return _is_address(text) and any(ip_address(text) in each for each in networks)
