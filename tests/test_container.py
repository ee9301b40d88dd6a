"""The container: its files agree with each other, with the package and with the command line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bsv_store.catalog.database.postgres import normalized_url
from tests.docs.written import unknown

CHECKOUT = Path(__file__).resolve().parents[1]
CONTAINER = CHECKOUT / "container"
ENTRY_POINT = CONTAINER / "entrypoint.sh"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", (CONTAINER / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def of(kind: str) -> list[str]:
    return [words for name, words in instructions() if name == kind]


def compose() -> Any:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return yaml.safe_load((CONTAINER / "compose.yaml").read_text(encoding="utf-8"))


def environment(words: str) -> dict[str, str]:
    return dict(each.split("=", 1) for each in words.split())


def test_the_image_is_built_from_the_wheel_in_two_stages() -> None:
    assert len(of("FROM")) == 2
    assert of("FROM")[0].endswith(" AS build")
    (build, install) = [words for words in of("RUN") if "pip " in words]
    extras = re.findall(r"\[([a-z,]+)\]", build + install)
    assert len(extras) == 2
    assert extras[0] == extras[1]
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras[0].split(",")) <= set(project["optional-dependencies"])
    assert "--no-index" in install


def test_the_context_has_all_that_the_wheel_needs() -> None:
    allowed = set(re.findall(r"^!(.+)$", (CHECKOUT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    assert not [path for path in allowed if not (CHECKOUT / path).exists()]
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [*wheel["only-include"], *wheel["shared-data"], *settings["project"]["license-files"]]
    needed += [settings["project"]["readme"], "pyproject.toml"]
    needed += [words.split()[-2] for words in of("COPY") if "--from" not in words and words != ". ."]
    for path in needed:
        assert any(Path(path).is_relative_to(each) for each in allowed), path


def test_the_image_does_not_run_as_root() -> None:
    assert of("USER") == ["${UID}:${GID}"]
    assert "UID=1000" in of("ARG")
    names = [name for name, _ in instructions()]
    assert names.index("USER") < names.index("ENTRYPOINT")
    # Folders that it writes to are made before, with its ids.
    assert any("--owner=bsv" in words and "/store /backup" in words for words in of("RUN"))
    assert json.loads(of("VOLUME")[0]) == ["/store", "/backup"]
    assert environment(of("ENV")[0]) == {"BSV_STORE": "/store", "BACKUP": "/backup"}


def test_the_health_of_the_image_is_the_status_of_the_store() -> None:
    (health,) = of("HEALTHCHECK")
    program, *arguments = json.loads(health.split(" CMD ")[1])
    assert [program] == json.loads(of("ENTRYPOINT")[0])
    assert arguments[0] == "status"
    assert unknown(f"bsv-store {' '.join(arguments)}") is None


def test_compose_runs_the_image_with_postgres() -> None:
    services, volumes = compose()["services"], compose()["volumes"]
    store, database = services["store"], services["database"]
    assert (CONTAINER / store["build"]["context"] / store["build"]["dockerfile"]).samefile(CONTAINER / "Dockerfile")
    assert store["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert "pg_isready" in database["healthcheck"]["test"]
    url = normalized_url(store["environment"]["DATABASE"])
    assert (url.host, url.username, url.database) == ("database", "bsv", "bsv")
    assert (url.username, url.database) == tuple(database["environment"][f"POSTGRES_{name}"] for name in ("USER", "DB"))
    mounted = [each.split(":")[:2] for service in services.values() for each in service["volumes"]]
    assert {name for name, _ in mounted} == set(volumes)
    assert {place for _, place in mounted} >= set(json.loads(of("VOLUME")[0]))
    secret = compose()["secrets"]["database_password"]["file"]
    assert f"/container/{secret}" in (CHECKOUT / ".gitignore").read_text(encoding="utf-8")
    for service, variable in ((store, "PGPASSWORD_FILE"), (database, "POSTGRES_PASSWORD_FILE")):
        assert service["environment"][variable] == "/run/secrets/database_password"
        assert service["secrets"] == ["database_password"]


def test_the_optional_server_reads_the_same_store() -> None:
    services = compose()["services"]
    server = services["server"]
    assert server["profiles"] == ["server"]
    assert unknown(f"bsv-store {' '.join(server['command'])}") is None
    assert server["volumes"] == ["store:/store:ro"]
    # The prefix of the proxies in docs/server.md.
    prefix = server["command"][server["command"].index("--root-path") + 1]
    page = (CHECKOUT / "docs" / "server.md").read_text(encoding="utf-8")
    assert f"location {prefix}/ {{" in page
    assert f"handle {prefix}/* {{" in page
    # Only a proxy on the host can reach it.
    assert server["ports"] == ["127.0.0.1:8080:8080"]
    assert server["environment"].items() <= services["store"]["environment"].items()
    assert server["secrets"] == services["store"]["secrets"]


def test_the_entry_point_reads_the_variables_that_are_set() -> None:
    text = ENTRY_POINT.read_text(encoding="utf-8")
    given = {*compose()["services"]["store"]["environment"], *environment(of("ENV")[0])} - {"TZ"}
    used = set(re.findall(r"\$\{?([A-Z_]+)", text)) - {"PGPASSWORD"}
    assert used == given


def jobs() -> list[str]:
    """The nightly jobs of the entry point."""
    found = re.findall(r"nightly_job (bsv-store .*)", ENTRY_POINT.read_text(encoding="utf-8"))
    return [line.replace('"$BACKUP"', "/backup") for line in found]


def test_the_nightly_jobs_are_commands() -> None:
    assert len(jobs()) > 4
    assert not {each for line in jobs() if (each := unknown(line))}


def test_the_entry_point_is_a_valid_script() -> None:
    subprocess.run(["sh", "-n", ENTRY_POINT], check=True)
    assert ENTRY_POINT.stat().st_mode & 0o111
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", ENTRY_POINT], check=True)
