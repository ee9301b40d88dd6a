"""The manual page ``bsv-store(1)``, generated from the help: ``python -m bsv_store_cli.man > docs/man/bsv-store.1``."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator

import click

from bsv_store import __version__
from bsv_store.vocabulary import SETTINGS
from bsv_store_cli.help import contexts_below
from bsv_store_cli.main import cli

_Records = tuple[tuple[str, str], ...]

_PROGRAM = "bsv-store"
# Longer lists of options that several commands have are printed once.
_SHORT = 2
# Characters that roff takes for a request, or prints as another character.
_ESCAPES = str.maketrans({"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"})
_EXIT_CODES = re.compile(r"\s*Exit codes: (.+)\.\s*$", re.DOTALL)

_ENVIRONMENT = (
    *((row.variable, f"Sets {row.words}.") for row in SETTINGS.values() if row.variable),
    ("PGPASSWORD, PGPASSFILE", "Password of the database on Postgres, or a file with it."),
    ("https_proxy, no_proxy, REQUESTS_CA_BUNDLE", "Proxies and certificates."),
)
_FILES = (
    ("store.toml", "In the folder of the store: its id, and the address of its database."),
    (
        "~/.config/bsv-store/config.toml",
        "The settings of the user. `bsv-store config show --origin` prints its path on other systems.",
    ),
    ("/etc/bsv-store/config.toml", "The settings of all users of the computer."),
)


def man_page() -> str:
    """The page in the macros of man(7)."""
    context = click.Context(cli, info_name=_PROGRAM, **cli.context_settings)
    about, codes = _split_exit_codes(inspect.cleandoc(cli.help or ""))
    title, _, description = about.partition("\n\n")
    lines = [
        f'.TH BSV-STORE 1 "" "{_PROGRAM} {__version__}" "User Commands"',
        ".SH NAME",
        f"{_text(_PROGRAM)} \\- {_text(title[0].lower() + title[1:].rstrip('.'))}",
        ".SH SYNOPSIS",
        *_synopsis(context),
        ".SH DESCRIPTION",
        *_prose(description),
        ".SH OPTIONS",
        *(line for records in _sections(context).values() for line in _definitions(records)),
        ".SH COMMANDS",
    ]
    shown: dict[tuple[str, _Records], str] = {}
    for each in contexts_below(context):
        if each is not context:
            lines += _command(each, shown)
    lines += [".SH EXIT STATUS", *_definitions(codes)]
    lines += [".SH ENVIRONMENT", *_definitions(_ENVIRONMENT), ".SH FILES", *_definitions(_FILES)]
    return "\n".join(lines) + "\n"


def _split_exit_codes(text: str) -> tuple[str, _Records]:
    found = _EXIT_CODES.search(text)
    assert found is not None
    codes = (part.partition(" ") for part in " ".join(found[1].split()).split(", "))
    return text[: found.start()], tuple((code, f"{words}.") for code, _, words in codes)


def _synopsis(context: click.Context) -> Iterator[str]:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    yield f".B {_text(context.command_path)}"
    yield _text(pieces)


def _command(context: click.Context, shown: dict[tuple[str, _Records], str]) -> Iterator[str]:
    path = context.command_path
    yield f".SS {_text(path)}"
    yield from _synopsis(context)
    yield ".PP"
    yield from _prose(inspect.cleandoc(context.command.help or ""))
    for section, records in _sections(context).items():
        first = shown.setdefault((section, records), path)
        if section != "Options":
            yield ".PP"
            yield f".I {_text(section)}:"
        if first != path and len(records) > _SHORT:
            yield _text(f"as for {first}.")
        else:
            yield from _definitions(records)


def _sections(context: click.Context) -> dict[str, _Records]:
    """The options, without ``--help``, by heading."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1] and (context.parent is None or "--help" not in parameter.opts):
            sections.setdefault(getattr(parameter, "section", None) or "Options", []).append(record)
    return {section: tuple(records) for section, records in sections.items()}


def _definitions(records: _Records) -> Iterator[str]:
    for term, words in records:
        yield ".TP"
        yield f".B {_text(term)}"
        yield _text(words)


def _prose(text: str) -> Iterator[str]:
    """The paragraphs; one that begins with a backspace keeps its lines, as on a terminal."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        if paragraph.startswith("\b"):
            yield ".nf"
            yield from (_text(line) for line in paragraph.splitlines()[1:])
            yield ".fi"
        else:
            yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    """A line of text, in which nothing is a request or an escape of roff."""
    escaped = text.translate(_ESCAPES)
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


if __name__ == "__main__":
    sys.stdout.write(man_page())
