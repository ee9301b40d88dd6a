"""Print the lower bounds of pyproject.toml as pip constraints, so that tests can run with exactly these versions."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

# Extras that users install; the test tools may be newer.
_EXTRAS = ("postgres", "plot", "xarray", "dask")


def main(pyproject: Path) -> None:
    """Print one ``name==version`` line for each ``name>=version``."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    requirements = list(project["dependencies"])
    for extra in _EXTRAS:
        requirements += project["optional-dependencies"][extra]
    for requirement in requirements:
        match = re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)", requirement)
        if match is None:
            sys.exit(f"{requirement}: expected name>=version")
        print(f"{match[1]}=={match[2]}")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
