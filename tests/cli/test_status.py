"""``bsv-store status``."""

from __future__ import annotations

import re
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert

from bsv_store import open_store
from bsv_store.catalog.database.models import Claim, Verification
from bsv_store.config.files import user_file
from bsv_store.owner import process_owner
from bsv_store.store.metrics import Metric, _exposition
from bsv_store.text import size_text
from tests.cli.conftest import ATLAS, VISP
from tests.cli.running import Runner, child_environment, command_line


def test_says_what_the_store_holds(run: Runner, filled: Path) -> None:
    with open_store(filled) as store:
        state = store.status()
    (volumes,) = state.catalog.volumes
    done = run("status", store=filled).succeeded()
    facts = dict(line.split(maxsplit=1) for line in done.out.split("\n\n")[0].splitlines())
    assert facts == {
        "Store": f"{filled} (from argument)",
        "Id": state.store_id,
        "Database": f"{state.database}, schema {state.schema_revision}",
        "Structures": str(len(ATLAS.structures)),
        "Experiments": "12",
        "Unionizes": f"{sum(len(ATLAS.unionize(each)) for each in VISP)} rows of 5 experiments",
        "Volumes": f"5, {size_text(volumes.size_bytes)}",
        "Datasets": "1 with 1 version",
        "Trash": "0 files, 0 B",
        "Temporary": "0 files, 0 B",
        "Claims": "0 of running jobs",
        "Verified": "6 objects never verified",
        "Disk": facts["Disk"],
    }
    assert facts["Disk"].endswith(" free")
    assert done.err == ""


def test_sources_are_named_by_their_host(run: Runner, filled: Path) -> None:
    lists = run("status", store=filled).succeeded().out.split("\nLists\n")[1].splitlines()
    assert [line.split()[:2] for line in lists[2:]] == [["experiments", "api"], ["structures", "api"]]
    assert all("127.0.0.1:" in line and "http" not in line for line in lists[2:])
    assert max(map(len, lists)) < 100


def test_json_has_everything(run: Runner, filled: Path) -> None:
    with open_store(filled) as store:
        state = store.status()
    shown = run("status", "--format", "json", store=filled).succeeded().json
    assert shown["store_id"] == state.store_id
    assert shown["catalog"]["experiments_with_unionizes"] == len(VISP)
    assert [each["source"] for each in shown["catalog"]["latest_snapshots"]] == [
        each.source for each in state.catalog.latest_snapshots
    ]


def test_csv_has_the_counts(run: Runner, filled: Path) -> None:
    counts = {row["what"]: row["count"] for row in run("status", "--format", "csv", store=filled).succeeded().rows}
    assert counts["experiments"] == "12"
    assert counts["projection_density 100 um"] == "5"
    assert counts["dataset versions"] == "1"


def test_an_empty_store_says_what_to_do(run: Runner, store_location: Path) -> None:
    done = run("status", store=store_location).succeeded()
    assert "Volumes      0" in done.out
    assert "Lists" not in done.out
    assert "bsv-store sync structures" in done.err


def test_says_why_this_store_was_chosen(run: Runner, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_file().parent.mkdir(parents=True)
    user_file().write_text(f"store = '{filled}'\n", encoding="utf-8")
    assert run("status", "--format", "json").succeeded().json["origin"] == str(user_file())
    monkeypatch.setenv("BSV_STORE", str(filled))
    assert f"Store        {filled} (from BSV_STORE)" in run("status").succeeded().out
    assert run("status", "--format", "json", store=filled).succeeded().json["origin"] == "argument"


def test_leftovers_claims_and_disk_space_are_counted(run: Runner, own_filled: Path) -> None:
    (own_filled / "trash" / "deep").mkdir()
    (own_filled / "trash" / "deep" / "volume").write_bytes(bytes(1000))
    # A record of the trash, which `trash` does not count either.
    (own_filled / "trash" / "0123456789ab.json").write_bytes(b"{}")
    (own_filled / "tmp" / f"{process_owner()}-0123456789abcdef.tmp").write_bytes(bytes(10))
    (own_filled / "tmp" / "notes.txt").write_bytes(bytes(10))
    with open_store(own_filled) as store, store.database.writing() as connection:
        times = {"claimed_at": datetime(2020, 1, 1, tzinfo=UTC)}
        later, earlier = datetime(2100, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC)
        place, _, _ = process_owner().split("-")
        for number, (owner, expires) in enumerate(
            [
                ("elsewhere/1/x", later),
                (f"host/{process_owner()}/x", later),
                ("elsewhere/1/x", earlier),
                # A process of this host that has ended.
                (f"host/{place}-999999999-1/x", later),
            ]
        ):
            values = {"object_key": str(number), "owner": owner, "token": 1, "expires_at": expires, **times}
            connection.execute(insert(Claim).values(**values))
    shown = run("status", "--format", "json", store=own_filled).succeeded().json["upkeep"]
    assert (shown["trash"]["files"], shown["trash"]["size_bytes"]) == (1, 1000)
    assert (shown["temporary"]["files"], shown["temporary"]["size_bytes"]) == (1, 10)
    assert shown["claims"] == {"live": 2, "ended": 2}
    assert 0 < shown["disk"]["free_bytes"] <= shown["disk"]["total_bytes"]
    facts = dict(line.split(maxsplit=1) for line in run("status", store=own_filled).out.split("\n\n")[0].splitlines())
    assert facts["Trash"] == "1 file, 1.0 kB"
    assert facts["Claims"] == "2 of running jobs, 2 left by jobs that ended"


def test_verifications_are_shown(run: Runner, own_filled: Path) -> None:
    def shown() -> tuple[int, int, str | None]:
        state = run("status", "--format", "json", store=own_filled).json["upkeep"]["verification"]
        return state["never"], state["damaged"], state["oldest_at"]

    assert shown() == (6, 0, None)
    run("verify", "--deep", store=own_filled).succeeded()
    never, damaged, oldest = shown()
    assert (never, damaged) == (0, 0)
    assert f"Verified     all since {str(oldest)[:10]}" in run("status", store=own_filled).out
    samples = parsed(run("status", "--format", "prometheus", store=own_filled).out)
    assert samples["bsv_store_unverified_objects", frozenset()] == 0
    assert samples["bsv_store_damaged_objects", frozenset()] == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_watching_ends_when_the_reader_has_finished(filled: Path) -> None:
    words = command_line("status", "--watch", "0.2", store=filled)
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=child_environment()) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=20) == 0


def test_verified_unionize_tables_do_not_stand_for_files(run: Runner, own_filled: Path) -> None:
    with open_store(own_filled) as store, store.database.writing() as connection:
        for number in range(20):
            key = f"unionizes/{number}"
            connection.execute(insert(Verification).values(**_verification(key, "deep", "intact", 2020)))
    state = run("status", "--format", "json", store=own_filled).json["upkeep"]["verification"]
    assert (state["never"], state["oldest_at"]) == (6, None)


def test_damage_is_counted_until_the_object_is_found_intact(run: Runner, own_filled: Path) -> None:
    rows = [
        ("volume/a", "deep", "damaged_content", 2020),
        # Does not read the content.
        ("volume/a", "quick", "intact", 2021),
        ("volume/b", "deep", "damaged_content", 2020),
        ("volume/b", "decode", "intact", 2021),
        ("unionizes/1", "deep", "inconsistent_rows", 2020),
    ]
    with open_store(own_filled) as store, store.database.writing() as connection:
        for row in rows:
            connection.execute(insert(Verification).values(**_verification(*row)))
    done = run("status", store=own_filled).succeeded()
    assert "Verified     4 objects never verified; 2 objects found damaged" in done.out
    assert "bsv-store repair" in done.err
    samples = parsed(run("status", "--format", "prometheus", store=own_filled).out)
    assert samples["bsv_store_damaged_objects", frozenset()] == 2


def _verification(key: str, depth: str, outcome: str, year: int) -> dict[str, object]:
    at = datetime(year, 1, 1, tzinfo=UTC)
    return {"object_key": key, "depth": depth, "verified_at": at, "content_hash": "", "outcome": outcome}


# -- Prometheus -------------------------------------------------------------------------------------------------------

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>[-+0-9.e]+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def parsed(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples of an exposition; fails if it is not valid."""
    assert text.endswith("\n")
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    described: set[str] = set()
    typed: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# "):
            _, kind, name, words = line.split(" ", 3)
            assert name not in typed, "HELP, then TYPE, once, before the samples"
            (described if kind == "HELP" else typed).add(name)
            assert kind == "HELP" or words == "gauge"
            continue
        found = _SAMPLE.fullmatch(line)
        assert found is not None, line
        labels = _LABEL.findall(found["labels"] or "")
        assert "".join(f'{name}="{value}",' for name, value in labels).rstrip(",") == (found["labels"] or "")
        assert found["name"] in described & typed
        key = (found["name"], frozenset(labels))
        assert key not in samples
        samples[key] = float(found["value"])
    return samples


def test_prometheus_gets_valid_metrics(run: Runner, filled: Path) -> None:
    samples = parsed(run("status", "--format", "prometheus", store=filled).succeeded().out)
    assert all(name.startswith("bsv_store_") for name, _ in samples)
    assert samples["bsv_store_up", frozenset()] == 1
    assert samples["bsv_store_experiments", frozenset()] == 12
    volumes = frozenset({("kind", "projection_density"), ("spacing_um", "100")})
    assert samples["bsv_store_volumes", volumes] == 5
    assert samples["bsv_store_claims", frozenset({("state", "live")})] == 0
    assert samples["bsv_store_folder_files", frozenset({("folder", "trash")})] == 0
    now = datetime.now(UTC).timestamp()
    assert now - 3600 < samples["bsv_store_list_timestamp_seconds", frozenset({("what", "experiments")})] <= now


def test_labels_are_escaped() -> None:
    hostile = 'a"b\\c\nd'
    text = _exposition([Metric("bsv_store_x", "a\\b\nc", (({"name": hostile}, 1.5),)), Metric("bsv_store_y", "", ())])
    ((_, labels),) = parsed(text)
    assert dict(labels)["name"] == 'a\\"b\\\\c\\nd'


def test_a_store_that_cannot_be_opened_is_down(run: Runner, tmp_path: Path) -> None:
    done = run("status", "--format", "prometheus", store=tmp_path / "none").refused(3, "is not a bsv-store")
    assert parsed(done.out) == {("bsv_store_up", frozenset()): 0}
    file = tmp_path / "bsv.prom"
    run("status", "--format", "prometheus", "--output", file, store=tmp_path / "none").refused(3)
    assert parsed(file.read_text()) == {("bsv_store_up", frozenset()): 0}


def test_metrics_are_written_to_a_file(run: Runner, filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "out" / "bsv.prom"
    file.parent.mkdir()
    for _ in range(2):
        assert run("status", "--format", "prometheus", "--output", file, store=filled).succeeded().out == ""
    assert parsed(file.read_text())["bsv_store_up", frozenset()] == 1
    assert [each.name for each in file.parent.iterdir()] == ["bsv.prom"]
    run("status", "--output", file, store=filled).refused(2, "--output requires --format prometheus")
    run("status", "--format", "prometheus", "--output", tmp_path / "no" / "x", store=filled).refused(
        2, "does not exist"
    )
    run("status", "--format", "prometheus", "--output", "/dev/null", store=filled).refused(2, "not a regular file")


def test_watch_repeats_until_it_is_interrupted(request: pytest.FixtureRequest) -> None:
    filled: Path = request.getfixturevalue("_filled_sqlite")
    with subprocess.Popen(
        command_line("status", "--watch", "0.2", "--format", "csv", store=filled),
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        headings = 0
        for line in process.stdout:
            headings += line == "what,count,size_bytes\n"
            if headings == 3:
                process.send_signal(signal.SIGINT)
                break
        _, errors = process.communicate(timeout=30)
    assert headings == 3
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_watch_goes_on_when_the_database_does_not_answer(
    run: Runner, own_filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            (own_filled / "store.toml").rename(own_filled / "gone")
            (own_filled / "store.toml").mkdir()
        elif len(waits) == 2:
            (own_filled / "store.toml").rmdir()
            (own_filled / "gone").rename(own_filled / "store.toml")
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr("bsv_store_cli.commands.status.time.sleep", wait)
    done = run("status", "--watch", "--format", "csv", store=own_filled).succeeded()
    assert waits == [5.0, 5.0, 5.0]
    assert done.out.count("what,count,size_bytes") == 2
    assert "cannot be read" in done.err
