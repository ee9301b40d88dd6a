"""The options of a selection, the same for every command that takes one.

They are made from the rows of :data:`bsv_store.catalog.selection.criteria.CRITERIA`, in the order of the rows.
"""

from __future__ import annotations

import functools
import io
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, assert_never

import click

from bsv_store.catalog.selection.criteria import CRITERIA, Criteria, default_of
from bsv_store.catalog.selection.criterion import Criterion, Section
from bsv_store_cli.help import RowChoice, SectionOption
from bsv_store_cli.options.completion import (
    Completer,
    complete_experiments,
    complete_lines,
    complete_selections,
    complete_structures,
)
from bsv_store_cli.session import note_mistaken_lines, opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection

Command = Callable[..., Any]

_HEADINGS: Mapping[Section, str] = {
    "injection": "Which experiments, by injection",
    "mouse": "Which experiments, by mouse",
    "projection": "Which experiments, by projection",
    "store": "Which experiments, by what is in the store",
    "name": "Which experiments, by name",
}


def id_list(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[int] | None:
    """Ids: ``1,2,3``, or ``@FILE`` with a plain list, a JSON list or a table with a column of ids; repeatable."""
    # Completion of a command line must not read the file, or wait for standard input.
    if not value or context.resilient_parsing:
        return None
    from bsv_store.errors import InputError
    from bsv_store.formats.id_list import ids_in_text, read_ids

    found: list[int] = []
    for each in value:
        try:
            if each.startswith("@"):
                found += read_ids(file_content(each), what=name_of(each))
            else:
                found += ids_in_text(each)
        except InputError as error:
            raise click.BadParameter(
                f"{error.message.removeprefix(': ')}. {error.hint or ''}".strip(), context, parameter
            ) from error
    return found


def ids_argument(command: Command) -> Command:
    """Add an argument for experiment ids, which may be ``@FILE``; the command receives ``experiment_ids``."""
    return click.argument(
        "experiment_ids",
        nargs=-1,
        required=True,
        callback=id_list,
        metavar="EXPERIMENT_ID|@FILE...",
        shell_complete=complete_experiments,
    )(command)


def id_argument(name: str) -> Callable[[Command], Command]:
    """Add an argument for one experiment id."""

    def one(context: click.Context, parameter: click.Parameter, value: str) -> int:
        ids = id_list(context, parameter, (value,)) or []
        if len(ids) != 1:
            raise click.BadParameter(f"must be a single id, got {len(ids)} ids", context, parameter)
        return ids[0]

    return click.argument(name, callback=one, metavar="EXPERIMENT_ID", shell_complete=complete_experiments)


def _numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """As many numbers, separated by commas, as the option's metavar has."""
    if value is None:
        return None
    names = (parameter.metavar or "").split(",")
    try:
        numbers = tuple(float(item) for item in value.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != len(names):
        raise click.BadParameter(
            f"{value!r} is not {len(names)} numbers separated by commas: {','.join(names)}", context, parameter
        )
    return numbers


def _pairs(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[Any, ...] | None:
    """The numbers of `_numbers` as pairs of a lowest and a highest."""
    numbers = _numbers(context, parameter, value)
    return None if numbers is None else tuple(zip(numbers[::2], numbers[1::2], strict=True))


# -- options ----------------------------------------------------------------------------------------------------------


def option_of(name: str) -> str:
    """The option of a criterion, such as ``--injected-in``."""
    return (CRITERIA[name].option or f"--{name.replace('_', '-')}").partition("/")[0]


# Values that are in the store.
_COMPLETION: Mapping[str, Completer] = {
    "line": complete_lines,
    "ids": complete_experiments,
    "exclude_ids": complete_experiments,
    **{name: complete_structures for name, criterion in CRITERIA.items() if criterion.form == "structures"},
}


def _criterion_option(name: str, criterion: Criterion) -> Callable[[Command], Command]:
    default = default_of(name)
    shown = f"  [default: {default:g}]" if isinstance(default, float) else f"  [default: {default}]"
    return click.option(
        criterion.option or option_of(name),
        name,
        cls=SectionOption,
        section=_HEADINGS[criterion.section],
        metavar=criterion.metavar,
        shell_complete=_COMPLETION.get(name),
        help=criterion.words if default is None or default is False else f"{criterion.words}{shown.replace('_', '-')}",
        **_kind(criterion, is_switch=default is False),
    )


def _kind(criterion: Criterion, *, is_switch: bool) -> Mapping[str, Any]:
    """How click parses the values of a criterion."""
    form = criterion.form
    if form == "structures" or form == "names":
        return {"multiple": True}
    if form == "ids":
        return {"multiple": True, "callback": id_list}
    if form == "choice":
        assert criterion.rows is not None
        return {"type": RowChoice(criterion.rows)}
    if form == "flag":
        return {"is_flag": True} if is_switch else {"default": None}
    if form == "number":
        return {"type": float}
    if form == "spacing":
        return {"type": int}
    if form == "point":
        return {"callback": _numbers}
    if form == "box":
        return {"callback": _pairs}
    assert_never(form)


_by_name = functools.partial(click.option, cls=SectionOption, section=_HEADINGS["name"])

_SAVED: list[Callable[[Command], Command]] = [
    _by_name(
        "--named",
        metavar="NAME[@NUMBER]",
        shell_complete=complete_selections,
        help="Saved selection of that name (see selection list), restricted further by the other options.  "
        "--include-withdrawn and --include-excluded hold for it too.",
    ),
    _by_name(
        "--selection",
        "selection_json",
        metavar="JSON|@FILE",
        help="Selection as JSON (see select --show-selection), restricted further in the same way.",
    ),
]
_OPTIONS = [*(_criterion_option(name, CRITERIA[name]) for name in CRITERIA), *_SAVED]
_NAMES = (*CRITERIA, "named", "selection_json")

_ALL: Callable[[Command], Command] = _by_name(
    "--all", "all_experiments", is_flag=True, help="All experiments, if there is no other option."
)


def selection_options(command: Command) -> Command:
    """Add the selection options to a command, which receives them as one argument ``selection``; by default all."""

    @functools.wraps(command)
    def wrapper(**values: Any) -> Any:
        return command(selection=_selection(**_popped(values)), **values)

    return _decorated(wrapper, _OPTIONS)


def required_selection_options(command: Command) -> Command:
    """Add the selection options, one of which must be given, so that the whole atlas is not fetched by mistake."""

    @functools.wraps(command)
    def wrapper(*, all_experiments: bool, **values: Any) -> Any:
        own = _popped(values)
        is_restricted = any(_is_given(value) for name, value in own.items() if not name.startswith("include_"))
        if is_restricted and all_experiments:
            raise click.UsageError("--all cannot be combined with options that select experiments")
        if not is_restricted and not all_experiments:
            raise click.UsageError("options that select experiments are required, or --all")
        return command(selection=_selection(**own), **values)

    return _decorated(wrapper, [*_OPTIONS, _ALL])


def _decorated(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def _popped(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values.pop(name) for name in _NAMES}


def _is_given(value: Any) -> bool:
    # A repeatable option that is not given is (); 0, [] and False (--unilateral) are values.
    return value is not None and value != ()


def _selection(*, named: str | None, selection_json: str | None, **values: Any) -> Selection:
    from bsv_store.catalog.selection.narrowing import narrowed
    from bsv_store.catalog.selection.selection import Selection

    given = {name: value for name, value in values.items() if _is_given(value) and value != default_of(name)}
    own = Criteria.checked(given, spell=option_of)
    bases = [] if selection_json is None else [Selection.from_json(_text_or_file(selection_json))]
    if named is not None:
        with opened_store() as store:
            bases.append(store.catalog.selection(named))
    selection = narrowed(functools.reduce(operator.and_, bases), own) if bases else Selection.of(own)
    note_mistaken_lines(selection)
    return selection


def _text_or_file(value: str) -> str:
    if not value.startswith("@"):
        return value
    from bsv_store.formats.fields import decoded

    return decoded(file_content(value), what=name_of(value))


def name_of(value: str) -> str:
    """The name of the file of ``@FILE`` for messages."""
    from bsv_store.formats.input_file import shown_path

    return "standard input" if value == "@-" else shown_path(Path(value[1:]))


def file_content(value: str) -> bytes:
    """The content of the file of ``@FILE``, or of standard input for ``@-``."""
    from bsv_store.formats.id_list import MAX_BYTES
    from bsv_store.formats.input_file import decompressed, read_input_file, read_stream

    if value == "@-":
        return read_stream(stdin_bytes(), what="standard input", max_bytes=MAX_BYTES)
    return decompressed(read_input_file(Path(value[1:]), max_bytes=MAX_BYTES), what=name_of(value), max_bytes=MAX_BYTES)


def stdin_bytes() -> BinaryIO:
    """Standard input as bytes."""
    binary = getattr(sys.stdin, "buffer", None)
    return io.BytesIO(sys.stdin.read().encode("utf-8")) if binary is None else binary
