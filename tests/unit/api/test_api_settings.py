"""Every setting of the API, with values that would break later: one sentence, before anything is opened."""

from __future__ import annotations

import socket

import pytest

from labkit.api import server
from labkit.api.security import LOOPBACK, Access, access_of
from labkit.api.server import ApiServer, listen
from labkit.errors import LabkitError, PortInUse, SettingsError
from labkit.settings import PREFIX, Settings, load_settings

REFUSED = {
    "API_PORT": ("-1", "65536", "http", "8000.5", "inf"),
    "API_TOKEN": ("tökén", "a\tb", "a\x7fb", "a\nb"),
    "API_TOPICS": (
        *("job-status", "__consumer_offsets", "orders.dead", "orders,orders", ",", "a b", "a/b", "a\nb", "a.b,a_b"),
        *("x" * 245, ",".join(f"q{number}" for number in range(101))),
    ),
    "API_LEASE": ("0", "-1", "0.1", "inf", "nan", "1e300", "86401", "30s"),
    "API_DELIVERIES": ("0", "-1", "1001", "2.5", "inf"),
    "API_MAX_LAG": ("0", "-1", "1000000001", "1e10", "inf"),
    "API_REQUIRE_KEY": ("perhaps", "2"),
    "CELERY_VISIBILITY_TIMEOUT": ("0", "0.1", "-5", "inf", "nan", "1e300"),
}
TAKEN = {
    "API_PORT": ("0", "65535"),
    "API_TOKEN": ("t", "a b", "&#%"),
    "API_TOPICS": ("orders", " orders , emails, ", "orders-2.eu", "jobs"),
    "API_LEASE": ("1", "86400"),
    "API_DELIVERIES": ("1", "1000"),
    "API_MAX_LAG": ("1", "1000000000"),
    "API_REQUIRE_KEY": ("true", "0"),
    "CELERY_VISIBILITY_TIMEOUT": ("1", "3600"),
}


def pairs(table: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(name, value) for name, values in table.items() for value in values]


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path) -> list[int]:
    """The ports at which somebody has begun to listen; no `.env`."""
    ports: list[int] = []

    def counted(host: str, port: int | None, *, wished: int) -> socket.socket:
        ports.append(wished)
        return listen(host, 0, wished=wished)

    monkeypatch.setattr(server, "listen", counted)
    monkeypatch.chdir(tmp_path)
    return ports


def start() -> None:
    """As far as the socket."""
    settings = load_settings()
    ApiServer(None, access=access_of(settings), settings=settings)._socket.close()  # type: ignore[arg-type]


def test_the_tables_have_all_settings_of_the_api() -> None:
    of_api = {name.upper() for name in Settings.model_fields if name.startswith("api_")}
    assert of_api <= REFUSED.keys() == TAKEN.keys()


@pytest.mark.parametrize(("name", "value"), pairs(REFUSED))
def test_what_breaks_later_is_refused_in_a_sentence(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, opened: list[int]
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError, match=PREFIX + name) as refused:
        start()
    assert "\n" not in str(refused.value)
    assert not opened


@pytest.mark.parametrize(("name", "value"), pairs(TAKEN))
def test_what_is_right_is_taken(name: str, value: str, monkeypatch: pytest.MonkeyPatch, opened: list[int]) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    start()
    assert len(opened) == 1


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "1.2.3.4.5"])
def test_an_address_that_cannot_be_listened_on_is_refused_in_a_sentence(host: str) -> None:
    with pytest.raises(PortInUse, match="Name an address of this machine by `--host`") as refused:
        listen(host, None, wished=0).close()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("token", ["secret", None])
def test_so_is_none(token: str | None) -> None:
    with pytest.raises(SettingsError, match="Name an address by `--host`"):
        Access(host="", token=token)


def test_no_token_is_for_this_machine_only() -> None:
    with pytest.raises(LabkitError, match=LOOPBACK):
        access_of(load_settings(), host="0.0.0.0", with_token=False)
