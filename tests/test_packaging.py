"""What users install: the wheel, built and used outside any checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import tarfile
import time
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.docs.written import unknown
from tests.test_container import jobs

CHECKOUT = Path(__file__).resolve().parents[1]

# One worker of the tests makes the wheel and its environment, and runs all of this.
pytestmark = pytest.mark.xdist_group("packaging")


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that must succeed."""
    # Nothing of the checkout may reach the installed package by way of the environment.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Distributions:
    """The built files."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The sdist, and the wheel built from that sdist: so the sdist is complete."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, CHECKOUT, cwd=folder)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return Distributions(sdist, wheel)


@dataclass(frozen=True)
class Installation:
    """An environment that holds the wheel."""

    python: Path
    command: Path
    packages: Path
    away: Path
    """A folder that is no checkout, to run things in."""


@pytest.fixture(scope="session")
def installation(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel in an environment of its own; its dependencies are taken from the one that the tests run in."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    # A folder named in a .pth file is searched for modules, but its own .pth files are not read: an editable
    # installation of the checkout there stays out of sight.
    inherited = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    (packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in sorted(inherited)), encoding="utf-8")
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", distributions.wheel, cwd=folder)
    away = folder / "away"
    away.mkdir()
    return Installation(python, python.parent / "bsv-store", packages, away)


def test_wheel_holds_packages_and_migrations_and_nothing_else(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        names = wheel.namelist()
    (manual,) = [name for name in names if name.endswith(".data/data/share/man/man1/bsv-store.1")]
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name and name != manual} == {
        "bsv_store",
        "bsv_store_cli",
        "bsv_store_synthetic",
    }
    expected = {
        "bsv_store/py.typed",
        "bsv_store_cli/py.typed",
        "bsv_store_synthetic/py.typed",
        "bsv_store_cli/main.py",
        "bsv_store/_alembic/env.py",
        "bsv_store/_alembic/script.py.mako",
        *(f"bsv_store/_migrations/{path.name}" for path in (CHECKOUT / "migrations").glob("*.py")),
    }
    assert expected <= set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_every_file_is_in_the_wheel(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        packed = {name for name in wheel.namelist() if name.startswith("bsv_store")}
    written = {
        path.relative_to(root).as_posix()
        for root, package in (
            (CHECKOUT, "bsv_store"),
            (CHECKOUT / "cli", "bsv_store_cli"),
            (CHECKOUT / "synthetic", "bsv_store_synthetic"),
        )
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    others = ("bsv_store/_alembic", "bsv_store/_migrations", "bsv_store-")
    assert written == {name for name in packed if ".dist-info/" not in name and not name.startswith(others)}
    assert {path.rpartition(".")[2] for path in written} >= {"py", "css", "js", "html", "svg"}


def test_sdist_holds_tests_and_license(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "Makefile", "tests/conftest.py"} <= names
    assert {"CHANGELOG.md", "CITATION.cff", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "docs/conf.py"} <= names
    assert not [name for name in names if name.startswith((".venv", ".git/", ".mypy_cache"))]


def test_installed_package_is_the_wheel(installation: Installation) -> None:
    where = "import bsv_store, bsv_store_cli; print(bsv_store.__file__); print(bsv_store_cli.__file__)"
    for line in run(installation.python, "-c", where, cwd=installation.away).splitlines():
        assert installation.packages in Path(line).parents


def test_installed_version_is_the_source_version(installation: Installation) -> None:
    from bsv_store._version import __version__

    assert __version__ in run(installation.command, "--version", cwd=installation.away)


def test_manual_page_is_installed(installation: Installation) -> None:
    manual = installation.python.parents[1] / "share" / "man" / "man1" / "bsv-store.1"
    assert manual.read_text(encoding="utf-8").startswith(".TH BSV-STORE 1 ")


def test_installed_package_runs_as_a_module(installation: Installation) -> None:
    shown = run(installation.python, "-m", "bsv_store", "help", "init", cwd=installation.away)
    assert shown == run(installation.command, "init", "--help", cwd=installation.away)


def test_installed_package_makes_a_store(installation: Installation) -> None:
    store = installation.away / "a store, 50%"
    run(installation.command, "init", store, cwd=installation.away)
    code = "import sys, bsv_store; bsv_store.open_store(sys.argv[1]).close()"
    run(installation.python, "-c", code, store, cwd=installation.away)


# The demo runs in tests/integration, from the same files.
@pytest.mark.long
def test_installed_package_runs_the_demo(installation: Installation) -> None:
    kept = installation.away / "demo"
    out = run(installation.command, "demo", "--keep", kept, cwd=installation.away)
    assert "synthetic" in out.lower()
    assert list(kept.rglob("store.toml"))
    assert list(kept.rglob("*.png"))
    assert (kept / "report.html").is_file()


# -- the entry point of the container ---------------------------------------------------------------------------------


def _in_container(installation: Installation, folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """The entry point, with the folders and the password file that the image and compose.yaml give it."""
    password = folder / "password"
    password.write_text("secret\n")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
        "PATH": f"{installation.command.parent}{os.pathsep}{os.environ['PATH']}",
        "BSV_STORE": str(folder / "store"),
        "BACKUP": str(folder / "backup"),
        "PGPASSWORD_FILE": str(password),
        **variables,
    }
    return subprocess.Popen(
        [CHECKOUT / "container" / "entrypoint.sh", *arguments], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="the image is Debian's")
def test_container_creates_a_store_and_stops_on_a_signal(installation: Installation, tmp_path: Path) -> None:
    with _in_container(installation, tmp_path, "maintain") as serving:
        deadline = time.monotonic() + 60
        while not (tmp_path / "store" / "store.toml").exists():
            assert serving.poll() is None, serving.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with _in_container(installation, tmp_path, "status", "--format", "json") as healthy:
            out, err = healthy.communicate(timeout=60)
        assert healthy.returncode == 0, err
        assert json.loads(out)["path"] == str(tmp_path / "store")
        serving.terminate()
        serving.communicate(timeout=30)
    assert serving.returncode == 143


@pytest.mark.skipif(sys.platform != "linux", reason="the image is Debian's")
def test_container_runs_the_nightly_jobs(installation: Installation, tmp_path: Path) -> None:
    run(installation.command, "init", tmp_path / "store", cwd=installation.away)
    with (
        SyntheticServer(SyntheticAtlas(experiments=12)) as server,
        _in_container(installation, tmp_path, "nightly", BSV_STORE_API_URL=server.url) as jobs_done,
    ):
        _, err = jobs_done.communicate(timeout=120)
    failed = re.findall(r"^exit code \d+: (.+)$", err, re.MULTILINE)
    wanted = [job.replace("/backup", str(tmp_path / "backup")) for job in jobs() if unknown(job)]
    assert failed == wanted, err
    assert jobs_done.returncode == bool(wanted)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc)")
def test_compiled_loop_is_one_wheel_for_all_versions_of_python(installation: Installation, tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "fast", tmp_path / "fast", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    built = tmp_path / "built"
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, tmp_path / "fast", cwd=tmp_path)
    (wheel,) = built.glob("*.whl")
    assert wheel.name.startswith("bsv_store_fast-1.0-cp311-abi3-")
    with zipfile.ZipFile(wheel) as packed:
        assert any(name.endswith("licenses/LICENSE") for name in packed.namelist())
        packed.extractall(tmp_path / "packages")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path / "packages")!r})
import numpy as np
from bsv_store.averaging.kernel import scatter
total = np.zeros(9)
part = scatter.Part(total, np.array([7], np.uint32), np.array([3], np.float32), 2.0)
scatter._add_with_numpy = None
scatter.add_parts([part])
print(total[7], sys.modules["bsv_store_fast"].__file__)
"""
    value, file = run(installation.python, "-c", code, cwd=installation.away).split()
    assert float(value) == 1.5
    assert tmp_path in Path(file).parents


def test_license_of_the_compiled_loop_is_that_of_the_package() -> None:
    assert (CHECKOUT / "fast" / "LICENSE").read_bytes() == (CHECKOUT / "LICENSE").read_bytes()


def test_missing_migrations_are_a_clear_error(installation: Installation, tmp_path: Path) -> None:
    broken = tmp_path / "packages"
    for package in ("bsv_store", "bsv_store_cli", "bsv_store_synthetic"):
        shutil.copytree(installation.packages / package, broken / package)
    shutil.rmtree(broken / "bsv_store" / "_migrations")
    code = f"import sys; sys.path.insert(0, {str(broken)!r}); from bsv_store_cli.main import main; main()"
    done = subprocess.run(
        [installation.python, "-c", code, "init", tmp_path / "store"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "migrations" in done.stderr
    assert "Traceback" not in done.stderr
