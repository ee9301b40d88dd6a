"""The page about the server: its commands exist, and its configurations of proxies agree with the application."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from pathlib import Path

import requests

from bsv_store import create_store, open_store
from bsv_store.server.metrics import ServerMetrics
from bsv_store.server.options import ServerOptions
from bsv_store.vocabulary import ACCESS_SCOPES
from bsv_store_cli.commands.serve import serve
from tests.docs.written import unknown
from tests.server.serving import serving

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "server.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def table(heading: str) -> list[list[str]]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows]


def commands() -> list[str]:
    lines = [line for text in (*blocks("sh"), *blocks("ini")) for line in text.splitlines()]
    found = [re.search(r"(?:^|[ /])(bsv-store(?:-container)?) (.*)", line) for line in lines]
    return [f"bsv-store {each[2]}" for each in found if each is not None and not each[0].startswith(" server")]


def test_every_command_exists() -> None:
    assert len(commands()) == 10
    assert not {each for line in commands() if (each := unknown(line))}


def options_of(command: str) -> ServerOptions:
    """The settings that a command of the page makes."""
    arguments = shlex.split(command.split(" serve ")[1])
    values = serve.make_context("serve", arguments).params
    names = ("root_path", "allow_host", "trusted_proxy")
    return ServerOptions(**{name: values[name] for name in names}, shutdown_s=2)


def test_what_the_proxies_send_is_understood(tmp_path: Path) -> None:
    (command,) = [line for line in commands() if "--trusted-proxy" in line and "--workers" not in line]
    options = options_of(command)
    (nginx,) = blocks("nginx")
    (caddy,) = [text for text in blocks("text") if "reverse_proxy" in text]
    variables = {
        "$host": "lab.example",
        "$scheme": "https",
        # Not what the client sent: it could invent addresses.
        "$remote_addr": "203.0.113.7",
        '""': "keep-alive",
    }
    sent = {name: variables[value] for name, value in re.findall(r"proxy_set_header (\S+) (\S+);", nginx)}
    # Caddy sends the same three, and by default only the address that it sees itself.
    assert set(sent) == {"Host", "X-Forwarded-For", "X-Forwarded-Proto", "Connection"}
    assert f"handle {options.root_path}/*" in caddy
    assert f"location {options.root_path}/ " in nginx
    assert re.search(r"server_name (\S+);", nginx)[1] in options.allow_host  # type: ignore[index]
    log = tmp_path / "access.jsonl"
    create_store(tmp_path / "store").close()
    with open_store(tmp_path / "store") as store:
        secret = store.admin.add_token("anna").secret
    options = ServerOptions(
        root_path=options.root_path,
        allow_host=options.allow_host,
        trusted_proxy=options.trusted_proxy,
        access_log=str(log),
        shutdown_s=2,
    )
    with open_store(tmp_path / "store", read_only=True) as store, serving(store, options) as url:
        for forwarded in (sent["X-Forwarded-For"], "198.51.100.1, 203.0.113.7"):
            # With the prefix, and removed by the proxy.
            for prefix in (options.root_path, ""):
                reply = requests.post(
                    f"{url}{prefix}/login",
                    data={"token": secret, "next": "/"},
                    headers={**sent, "X-Forwarded-For": forwarded},
                    timeout=20,
                    allow_redirects=False,
                )
                assert reply.headers["location"] == "/bsv/"
                assert reply.headers["set-cookie"].endswith("; Path=/bsv; SameSite=strict; Secure")
    clients = [json.loads(line)["client"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert clients == ["203.0.113.7"] * 4


def test_the_unit_has_the_sections_of_systemd() -> None:
    (unit,) = blocks("ini")
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.read_string(unit)
    assert parsed.sections() == ["Unit", "Service", "Install"]
    # Longer than the server gives requests in progress.
    assert int(parsed["Service"]["TimeoutStopSec"]) > ServerOptions().shutdown_s


def test_every_scope_limit_and_metric_is_described() -> None:
    scopes = [row[:2] for row in table("Tokens")[2:]]
    assert scopes == [[f"`{row.name}`", row.words] for row in ACCESS_SCOPES.values()]
    found = set(re.findall(r"^# TYPE (\w+)", ServerMetrics().exposition(), re.MULTILINE))
    assert set(re.findall(r"bsv_store_server_\w+", PAGE)) == found
    defaults = ServerOptions()
    limits = {row[0]: row[2] for row in table("Limits")[2:]}
    assert limits["requests in progress"] == str(defaults.concurrency)
    assert limits["time of a query"] == f"{defaults.sql_timeout_s:g}s"
    assert limits["rows of a query"] == f"{defaults.sql_rows:,}"
    assert limits["size of a request's body"] == f"{defaults.max_body_bytes / 1e6:g} MB"


def test_the_defaults_of_the_command_are_those_of_the_library() -> None:
    context = serve.make_context("serve", [])
    defaults = ServerOptions()
    for name in ("host", "port", "workers", "root_path", "concurrency", "sql_rows", "rate", "access_log"):
        assert context.params[name] == getattr(defaults, name)
    assert context.params["sql_timeout"].total_seconds() == defaults.sql_timeout_s
