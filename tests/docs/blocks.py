"""The fenced blocks of a page, and the run of those in Python and in the shell, from top to bottom."""

from __future__ import annotations

import importlib
import re
import shlex
from dataclasses import dataclass
from typing import Any

import click
import pytest

from bsv_store_cli.main import cli
from tests.cli.running import CHECKOUT, Runner

DOCS = CHECKOUT / "docs"
_FENCE = re.compile(r"(?:^<!-- ([^>]+) -->\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SHELL = re.compile(r"[|&;<>()$`*?]")


@dataclass(frozen=True)
class Block:
    """A block, and the comment before it.

    ``not run: REASON`` marks what cannot run in a test, ``needs: NAME`` what runs if the name of the library, or the
    command, exists, ``allen: REASON`` what needs Allen's lists.
    """

    mark: str
    language: str
    text: str

    @property
    def is_run(self) -> bool:
        if self.mark.startswith(("not run: ", "allen: ")):
            return False
        if self.mark.startswith("needs: "):
            return exists(self.mark.removeprefix("needs: "))
        assert not self.mark, self.mark
        return True

    @property
    def commands(self) -> list[str]:
        return [line for line in self.text.replace("\\\n", " ").splitlines() if line.strip()]


def blocks(page: str) -> list[Block]:
    text = (DOCS / page).read_text(encoding="utf-8")
    found = [Block(*parts) for parts in _FENCE.findall(text)]
    assert text.count("```") == 2 * len(found)
    return found


def exists(name: str) -> bool:
    """Whether ``package.module.name`` can be imported, or a command of the command line exists."""
    if "." in name:
        module, _, attribute = name.rpartition(".")
        return hasattr(importlib.import_module(module), attribute)
    command: click.Command | None = cli
    for word in name.split():
        if not isinstance(command, click.Group):
            return False
        command = command.get_command(click.Context(command), word)
    return command is not None


def run_page(page: str, names: dict[str, Any], run: Runner, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the blocks that can run; return their number."""
    count = 0
    for number, block in enumerate(blocks(page)):
        if block.language not in ("python", "sh") or not block.is_run:
            continue
        count += 1
        if block.language == "python":
            exec(compile(block.text, f"docs/{page}, block {number}", "exec"), names)
            continue
        for line in block.commands:
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                monkeypatch.setenv(name, value)
                continue
            assert not _SHELL.search(line), line
            program, *arguments = shlex.split(line)
            assert program == "bsv-store", line
            done = run(*arguments)
            assert done.code == 0, f"{page}: {line}\n{done.out}\n{done.err}"
    return count
