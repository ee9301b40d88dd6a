"""Try the mutants of targets: ``python -m tests.reliability.mutation hemisphere kernel``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.reliability.mutants import CHECKOUT, copy_checkout
from tests.reliability.mutation.targets import TARGETS


def main() -> int:
    """0 if each module has at least 95 % of its mutants killed, and survivors.toml lists exactly the others."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.mutation", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; all if not given")
    parser.add_argument("--again", action="store_true", help="only mutants that were not noticed the last time")
    parser.add_argument("--results", type=Path, default=CHECKOUT / "build" / "mutation", help="folder for the outcomes")
    parser.add_argument("--tests", nargs="+", default=[], help="run only these tests, to try new ones")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"unknown target: {', '.join(sorted(unknown))}")
    arguments.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bsv-store-mutation-", ignore_cleanup_errors=True) as folder:
        copy = copy_checkout(Path(folder) / "checkout")
        (Path(folder) / "tmp").mkdir()
        environment = {
            "BSV_STORE_SHARED": str(CHECKOUT.parent / "shared"),
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(copy), str(copy / "cli"), str(copy / "synthetic")]),
            # A mutant may have the size and time stamp of the file that was compiled before.
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "TMPDIR": f"{folder}/tmp",
        }
        mode = "again" if arguments.again else "all"
        command = [sys.executable, "-m", "tests.reliability.mutation.score", str(copy), str(arguments.results), mode]
        command.append(json.dumps(arguments.tests))
        return subprocess.run([*command, *(arguments.targets or TARGETS)], cwd=copy, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
