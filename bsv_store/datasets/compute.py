"""Computing the result file of some inputs, pass by pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bsv_store.averaging import passes
from bsv_store.datasets.result.file import EncodedResult, result_writer
from bsv_store.datasets.workers import checked_workers, in_order, pool
from bsv_store.errors import DamagedFileError
from bsv_store.progress import shown_progress
from bsv_store.temporary import TemporaryFolder
from bsv_store.text import listed_ids
from bsv_store.volumes.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bsv_store.averaging.comparison.structure_values import StructureValues
    from bsv_store.averaging.inputs import Inputs
    from bsv_store.averaging.passes import Averages, Pass
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.datasets.result.file import ResultWriter
    from bsv_store.datasets.workers import Executor
    from bsv_store.progress import Progress
    from bsv_store.volumes.files import StoreFiles


class DamagedInputsError(DamagedFileError):
    """Files of members that are missing or differ from what was published.

    Attributes
    ----------
    damaged : dict of int to str
        Experiment id -> problem with its file.
    """

    def __init__(self, message: str, *, hint: str | None, damaged: dict[int, str]) -> None:
        super().__init__(message, hint=hint)
        self.damaged = damaged


@contextmanager
def temporary_result(files: StoreFiles, recipe: Recipe, *, in_store: bool = True) -> Iterator[Path | None]:
    """A temporary path for the result of a recipe; None if it fits into memory.

    Parameters
    ----------
    in_store : bool
        In the store's ``tmp/``, from where it can be published; otherwise in the system's temporary folder.
    """
    if not recipe.has_voxels or not Grid(recipe.spacing_um).is_large:
        yield None
    elif in_store:
        with files.temporary() as path:
            yield path
    else:
        with TemporaryFolder() as folder:
            yield folder / "result"


def compute(
    files: StoreFiles,
    inputs: Inputs,
    progress: Progress | None = None,
    *,
    path: Path | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
) -> EncodedResult:
    """Compute the result file of these inputs, with the comparison of the recipe. Every byte that is read is checked.

    Memory is bounded: groups are computed together as far as they fit, and slab by slab if a single one does not fit.
    The result does not depend on the passes, nor on the process or machine that computes them.

    Parameters
    ----------
    path : pathlib.Path, optional
        Where the file is created, see `temporary_result`; by default in memory.
    executor : Executor, optional
        Computes the passes. It must see the store's folder under the same path.
    workers : int, optional
        Number of processes, or with ``executor`` of tasks in flight.

    Raises
    ------
    DamagedInputsError
        If files are missing or differ from what was published; lists the members.
    NoSpaceError, StoreError
        If the result cannot be written.
    """
    progress = shown_progress(progress)
    at_once = checked_workers(workers, executor)
    if inputs.table is not None:
        return _compare_structures(inputs, inputs.table, progress)
    with result_writer(inputs, path) as writer:
        work = passes.cut(inputs, writer.planes_per_chunk, workers=at_once)
        progress.start(sum(len(each.members) for each in work), "averaging volumes")
        try:
            for each, averages in _averages(files, inputs.recipe, work, progress, executor, at_once):
                if averages.damaged:
                    raise damaged_inputs(averages.damaged)
                writer.write(averages.arrays, first_group=each.groups.start, first_plane=each.planes[0])
        finally:
            progress.finish()
        if inputs.recipe.voxel_comparison is not None:
            _compare(files, inputs, writer, progress, workers)
        return writer.finish()


def _compare(files: StoreFiles, inputs: Inputs, writer: ResultWriter, progress: Progress, workers: int | None) -> None:
    """Write the maps of the comparison of the two groups. It runs in this process, even with an executor."""
    # Imported here, since most results have no comparison.
    from bsv_store.averaging.comparison.voxels import ComparedValues, compare_groups, values_to_compare

    tested = values_to_compare(files, inputs, progress)
    if not isinstance(tested, ComparedValues):
        raise damaged_inputs(tested)
    compared = compare_groups(inputs, tested, progress, workers=workers)
    for name, values in compared.maps.items():
        writer.write_array(name, values)
    writer.describe_array("t", compared.facts)


def _compare_structures(inputs: Inputs, table: StructureValues, progress: Progress) -> EncodedResult:
    """The result file of a comparison by structure, which is small."""
    from bsv_store.averaging.comparison.design import covariate_matrix
    from bsv_store.averaging.comparison.structure_values import TEST_ARRAYS, compare_values

    comparison = inputs.recipe.structure_comparison
    assert comparison is not None
    found = compare_values(
        comparison, table.values, inputs.in_first_group(), covariate_matrix(inputs.covariates), progress
    )
    with result_writer(inputs) as writer:
        writer.write_signal(table.values)
        for name in TEST_ARRAYS:
            writer.write_array(name, getattr(found, name))
        facts = {"permutations": found.permutations, "exact": int(found.exact)}
        writer.describe_array("t", {**facts, "tests": int(np.count_nonzero(~np.isnan(found.t)))})
        return writer.finish()


def _averages(
    files: StoreFiles,
    recipe: Recipe,
    work: list[Pass],
    progress: Progress,
    executor: Executor | None,
    at_once: int,
) -> Iterator[tuple[Pass, Averages]]:
    """The passes with their results, in order."""
    if executor is None and (at_once == 1 or len(work) == 1):
        for each in work:
            yield each, passes.run(files, recipe, each, progress)
        return
    with ExitStack() as stack:
        chosen = executor or stack.enter_context(pool(min(at_once, len(work))))
        calls = [(passes.run, files, recipe, each) for each in work]
        for each, averages in zip(work, in_order(chosen, calls, at_once=at_once), strict=True):
            progress.advance(len(each.members))
            yield each, averages


# More damaged files are not named one by one.
_NAMED = 5


def damaged_inputs(damaged: dict[int, tuple[str, str | None]]) -> DamagedInputsError:
    """The error for all members with damaged files, from their messages and hints."""
    first = min(damaged)
    message, _ = damaged[first]
    hints = list(dict.fromkeys(damaged[each][1] for each in sorted(damaged)))
    parts = [text for text in hints[:_NAMED] if text]
    if len(hints) > _NAMED:
        parts.append("`bsv-store volume check` prints the command for all of them.")
    hint = "\n".join(parts) or None
    more = f" (and {len(damaged) - 1} more: {listed_ids(damaged.keys() - {first})})" if len(damaged) > 1 else ""
    error = DamagedInputsError(
        f"experiment {first}{more}: {message}",
        hint=hint,
        damaged={identifier: text for identifier, (text, _) in damaged.items()},
    )
    error.__cause__ = DamagedFileError(message, hint=hint)
    return error


def not_replaced(error: DamagedInputsError, reasons: Mapping[int, str]) -> DamagedInputsError:
    """The error if damaged files could not be replaced, from the error of reading them and the reasons."""
    first = min(reasons)
    return DamagedInputsError(
        f"{error.message}; experiment {first} could not be fetched again: {reasons[first]}",
        hint=error.hint,
        damaged=error.damaged,
    )
