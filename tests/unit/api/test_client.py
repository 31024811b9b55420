"""The client refuses at once what is no address."""

import pytest

from labkit.api.client import ApiClient
from labkit.parameters import BadValue


@pytest.mark.parametrize("urls", [(), ("127.0.0.1:8000",), ("http://",), ("http://h:port",), ("http://h:1", "h:2")])
def test_what_is_no_address_is_refused(urls):
    with pytest.raises(BadValue, match=r"; give (the address that|addresses as http://)"):
        ApiClient(*urls)


def test_an_address_is_taken_also_of_ipv6():
    ApiClient("http://127.0.0.1:8000", "https://[::1]:8000/").close()
