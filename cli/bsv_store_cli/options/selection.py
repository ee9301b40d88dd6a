"""The options that make a selection, the same for every command that takes one."""

from __future__ import annotations

import functools
import operator
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from bsv_store_cli.help import SectionOption, WordChoice, library_name
from bsv_store_cli.session import note_mistaken_lines, opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection

Command = Callable[..., Any]


def id_list(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[int] | None:
    """Experiment ids: ``1,2,3``, or ``@FILE`` with ids separated by commas, blanks or line ends; repeatable."""
    if not value:
        return None
    items = [item for each in value for item in _text_or_file(each).replace(",", " ").split()]
    wrong = [item for item in items if not (item.isascii() and item.isdecimal())]
    if wrong:
        raise click.BadParameter(f"{wrong[0][:40]!r} is no experiment id", context, parameter)
    return [int(item) for item in items]


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
            f"{value!r} is not {len(names)} numbers, {','.join(names)}, separated by commas", context, parameter
        )
    return numbers


def _option(section: str, *declarations: str, **attributes: Any) -> Callable[[Command], Command]:
    return click.option(*declarations, cls=SectionOption, section=section, **attributes)


_injection = functools.partial(_option, "Which experiments, by injection")
_mouse = functools.partial(_option, "Which experiments, by mouse")
_target = functools.partial(_option, "Which experiments, by projection")
_explicit = functools.partial(_option, "Which experiments, by name")

_OPTIONS = [
    _injection(
        "--injected-in", multiple=True, metavar="ACRONYM", help="Structure, or one of its descendants; repeatable."
    ),
    _injection(
        "--injection",
        type=WordChoice(["primary", "any"]),
        help="Whether the injection's primary structure counts, or any that it touched.  [default: primary]",
    ),
    _injection(
        "--injected-hemisphere",
        "injected_hemisphere",
        type=WordChoice(["left", "right"]),
        help="Hemisphere of the injection: that with its larger part.",
    ),
    _injection(
        "--bilateral/--unilateral", default=None, help="At least 1 % of the injection on the minor side, or less."
    ),
    _injection("--min-injection-volume", type=float, metavar="MM3", help="Injection volume, mm3, at least."),
    _injection("--max-injection-volume", type=float, metavar="MM3", help="Injection volume, mm3, at most."),
    _injection(
        "--box",
        callback=_numbers,
        metavar="AP0,AP1,DV0,DV1,ML0,ML1",
        help="Injection coordinate inside a box, um: lowest and highest AP, DV and ML.",
    ),
    _injection("--near", callback=_numbers, metavar="AP,DV,ML", help="Injection coordinate near a point, um."),
    _injection("--radius", type=float, metavar="UM", help="Distance from the point of --near, um, at most."),
    _mouse("--line", multiple=True, metavar="NAME", help="Mouse line: wild-type, any-cre, or a name; repeatable."),
    _mouse("--sex", multiple=True, metavar="SEX", help="Sex, F or M; repeatable."),
    _mouse("--strain", multiple=True, metavar="NAME", help="Strain; repeatable."),
    _mouse("--product", multiple=True, type=int, metavar="ID", help="Allen's product; repeatable."),
    _target(
        "--projecting-to", multiple=True, metavar="ACRONYM", help="Signal outside the injection there; repeatable."
    ),
    _target(
        "--measure",
        metavar="NAME",
        callback=library_name,
        help="Unionize measure that --threshold is of.  [default: projection_volume]",
    ),
    _target("--threshold", type=float, metavar="X", help="Measure that must be exceeded.  [default: 0]"),
    _target(
        "--min-normalized-volume",
        type=float,
        metavar="X",
        help="Short for --measure normalized_projection_volume --threshold X.",
    ),
    _target(
        "--target-hemisphere",
        type=WordChoice(["left", "right", "both", "ipsilateral", "contralateral"]),
        metavar="SIDE",
        help="Of --projecting-to: left, right, both, ipsilateral or contralateral.  [default: both]",
    ),
    _explicit(
        "--ids",
        multiple=True,
        callback=id_list,
        metavar="1,2,3|@FILE",
        help="Only these experiments; repeatable; @- reads standard input.",
    ),
    _explicit("--exclude-ids", multiple=True, callback=id_list, metavar="1,2,3|@FILE", help="Not these experiments."),
    _explicit("--include-withdrawn", is_flag=True, help="Also experiments that Allen no longer lists."),
    _explicit("--include-excluded", is_flag=True, help="Also experiments on the exclusion list (see exclude list)."),
    _explicit(
        "--named",
        metavar="NAME[@NUMBER]",
        help="Selection saved under a name (see selection list), further restricted by the other options.",
    ),
    _explicit(
        "--selection",
        "selection_json",
        metavar="JSON|@FILE",
        help="Selection as JSON (see select --show-selection), further restricted by the other options.",
    ),
]

_ALL = _explicit("--all", "all_experiments", is_flag=True, help="All experiments, where no other option says which.")


def selection_options(command: Command) -> Command:
    """Add the selection options to a command, which gets them as one argument ``selection``; without any: all."""

    @functools.wraps(command)
    def wrapper(**values: Any) -> Any:
        return command(selection=_selection(**_taken(values)), **values)

    return _decorated(wrapper, _OPTIONS)


def required_selection_options(command: Command) -> Command:
    """Add the selection options, one of which must be given: nobody should fetch the whole atlas by a slip."""

    @functools.wraps(command)
    def wrapper(*, all_experiments: bool, **values: Any) -> Any:
        own = _taken(values)
        is_restricted = any(_is_given(value) for name, value in own.items() if not name.startswith("include_"))
        if is_restricted == all_experiments:
            raise click.UsageError("say which experiments: either by the options of a selection, or with --all")
        return command(selection=_selection(**own), **values)

    return _decorated(wrapper, [*_OPTIONS, _ALL])


def _decorated(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


_NAMES = (
    "injected_in",
    "injection",
    "injected_hemisphere",
    "bilateral",
    "min_injection_volume",
    "max_injection_volume",
    "box",
    "near",
    "radius",
    "line",
    "sex",
    "strain",
    "product",
    "projecting_to",
    "measure",
    "threshold",
    "min_normalized_volume",
    "target_hemisphere",
    "ids",
    "exclude_ids",
    "include_withdrawn",
    "include_excluded",
    "named",
    "selection_json",
)


def _taken(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values.pop(name) for name in _NAMES}


def _is_given(value: Any) -> bool:
    # An option that may be repeated and was not is (); 0 and [] say something.
    return value is not None and value != ()


def _selection(
    *,
    selection_json: str | None,
    min_normalized_volume: float | None,
    box: tuple[float, ...] | None,
    include_withdrawn: bool,
    include_excluded: bool,
    named: str | None,
    **values: Any,
) -> Selection:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.errors import SelectionError

    if min_normalized_volume is not None:
        if values["measure"] is not None or values["threshold"] is not None:
            raise click.UsageError("give --min-normalized-volume, or --measure and --threshold, not both")
        values["measure"], values["threshold"] = "normalized_projection_volume", min_normalized_volume
    if (values["near"] is None) != (values["radius"] is None):
        raise click.UsageError("--near and --radius go together")
    if box is not None:
        values["box"] = ((box[0], box[1]), (box[2], box[3]), (box[4], box[5]))
    if include_withdrawn:
        values["include_withdrawn"] = True
    if include_excluded:
        values["include_excluded"] = True
    given = {name: value for name, value in values.items() if _is_given(value)}
    try:
        own = Selection(**given)
    except SelectionError as error:
        _refuse(error)
    bases = [] if selection_json is None else [Selection.from_json(_text_or_file(selection_json))]
    if named is not None:
        with opened_store() as store:
            bases.append(store.catalog.selection(named))
    parts = [*bases, own] if given or not bases else bases
    selection = functools.reduce(operator.and_, parts)
    note_mistaken_lines(selection)
    return selection


# Where a message names a criterion, and not where the word is only a word.
_CRITERION = re.compile(rf"(?:^|(?<=without )|(?<=above ))(?:{'|'.join(sorted(_NAMES, key=len, reverse=True))})\b")


def _refuse(error: Any) -> NoReturn:
    """Say what is wrong in the words of the command line: criteria are options here."""
    message = _CRITERION.sub(lambda match: f"--{match[0].replace('_', '-')}", error.message)
    raise type(error)(message, hint=error.hint) from error


def _text_or_file(value: str) -> str:
    if not value.startswith("@"):
        return value
    if value == "@-":
        return sys.stdin.read()
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise click.UsageError(f"the file {value[1:]!r} cannot be read: {reason}") from error
