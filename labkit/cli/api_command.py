"""`labkit api`: jobs and messages over HTTP, and a page for the browser."""

from __future__ import annotations

import re
import shlex
from typing import Annotated

import typer

from labkit.cli.common import start_logging, stop_on_signal

#: How often to look whether the server still runs, in seconds.
LOOK_INTERVAL = 0.5


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.command()(api)


def _in_shell(token: str) -> str:
    """The header with the token, as one types it: in double quotes, unless a shell would change it there."""
    header = f"Authorization: Bearer {token}"
    return shlex.quote(header) if re.search(r'["$`\\!]', header) else f'"{header}"'


def api(
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="The port, and no other; 0 takes a free one. By default LABKIT_API_PORT, or a free one.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on; with 0.0.0.0, other machines get in.")] = (
        "127.0.0.1"
    ),
    token: Annotated[
        bool, typer.Option("--token/--no-token", help="Ask for a token; only on this machine's address can it be off.")
    ] = True,
) -> None:
    """Serve jobs and messages over HTTP until Ctrl-C, and print the address to open.

    The token is LABKIT_API_TOKEN, or else a new one each time. Several servers may run side by side.
    """
    from labkit.api.security import access_of
    from labkit.api.server import ApiServer, tune_process
    from labkit.lab import attach_lab
    from labkit.settings import load_settings

    settings = load_settings()
    access = access_of(settings, host=host, with_token=token)
    start_logging("api")
    with attach_lab(settings=settings) as lab, stop_on_signal() as stop:
        with ApiServer(lab, port=port, access=access, settings=settings) as server:
            tune_process()
            print(f"The page: {server.page}")
            print(f"The API:  {server.url}/openapi.json tells what there is.")
            if access.token is not None:
                print(f"The token goes into a header: curl -H {_in_shell(access.token)} {server.url}/jobs")
            print("Ctrl-C stops it.", flush=True)
            while not stop.wait(LOOK_INTERVAL):
                server.check()
        print("Stopped.")
