"""The settings: defaults, the environment, `.env`, and what is said when something does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.env_file import read_env_file
from labkit.errors import SettingsError
from labkit.setting_names import PREFIX, _warn
from labkit.settings import Settings, environment_with, load_settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting in the environment, and no `.env` in the working directory."""
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    _warn.cache_clear()


def test_the_example_lists_every_setting_and_no_other() -> None:
    assert read_env_file(EXAMPLE, PREFIX, {}).keys() == {PREFIX + name.upper() for name in Settings.model_fields}


def test_the_example_gives_the_defaults() -> None:
    Path(".env").write_bytes(EXAMPLE.read_bytes())
    assert load_settings() == Settings()


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_environment_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("LABKIT_PORT=9000\nLABKIT_LAB=from-file\n")
    monkeypatch.setenv("LABKIT_PORT", "9001")
    settings = load_settings()
    assert (settings.port, settings.lab) == (9001, "from-file")
    assert load_settings(port=9002).port == 9002


def test_what_stands_around_a_value_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"LAB": "mine", "PORT": "9001", "ACKS": "all", "API_TOKEN": "t", "REDIS_URL": "redis://h", "DATA_DIR": "/d"}
    for name, value in given.items():
        monkeypatch.setenv(PREFIX + name, f" {value} \r\n")
    settings = load_settings()
    assert (settings.lab, settings.port, settings.acks, settings.redis_url) == ("mine", 9001, "all", "redis://h")
    assert settings.data_dir == Path("/d")
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == "t"


def test_a_path_is_meant_from_where_the_settings_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paths = [name for name, field in Settings.model_fields.items() if field.annotation == Path | None]
    for name in paths:
        monkeypatch.setenv(PREFIX + name.upper(), f"some/{name}")
    settings = load_settings()
    assert {name: getattr(settings, name) for name in paths} == {name: tmp_path / "some" / name for name in paths}
    assert len(paths) >= 8


def test_the_home_folder_is_meant_also_where_no_shell_puts_it_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    Path(".env").write_text("LABKIT_DATA_DIR=~/labs\nLABKIT_RESULTS_DIR='~'\n")
    settings = load_settings()
    assert (settings.data_dir, settings.results_dir) == (Path("/home/ada/labs"), Path("/home/ada"))
    monkeypatch.setenv("LABKIT_CACHE_DIR", "~nobody-of-that-name/cache")
    with pytest.raises(SettingsError, match=r"LABKIT_CACHE_DIR: .*cannot be found: [^.]*\. `"):
        load_settings()


@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_an_empty_value_means_the_default(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_DATA_DIR", value)
    assert load_settings().data_dir is None
    assert load_settings(data_dir=value).data_dir is None
    Path(".env").write_text(f"LABKIT_DATA_DIR=there\nLABKIT_LAB='{value}'\n")
    settings = load_settings()
    assert (settings.data_dir, settings.lab) == (Path.cwd() / "there", "default")


def test_paths_of_a_file_begin_at_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    Path(".env").write_text("LABKIT_DATA_DIR=labs\nLABKIT_RESULTS_DIR=out\nLABKIT_JOBS_URL=sqlite:///jobs.db?mode=rw\n")
    monkeypatch.chdir("notebooks")
    settings = load_settings()
    assert (settings.data_dir, settings.results_dir) == (tmp_path / "labs", Path("../out"))
    assert settings.jobs_url == f"sqlite:///{tmp_path}/jobs.db?mode=rw"
    Path(".env").write_text("LABKIT_JOBS_URL=postgresql+psycopg://jobs.db\n")
    assert load_settings().jobs_url == "postgresql+psycopg://jobs.db"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LABKIT_PORT", "0"),
        ("LABKIT_PORT", "many"),
        ("LABKIT_LAB", "../other"),
        ("LABKIT_ACKS", "2"),
        ("LABKIT_TOPIC_PREFIX", "no spaces"),
        ("LABKIT_START_TIMEOUT", "0"),
        ("LABKIT_SESSION_TIMEOUT", "1801"),
    ],
)
def test_a_value_that_does_not_fit_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load_settings()


def test_logging_in_needs_a_user() -> None:
    with pytest.raises(SettingsError, match="SASL_SSL needs sasl_username and sasl_password"):
        load_settings(security_protocol="SASL_SSL")


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(load_settings(sasl_password="secret"))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LBA", "LAB"),
        ("PROT", "PORT"),
        ("TOPIC_PREFX", "TOPIC_PREFIX"),
        ("LAB_NAME", "LAB"),
        ("_LAB", "LAB"),
        ("TOPIC__PREFIX", "TOPIC_PREFIX"),
        ("DATADIR", "DATA_DIR"),
    ],
)
def test_what_is_nearly_a_name_is_refused_wherever_it_stands(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text(f"OTHER=1\n{PREFIX}{name}=mine\n")
    with pytest.raises(SettingsError, match=f"{PREFIX}{name} in line 2 of .env .*Did you mean {PREFIX}{meant}\\?"):
        load_settings()
    Path(".env").unlink()
    monkeypatch.setenv(PREFIX + name, "mine")
    with pytest.raises(SettingsError, match=f"{PREFIX}{name} in the environment .*Did you mean {PREFIX}{meant}\\?"):
        load_settings()


@pytest.mark.parametrize("name", ["LABKIT-LAB", "LABKITLAB", "LAKBIT_LAB", "labit_lab"])
def test_so_is_one_whose_beginning_is_mistyped(name: str) -> None:
    Path(".env").write_text(f"{name}=mine\n")
    with pytest.raises(SettingsError, match=f"{name} in line 1 of .env .*Did you mean LABKIT_LAB\\?"):
        load_settings()


def test_any_other_unknown_name_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("LABKIT_QUESTIONS", "9000")
    monkeypatch.setenv("LABKIT_REDIS_PORT_6379_TCP_PORT", "6379")
    monkeypatch.setenv("LABKIT_TEST_LAB", "of the tests")
    Path(".env").write_text("LABKIT_EVERYWHERE=me\nLABEL_LAB=1\nKITCHEN=2\n")
    load_settings()
    load_settings()
    assert [record.getMessage() for record in caplog.records] == [
        f"{name} is no setting of labkit and has no effect. `.env.example` lists every setting."
        for name in (
            "LABKIT_QUESTIONS in the environment",
            "LABKIT_REDIS_PORT_6379_TCP_PORT in the environment",
            "LABKIT_EVERYWHERE in line 1 of .env",
        )
    ]


def test_a_name_in_capitals_and_without_is_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("labkit_lab", "mine")
    assert load_settings().lab == "mine"
    monkeypatch.setenv("LABKIT_LAB", "other")
    with pytest.raises(SettingsError, match="given twice in the environment"):
        load_settings()


def test_the_environment_for_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "stays")
    environment = environment_with(data_dir=Path("/data"), port=9000)
    assert environment["LABKIT_DATA_DIR"] == "/data"
    assert environment["LABKIT_PORT"] == "9000"
    assert environment["OTHER"] == "stays"
