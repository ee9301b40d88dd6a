"""Run the campaigns at length, and write their figures into docs/reliability.md: ``make reliability``."""

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
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tests.reliability.campaigns import CAMPAIGNS, FIGURES_VARIABLE, ROUNDS_VARIABLE, SEED_VARIABLE, Name
from tests.reliability.mutants import MUTANTS

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENT = CHECKOUT / "docs" / "reliability.md"


def table(lines: Iterable[dict[str, Any]], *, heading: str) -> str:
    """The figures of a run, as a table of Markdown."""
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        grouped[line["campaign"]].append(line)
    rows = [heading, "", "| what is tried | trials | failures | minutes |", "|---|---:|---:|---:|"]
    for name, row in CAMPAIGNS.items():
        if name not in grouped:
            continue
        made = grouped[name]
        failures = sum(not each["passed"] for each in made)
        minutes = sum(each["seconds"] for each in made) / 60
        rows.append(
            f"| {row.title} | {sum(each['trials'] for each in made):,} {row.unit} | {failures} | {minutes:.1f} |"
        )
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
    """Run the tests of the chosen campaigns; the exit code of pytest."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=f"default: all of {', '.join(CAMPAIGNS)}")
    parser.add_argument("--rounds", type=float, default=1.0, help="multiplies the sizes of the long run (default 1)")
    parser.add_argument("--seed", type=int, default=1, help="of all random choices (default 1)")
    parser.add_argument("--workers", type=int, default=2, help="processes of pytest (default 2)")
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
        }
        command = [sys.executable, "-m", "pytest", "-n", str(arguments.workers), "--dist", "loadgroup"]
        code = subprocess.run([*command, *files], cwd=CHECKOUT, env=environment, check=False).returncode
        text = figures.read_text(encoding="utf-8") if figures.exists() else ""
        lines = [line for line in map(json.loads, text.splitlines()) if line["campaign"] in names]
    heading = (
        f"{datetime.now(UTC):%Y-%m-%d}, `make reliability ROUNDS={arguments.rounds:g} SEED={arguments.seed}`, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores:"
    )
    made = table(lines, heading=heading)
    sys.stdout.write(f"{made}\n")
    if not arguments.no_table:
        document = replaced(document, "promises", promises())
        DOCUMENT.write_text(replaced(document, "figures", made), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
