"""The directive ``command-help``: the command line reference, generated from the help of the commands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import bsv_store_cli
from bsv_store_cli.main import cli

_PROGRAM = "bsv-store"
_Records = tuple[tuple[str, str], ...]


class CommandHelp(SphinxDirective):
    """Sections, one for each command and below it for each of its subcommands."""

    def run(self) -> list[nodes.Node]:
        """Parse the generated text in place of the directive."""
        for path in Path(bsv_store_cli.__file__).parent.rglob("*.py"):
            self.env.note_dependency(str(path))
        shown: dict[tuple[str, _Records], str] = {}
        lines = list(_command(cli, click.Context(cli, info_name=_PROGRAM), shown))
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _command(command: click.Command, context: click.Context, shown: dict[tuple[str, _Records], str]) -> Iterator[str]:
    path = context.command_path
    depth = path.count(" ")
    title = path if depth else "Global options"
    yield from ("", f".. _{_label(path)}:", "", title, ("-" if depth < 2 else "~") * len(title), "")
    yield from (".. code-block:: text", "", f"   {' '.join([path, *command.collect_usage_pieces(context)])}", "")
    yield from _prose(command.help or "")
    for section, records in _sections(command, context).items():
        first = shown.setdefault((section, records), path)
        if first != path and len(records) > 2:
            yield from (f"*{section}*: as for :ref:`{first} <{_label(first)}>`.", "")
            continue
        if section != "Options":
            yield from (f".. rubric:: {section}", "")
        yield from (line for term, text in records for line in _definition(term, text))
        yield ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _command(child, click.Context(child, info_name=name, parent=context), shown)


def _sections(command: click.Command, context: click.Context) -> dict[str, _Records]:
    """The options, without ``--help``, by heading."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        # Arguments without a help text are shown in the usage line only.
        if record is not None and record[1] and "--help" not in parameter.opts:
            sections.setdefault(getattr(parameter, "section", None) or "Options", []).append(record)
    return {section: tuple(records) for section, records in sections.items()}


def _definition(term: str, text: str) -> Iterator[str]:
    default = re.search(r"\s*\[([^\]]+)\]\s*$", text)
    yield f"``{term}``"
    yield f"   {_escaped(text[: default.start()] if default else text)}"
    if default:
        yield f"   [{_escaped(default[1])}]"


def _prose(text: str) -> Iterator[str]:
    """The help text as paragraphs; one that begins with a form feed or backspace keeps its lines, as on a terminal."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            yield "::"
            yield ""
            yield from (f"   {line}" for line in paragraph.splitlines()[1:])
        else:
            yield _escaped(" ".join(paragraph.split()))
        yield ""


def _escaped(text: str) -> str:
    """Plain text as reStructuredText, with options as code."""
    return re.sub(r"(?<![\w-])(--[a-z][a-z0-9-]*)", r"``\1``", re.sub(r"([*`_|\\])", r"\\\1", text)).strip()


def _label(path: str) -> str:
    return "cli-" + path.replace(" ", "-")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
