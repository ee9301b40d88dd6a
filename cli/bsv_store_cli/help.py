"""Help of commands: options in sections, suggestions for misspelled commands, and choices that ignore case."""

from __future__ import annotations

import inspect
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bsv_store.check import choice
from bsv_store.errors import BsvStoreError, InputError
from bsv_store.text import shown
from bsv_store_cli.spelling import with_options

if TYPE_CHECKING:
    from bsv_store.vocabulary import Row


class SectionOption(click.Option):
    """An option in a section of the help."""

    def __init__(self, declarations: Sequence[str], *, section: str, **attributes: Any) -> None:
        super().__init__(declarations, **attributes)
        self.section = section


class WordChoice(click.Choice[str]):
    """A choice that ignores case and treats hyphens and underscores alike."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The choice for a value."""
        plain = {_plain(str(choice)): choice for choice in self.choices}
        return super().convert(plain.get(_plain(str(value)), value), param, ctx)


class RowChoice(click.Choice[str]):
    """A choice among the names of a closed list of :mod:`bsv_store.vocabulary`, shown with hyphens.

    The command gets the name of the library. Case is ignored, hyphens and underscores are alike, and synonyms are
    accepted.

    Parameters
    ----------
    rows : mapping of str to row
    names : sequence of str, optional
        Only these names.
    """

    def __init__(self, rows: Mapping[str, Row], names: Sequence[str] | None = None) -> None:
        self._rows = rows if names is None else {name: rows[name] for name in names}
        super().__init__([name.replace("_", "-") for name in self._rows])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name for a value."""
        try:
            return choice("value", value, self._rows).name
        except InputError:
            # click's own error names the option and the choices.
            return super().convert(value, param, ctx)


def _plain(word: str) -> str:
    return word.replace("_", "-").casefold()


class _CommandOrGroup(click.Command):
    """What commands and groups have in common.

    An option that takes one value must not be repeated; click would silently use the last. Errors of the library name
    the options of the command instead of arguments of Python.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BsvStoreError as error:
            error.message = with_options(error.message, self.params)
            error.hint = error.hint and with_options(error.hint, self.params)
            raise

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The remaining arguments; the others are in the context."""
        if not ctx.resilient_parsing:
            if nul := next((each for each in args if "\0" in each), None):
                raise click.UsageError(f"arguments must not contain a NUL character, got {shown(nul)}", ctx)
            if odd := next((each for each in args if not _is_encodable(each)), None):
                raise click.UsageError(f"arguments must be text, got {shown(odd)}", ctx)
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for option, times in Counter(each for each in order if isinstance(each, click.Option)).items():
                is_repeatable = option.multiple or option.count or (option.is_flag and not option.secondary_opts)
                if times > 1 and not is_repeatable and option.expose_value:
                    raise click.UsageError(f"{option.opts[-1]} takes one value, got {times}", ctx)
        return super().parse_args(ctx, args)


def _is_encodable(text: str) -> bool:
    """Whether the operating system can get the text, for example as a path. No shell passes another one."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


class Command(_CommandOrGroup):
    """A command."""


class SectionedCommand(_CommandOrGroup):
    """A command with many options, which its help lists by section; options without a section come last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        sections: dict[str, list[tuple[str, str]]] = {}
        plain: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                section = getattr(parameter, "section", None)
                (plain if section is None else sections.setdefault(section, [])).append(record)
        for title, records in (*sections.items(), ("Options", plain)):
            with formatter.section(title):
                formatter.write_dl(records)


class Group(_CommandOrGroup, click.Group):
    """A group of commands. Without arguments it prints its help; for a misspelled command it suggests the nearest."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The remaining arguments; the others are in the context."""
        if not args and not ctx.resilient_parsing and not self.invoke_without_command:
            # click would print the help to standard error and exit with 2.
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first sentence of each command, complete."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((name, _first_sentence(command)))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command named by the arguments."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            import difflib

            names = self.list_commands(ctx)
            hint = ""
            if near := difflib.get_close_matches(name, names, n=1):
                hint = f" Did you mean {near[0]}?"
            elif ctx.parent is not None:
                hint = f" The commands are {', '.join(names)}."
            ctx.fail(f"unknown command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


def _first_sentence(command: click.Command) -> str:
    paragraph = inspect.cleandoc(command.help or "").partition("\n\n")[0]
    return re.split(r"(?<=\.)\s", " ".join(paragraph.split()), maxsplit=1)[0]


def subcontext(context: click.Context, name: str) -> click.Context:
    """The context of a command in a group, for its help.

    Raises
    ------
    click.UsageError
        If the group does not have the command, or the context is not one of a group.
    """
    group = context.command
    if not isinstance(group, click.Group):
        raise click.UsageError(f"{context.command_path} has no subcommands, got {shown(name)}", context)
    _, command, _ = group.resolve_command(context, [name])
    if command is None:
        raise click.UsageError(f"unknown command {name!r}", context)
    return click.Context(command, info_name=name, parent=context, **command.context_settings)


def contexts_below(context: click.Context) -> Iterator[click.Context]:
    """The context itself and those of all commands below it, depth first, in the order of the help."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            yield from contexts_below(subcontext(context, name))
