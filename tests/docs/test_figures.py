"""The calls in docs/figures.md have arguments that the functions have."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path

import click
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "figures.md"


def test_every_call_is_valid() -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    from bsv_store import reports

    found = []
    for snippet in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
        for node in ast.walk(ast.parse(snippet)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("reports."):
                function = getattr(reports, ast.unparse(node.func).removeprefix("reports."))
                names = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg is not None}
                inspect.signature(function).bind(*node.args, **names)
                found.append(function.__name__)
    assert set(found) == set(reports.__all__) - {"page", "projections"}


def test_every_command_is_valid() -> None:
    from bsv_store_cli.main import cli

    lines = re.findall(r"^bsv-store (plot .*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(lines) > 1
    for line in lines:
        command: click.Command = cli
        words = shlex.split(line)
        context = click.Context(command)
        while isinstance(command, click.Group):
            inner = command.get_command(context, words.pop(0))
            assert inner is not None, line
            command = inner
        command.make_context("plot", words)
