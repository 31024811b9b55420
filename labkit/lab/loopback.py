"""This machine's own address: requests to it never go through a proxy, wherever the environment names one."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

import requests


def is_loopback(url: str) -> bool:
    """Whether the URL names this machine by its loopback address."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def open_session(url: str) -> requests.Session:
    """A session for requests to that server: past the proxies for this machine, by them for all others."""
    session = requests.Session()
    session.trust_env = not is_loopback(url)
    return session
