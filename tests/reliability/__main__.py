"""Run the campaigns at full size, and write their figures to docs/reliability.md: ``make reliability``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tests.reliability.campaigns import CAMPAIGNS, FIGURES_VARIABLE, ROUNDS_VARIABLE, SEED_VARIABLE, Name
from tests.reliability.mutants import MUTANTS

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENT = CHECKOUT / "docs" / "reliability.md"


@dataclass(frozen=True)
class Figures:
    """What a campaign did.

    Attributes
    ----------
    name : Name
    trials : int
    failures : int
        Tests that failed or were skipped, and at least 1 if there were no trials.
    seconds : float
    """

    name: Name
    trials: int
    failures: int
    seconds: float


def figures_of(names: Iterable[Name], lines: Iterable[Mapping[str, Any]]) -> list[Figures]:
    """The figures of the chosen campaigns, also of those that recorded nothing, in their order.

    Parameters
    ----------
    names : iterable of Name
    lines : iterable of mapping
        What `campaign` recorded.
    """
    recorded: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        recorded[line["campaign"]].append(line)
    found = []
    for name in names:
        parts = recorded[name]
        trials, failures = sum(each["trials"] for each in parts), sum(not each["passed"] for each in parts)
        # A test that was skipped, or whose fixture or file failed, has recorded nothing.
        found.append(Figures(name, trials, failures if trials else max(1, failures), sum(e["seconds"] for e in parts)))
    return found


def table(found: Iterable[Figures], *, heading: str) -> str:
    """The figures of a run, as a table of Markdown."""
    rows = [heading, "", "| campaign | what is tried | trials | failures | minutes |", "|---|---|---:|---:|---:|"]
    for each in found:
        row = CAMPAIGNS[each.name]
        trials = f"{each.trials:,} {row.unit}" if each.trials else "none: not run"
        rows.append(f"| `{each.name}` | {row.title} | {trials} | {each.failures} | {each.seconds / 60:.1f} |")
    return "\n".join(rows)


def promises() -> str:
    """The promises that `make mutants` breaks one by one, as a table of Markdown."""
    rows = ["| promise | kept by | tests that notice a break |", "|---|---|---|"]
    for each in sorted(MUTANTS, key=lambda mutant: mutant.path):
        tests = " ".join(each.tests).replace("tests/", "")
        rows.append(f"| {each.promise[0].upper()}{each.promise[1:]} | `{each.path}` | `{tests}` |")
    return "\n".join(rows)


def replaced(document: str, name: Literal["figures", "promises"], text: str) -> str:
    """A document with another table between the comments ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = document.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{text}\n{end}{after}"


def main() -> int:
    """Run the tests of the chosen campaigns; the exit code of pytest, or 1 if a campaign failed or did not run."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=f"default: all of {', '.join(CAMPAIGNS)}")
    parser.add_argument("--rounds", type=float, default=1.0, help="factor for the sizes of the long run (default 1)")
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices (default 1)")
    parser.add_argument("--workers", type=int, default=2, help="number of pytest processes (default 2)")
    parser.add_argument("--no-table", action="store_true", help="do not write docs/reliability.md")
    parser.add_argument("--promises", action="store_true", help="only write the table of promises")
    arguments = parser.parse_args()
    document = DOCUMENT.read_text(encoding="utf-8")
    if arguments.promises:
        DOCUMENT.write_text(replaced(document, "promises", promises()), encoding="utf-8")
        return 0
    unknown = set(arguments.campaigns) - set(CAMPAIGNS)
    if unknown:
        parser.error(f"unknown campaigns: {', '.join(sorted(unknown))}")
    names: list[Name] = [each for each in CAMPAIGNS if each in (arguments.campaigns or CAMPAIGNS)]
    files = sorted({f"tests/reliability/{CAMPAIGNS[each].tests}" for each in names})
    with tempfile.TemporaryDirectory(prefix="bsv-store-reliability-") as folder:
        figures = Path(folder) / "figures.jsonl"
        environment = {
            **os.environ,
            ROUNDS_VARIABLE: str(arguments.rounds),
            SEED_VARIABLE: str(arguments.seed),
            FIGURES_VARIABLE: str(figures),
            # The figures are of both databases.
            "BSV_STORE_TESTS_REQUIRE": f"{os.environ.get('BSV_STORE_TESTS_REQUIRE', '')} postgres",
        }
        command = [sys.executable, "-m", "pytest", "-n", str(arguments.workers), "--dist", "loadgroup"]
        code = subprocess.run([*command, *files], cwd=CHECKOUT, env=environment, check=False).returncode
        text = figures.read_text(encoding="utf-8") if figures.exists() else ""
        found = figures_of(names, map(json.loads, text.splitlines()))
    which = f" ARGS='{' '.join(names)}'" if arguments.campaigns else ""
    heading = (
        f"{datetime.now(UTC):%Y-%m-%d}, `make reliability ROUNDS={arguments.rounds:g} SEED={arguments.seed}{which}`, "
        f"{len(names)} of {len(CAMPAIGNS)} campaigns, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores:"
    )
    made = table(found, heading=heading)
    if code:
        made += f"\n\nSome tests of this run failed (exit code {code} of pytest)."
    sys.stdout.write(f"{made}\n")
    if not arguments.no_table:
        document = replaced(document, "promises", promises())
        DOCUMENT.write_text(replaced(document, "figures", made), encoding="utf-8")
    return code or int(any(each.failures for each in found))


if __name__ == "__main__":
    sys.exit(main())
