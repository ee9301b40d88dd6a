"""Every command works with the address of a server as in the folder, or says that it needs the folder."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bsv_store import open_store
from bsv_store.advice import FOLDER_COMMANDS
from tests.cli.running import Runner
from tests.cli.test_help import LEAVES
from tests.remote.filled import make
from tests.server.serving import serving

# The output is that of the folder. FIRST and TARGET are replaced by an id and by a new file.
SAME: Mapping[str, str] = {
    "select": "--injected-in VISp --format csv",
    "search correlation": "FIRST --format csv",
    "search injection": "9000,2000,8000 --format csv",
    "search point": "9000,2000,8000 --format csv",
    "search source": "VISp --format csv",
    "search target": "VISp --format csv",
    "targets": "--injected-in VISp --format csv",
    "sources": "VISp --format csv",
    "structures find": "visual --format csv",
    "structures labels": "-o TARGET.nii.gz",
    "structures overlap": "VISp root --format csv",
    "structures path": "VISp --format csv",
    "structures rank": "FIRST --format csv",
    "structures sets": "--format csv",
    "structures show": "VISp --format csv",
    "structures tree": "VISp",
    "structures voxels": "--format csv",
    "matrix": "--format csv",
    "catalog diff": "2 2",
    "catalog snapshots": "--format csv",
    "catalog summary": "--format csv",
    "atlas template": "-o TARGET.nrrd",
    "catalog verify": "",
    "volume check": "--ids FIRST",
    "volume export": "FIRST TARGET.nrrd",
    "volume mask": "VISp -o TARGET.nrrd",
    "volume masks": "VISp -o TARGET",
    "volume regions": "VISp --ids FIRST --format csv",
    "volume show": "FIRST",
    "volume subregions": "VISp --ids FIRST --bins AP=2 --format csv",
    "volume threshold": "FIRST 0.1",
    "sql": '"select experiment_id, injection_volume from experiments order by 1" --format csv',
    "dataset cite": "all",
    "dataset diff": "all compared",
    "dataset export": "all TARGET.nrrd",
    "dataset lineage": "all",
    "dataset list": "--format csv",
    "dataset rebuild": "all --check",
    "dataset regions": "all --format csv",
    "dataset show": "all",
    "dataset stale": "",
    "dataset subregions": "all VISp --bins AP=2 --format csv",
    "dataset threshold": "all 0.1",
    "selection history": "few",
    "selection list": "--format csv",
    "selection show": "few",
    "exclude list": "--format csv",
}
REFUSED: Mapping[str, str] = {
    "sync annotation": "",
    "sync experiments": "",
    "sync structures": "",
    "sync template": "",
    "sync unionizes": "--all",
    "fetch": "--ids FIRST",
    "ingest annotation": "FILE",
    "ingest experiments": "FILE",
    "ingest structures": "FILE",
    "ingest template": "FILE",
    "ingest unionizes": "FILE",
    "adopt": "FOLDER",
    "dataset delete": "all@1",
    "dataset tag": "all paper",
    "dataset untag": "all paper --yes",
    "selection save": "new --injected-in VISp",
    "exclude add": "FIRST --reason why",
    "exclude remove": "EXCLUDED",
    "serve token add": "name",
    "serve token list": "",
    "serve token revoke": "name",
    "activity": "",
    "backup create": "FOLDER",
    "claims break": "--all-ended",
    "claims list": "",
    "config set": "trash_days 3",
    "db check": "",
    "db current": "",
    "db downgrade": "0018 --yes",
    "db grant": "",
    "db history": "",
    "db journal": "",
    "db stamp": "0018 --yes",
    "db upgrade": "--yes",
    "doctor": "--offline",
    "gc": "",
    "init": "",
    "quota": "--max-bytes 1GB",
    "repair": "",
    "store attach": "",
    "store move": "--database sqlite",
    "store permissions": "",
    "trash": "",
    "untrash": "x",
    "verify": "",
}
FIGURES = ("3d", "differences", "injections", "matrix", "overlay", "projections", "regions", "slices", "targets")
# Of these, the option needs the folder, or its absence does.
REFUSED_OPTIONS: Mapping[str, str] = {
    "aggregate": "--ids FIRST --name x --fetch",
    "dataset rebuild": "all",
}
ELSEWHERE = {
    # Averages: tests/remote/test_averages.py.
    "aggregate",
    "compare",
    # Below: refused, unless the server has the version.
    "dataset import",
    # Without the data that they need.
    "reproduce",
    "volume centroid",
    # tests/remote/test_methods.py compares pixels.
    *(f"plot {name}" for name in FIGURES),
    "report",
    # Of the cache, of backups, or of no store.
    *("cache list", "cache prune", "cache verify"),
    *("backup list", "backup prune", "backup restore", "backup verify"),
    *("completion install", "completion show", "demo", "help"),
    # Below.
    "status",
    "config show",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = make(tmp_path_factory.mktemp("served") / "store", None)
    with open_store(folder, read_only=True) as store, serving(store) as url:
        yield folder, url


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cache: Path) -> Runner:
    monkeypatch.setenv("BSV_STORE_CACHE", str(cache))
    return Runner(capsys, monkeypatch)


def _words(text: str, folder: Path, target: Path) -> list[str]:
    import shlex

    with open_store(folder, read_only=True) as store:
        first, excluded = store.select()[0], min(store.catalog.excluded_from())
    (target.parent / "file").write_text("x")
    replaced = {
        "FIRST": str(first),
        "EXCLUDED": str(excluded),
        "TARGET": str(target),
        "FILE": str(target.parent / "file"),
        "FOLDER": str(target.parent),
    }
    return [re.sub("|".join(replaced), lambda match: replaced[match[0]], word) for word in shlex.split(text)]


@pytest.mark.parametrize("command", SAME)
def test_a_command_prints_what_it_prints_for_the_folder(
    served: tuple[Path, str], run: Runner, command: str, tmp_path: Path
) -> None:
    folder, url = served
    said = []
    for number, store in enumerate((str(folder), url)):
        target = tmp_path / str(number)
        if command == "volume masks":
            target.mkdir()
        outcome = run("--store", store, *command.split(), *_words(SAME[command], folder, target))
        content = [file.read_bytes() for file in sorted(tmp_path.glob(f"{number}.*")) + sorted(target.glob("*"))]
        out = re.sub(rf"/\S*/{number}(?=[./\s]|$)", "TARGET", outcome.out)
        # The path of a file of the store, which is in the cache.
        said.append((outcome.code, re.sub(r"/\S+\.(h5|nc)\b", "FILE", out), content))
        if number == 0:
            # 1 reports findings. Errors would compare nothing.
            assert outcome.code in (0, 1), outcome.err
    assert said[0] == said[1]


@pytest.mark.parametrize("command", REFUSED)
def test_a_command_that_needs_the_folder_says_so(
    served: tuple[Path, str], run: Runner, command: str, tmp_path: Path
) -> None:
    folder, url = served
    outcome = run("--store", url, *command.split(), *_words(REFUSED[command], folder, tmp_path / "x"))
    outcome.refused(3, f"{url} is a store on a server")


@pytest.mark.parametrize("command", REFUSED_OPTIONS)
def test_an_option_that_needs_the_folder_says_so(
    served: tuple[Path, str], run: Runner, command: str, tmp_path: Path
) -> None:
    folder, url = served
    outcome = run("--store", url, *command.split(), *_words(REFUSED_OPTIONS[command], folder, tmp_path / "x"))
    outcome.refused(3, f"{url} is a store on a server")


def test_hints_know_which_commands_are_refused() -> None:
    # A hint names `init` for a store of one's own.
    refused = (REFUSED.keys() | REFUSED_OPTIONS.keys() | {"dataset import"}) - {"init"}
    assert {each.name for each in FOLDER_COMMANDS} == refused
    for each in FOLDER_COMMANDS:
        assert bool(each.only_with or each.unless) == (each.name in REFUSED_OPTIONS)


def test_every_command_has_a_row() -> None:
    assert {" ".join(path) for path in LEAVES} == SAME.keys() | REFUSED.keys() | ELSEWHERE


def test_status_and_settings_show_the_address(served: tuple[Path, str], run: Runner) -> None:
    _, url = served
    status = run("--store", url, "status").succeeded()
    assert f"{url} (from argument)" in status.out
    assert "online, catalog of" in status.out
    for form in ("json", "csv", "prometheus"):
        run("--store", url, "status", "--format", form).succeeded()
    assert url in run("--store", url, "config", "show").succeeded().out


def test_a_comparison_says_how_to_share_it(served: tuple[Path, str], run: Runner, tmp_path: Path) -> None:
    folder, url = served
    with open_store(folder, read_only=True) as store:
        ids = store.select()
    sides = [",".join(map(str, part)) for part in (ids[:2], ids[2:4])]
    arguments = ["compare", *(f"--ids {side}" for side in sides), "--name", "mine", "--permutations", "10"]
    done = run("--store", url, *arguments, "--bootstrap", "10").succeeded()
    local = re.search(r"Dataset: (mine@local-\w+) \(computed now, only on this computer\)", done.err)
    assert local is not None
    assert f"To share it: bsv-store dataset export {local[1]} mine.bsv.zip" in done.err
    bundle = str(tmp_path / "mine.bsv.zip")
    run("--store", url, "dataset", "export", local[1], bundle).succeeded()
    run("--store", url, "dataset", "import", bundle).refused(3, f"{url} is a store on a server")
