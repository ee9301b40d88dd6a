"""``bsv-store serve``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from bsv_store.errors import InputError
from bsv_store_cli.commands.serve.token import token
from bsv_store_cli.help import Group
from bsv_store_cli.options.quantities import Duration
from bsv_store_cli.output.formats import say
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import store_folder

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=Group, invoke_without_command=True)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. On addresses other than loopback, clients need a token.",
)
@click.option(
    "--port", type=int, metavar="N", default=8080, show_default=True, help="Port to listen on; 0 chooses a free one."
)
@click.option("--workers", type=int, metavar="N", default=1, show_default=True, help="Number of processes.")
@click.option("--root-path", metavar="PATH", default="", help="Prefix of all addresses behind a proxy, such as /bsv.")
@click.option("--tls-certificate", type=_FILE, metavar="FILE", help="Certificate, as PEM, to serve HTTPS.")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="Private key of the certificate, as PEM.")
@click.option("--require-token", is_flag=True, help="Require a token from local clients too.")
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Name by which clients address the server; can be repeated.  [default: only names of this computer on a"
    " loopback address, any name on others]",
)
@click.option(
    "--allow-origin",
    multiple=True,
    metavar="URL",
    help="Origin whose pages may read answers (CORS), such as https://lab.example; can be repeated.",
)
@click.option(
    "--trusted-proxy",
    multiple=True,
    metavar="ADDRESS",
    help="Address or network of a proxy whose X-Forwarded-For and -Proto are accepted; can be repeated.",
)
@click.option(
    "--rate",
    type=float,
    metavar="N",
    help="Requests per second of one token or address, with bursts of five seconds; 0 for no limit."
    "  [default: 100 where a token is required]",
)
@click.option(
    "--concurrency",
    type=int,
    metavar="N",
    default=100,
    show_default=True,
    help="Requests in progress, of all workers together.",
)
@click.option(
    "--sql-timeout", type=Duration(), metavar="DURATION", default="30s", show_default=True, help="Timeout of a query."
)
@click.option(
    "--sql-rows", type=int, metavar="N", default=100_000, show_default=True, help="Maximum number of rows of a query."
)
@click.option(
    "--access-log", metavar="FILE", help="Append one JSON line for each request to a file; - is standard output."
)
@click.pass_context
def serve(
    context: click.Context,
    host: str,
    port: int,
    workers: int,
    root_path: str,
    tls_certificate: Path | None,
    tls_key: Path | None,
    require_token: bool,
    allow_host: tuple[str, ...],
    allow_origin: tuple[str, ...],
    trusted_proxy: tuple[str, ...],
    rate: float | None,
    concurrency: int,
    sql_timeout: timedelta,
    sql_rows: int,
    access_log: str | None,
) -> None:
    """Serve the store over HTTP, read-only; manage the tokens of clients.

    Prints the address of the server, and runs until it is interrupted; requests in progress are finished first.

    Requires Starlette and uvicorn: pip install 'bsv-store[server]'

    \b
    Examples:
      bsv-store serve
      bsv-store serve token add laptop-anna --scope sql --expires 365d
      bsv-store serve --host 0.0.0.0 --tls-certificate lab.pem --tls-key lab.key
    """  # noqa: D301 (click wants the character)
    if context.invoked_subcommand is not None:
        return
    from bsv_store.server.options import ServerOptions

    options = ServerOptions(
        host=host,
        port=port,
        workers=workers,
        root_path=root_path.rstrip("/"),
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        require_token=require_token,
        allow_host=allow_host,
        allow_origin=allow_origin,
        trusted_proxy=trusted_proxy,
        rate=rate,
        concurrency=concurrency,
        sql_timeout_s=sql_timeout.total_seconds(),
        sql_rows=sql_rows,
        access_log=access_log,
    )
    try:
        from bsv_store.server.run import serve as run_server
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed, which the server needs", hint="Install it: pip install 'bsv-store[server]'"
        ) from error
    if options.requires_token and not options.is_loopback and tls_certificate is None:
        note("Connections are not encrypted. Use --tls-certificate and --tls-key, or a proxy with HTTPS.")
    run_server(store_folder(), options, on_start=say)


serve.add_command(token)
