"""Commands with a selection: for hints, which fetch the missing data, and to repeat what a page shows."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, assert_never

from bsv_store.catalog.selection.criteria import CRITERIA, Criteria
from bsv_store.text import INCLUDE_EXCLUDED, with_file

if TYPE_CHECKING:
    from bsv_store.catalog.selection.criterion import Criterion
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import VolumeKind

# Longer lists of ids are replaced by the selection, if that is shorter, or by a file.
_SPELLED_OUT = 10
_LONGEST = 400


def fetch_command(selection: Selection, ids: Collection[int], *, kind: VolumeKind, spacing_um: int) -> str:
    """The command that fetches volumes of these experiments of a selection."""
    return with_file(f"bsv-store fetch {_selecting(selection, ids)} --kind {kind} --spacing {spacing_um}")


def sync_command(selection: Selection, ids: Collection[int]) -> str:
    """The command that fetches the unionize tables of these experiments of a selection."""
    return with_file(f"bsv-store sync unionizes {_selecting(selection, ids)}")


def _selecting(selection: Selection, ids: Collection[int]) -> str:
    # Volumes in the store are not downloaded again, so the whole selection is as good as a list.
    # An experiment on the exclusion list that is named by id is an error without it.
    excluded = f" {INCLUDE_EXCLUDED}" if any(leaf.include_excluded for leaf in selection.leaves()) else ""
    exact = f"--ids {','.join(map(str, sorted(ids)))}{excluded}"
    whole = f"--selection {shlex.quote(selection.to_json())}"
    if len(ids) <= _SPELLED_OUT:
        return exact
    shortest = min(exact, whole, key=len)
    return shortest if len(shortest) <= _LONGEST else f"--ids @FILE{excluded}"


def selection_arguments(selection: Selection) -> list[str]:
    """The arguments of a command that select the same experiments: options if possible, else ``--selection``."""
    node = selection.node
    # The option --box has no open ends.
    if not isinstance(node, Criteria) or (node.box is not None and None in node.box):
        return ["--selection", selection.to_json()]
    return [argument for name, value in node.to_dict().items() for argument in _arguments(CRITERIA[name], name, value)]


def _arguments(criterion: Criterion, name: str, value: Any) -> Iterator[str]:
    """The option of a criterion with its values; repeated for structures and names."""
    first, _, second = (criterion.option or f"--{name.replace('_', '-')}").partition("/")
    form = criterion.form
    if form == "flag":
        yield first if value else second
    elif form == "structures" or form == "names":
        for each in value:
            yield from (first, str(each))
    elif form == "ids":
        yield from (first, ",".join(map(str, value)))
    elif form == "choice":
        yield from (first, str(value).replace("_", "-"))
    elif form == "number" or form == "spacing":
        yield from (first, _number(value))
    elif form == "point":
        yield from (first, ",".join(map(_number, value)))
    elif form == "box":
        yield from (first, ",".join(_number(end) for part in value for end in part))
    else:
        assert_never(form)


def _number(value: float) -> str:
    return repr(value).removesuffix(".0")
