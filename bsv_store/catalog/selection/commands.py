"""Commands for hints: they fetch the missing data of selected experiments."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import VolumeKind

# Longer lists of ids are replaced by the selection, if that is shorter, or by a file.
_SPELLED_OUT = 10
_LONGEST = 400
_FILE = "--ids @FILE"


def fetch_command(selection: Selection, ids: Collection[int], *, kind: VolumeKind, spacing_um: int) -> str:
    """The command that fetches volumes of these experiments of a selection."""
    return _with_file(f"bsv-store fetch {_selecting(selection, ids)} --kind {kind} --spacing {spacing_um}")


def sync_command(selection: Selection, ids: Collection[int]) -> str:
    """The command that fetches the unionize tables of these experiments of a selection."""
    return _with_file(f"bsv-store sync unionizes {_selecting(selection, ids)}")


def _selecting(selection: Selection, ids: Collection[int]) -> str:
    # Volumes in the store are not downloaded again, so the whole selection is as good as a list.
    exact = f"--ids {','.join(map(str, sorted(ids)))}"
    whole = f"--selection {shlex.quote(selection.to_json())}"
    if len(ids) <= _SPELLED_OUT:
        return exact
    shortest = min(exact, whole, key=len)
    return shortest if len(shortest) <= _LONGEST else _FILE


def _with_file(command: str) -> str:
    return f"{command} (FILE: a list of the ids)" if _FILE in command else command
