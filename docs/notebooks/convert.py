"""Write the pages of this folder as Jupyter notebooks: ``python docs/notebooks/convert.py``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
_CELL = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def notebook(page: str, name: str) -> str:
    """The notebook of a page: its Python blocks are code cells, the text between them is Markdown.

    Blocks that need Allen's lists are text, since the notebook runs on the synthetic atlas.
    """
    page = re.sub(r"^<!-- allen: .* -->\n```python$", "```py", page, flags=re.MULTILINE)
    parts = _CELL.split(re.sub(r"^<!-- .* -->\n", "", page, flags=re.MULTILINE))
    cells: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        is_code = number % 2 == 1
        if text := part.strip("\n"):
            cell: dict[str, Any] = {
                "cell_type": "code" if is_code else "markdown",
                "id": f"{name}-{len(cells)}",
                "metadata": {},
                "source": text.splitlines(keepends=True),
            }
            if is_code:
                cell |= {"execution_count": None, "outputs": []}
            cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def pages() -> list[Path]:
    """The pages with code."""
    return sorted(path for path in FOLDER.glob("*.md") if path.name != "index.md")


def main() -> None:
    """Write all notebooks."""
    for path in pages():
        path.with_suffix(".ipynb").write_text(notebook(path.read_text(encoding="utf-8"), path.stem), encoding="utf-8")


if __name__ == "__main__":
    main()
