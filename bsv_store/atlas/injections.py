"""Check an annotation and the experiment list: injection coordinates should lie in their primary structure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from bsv_store.atlas.landmarks import AXES_HINT, TURNED, reversed_words
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, StructureAncestor
from bsv_store.catalog.records import RETINA_STRUCTURE_ID
from bsv_store.errors import FrameError
from bsv_store.volumes.annotation import Annotation

# Fewer experiments are not significant.
_ENOUGH = 20
# Of 2,918 real coordinates, 54.6 % lie in their structure at 25 um and 56.4 % at 100 um; 5.5 % with AP reversed, 7.6 %
# with DV reversed, 55.1 % with ML reversed.
_EXPECTED = "55 to 57 %"
_IMPLAUSIBLE = 0.25
_STANDARD_ERRORS = 5


@dataclass(frozen=True, slots=True)
class InjectionFit:
    """Numbers of injection coordinates that lie in their primary structure or its descendants.

    Attributes
    ----------
    experiments : int
        Number of current experiments with a coordinate, except those injected in the retina.
    inside : int
        Number of these whose coordinate lies in the structure.
    inside_if_reversed : mapping of tuple of str to int
        The same number with these axes reversed: AP, DV, or both. A reversed ML axis has no effect, because structures
        are symmetric.
    """

    experiments: int
    inside: int
    inside_if_reversed: Mapping[tuple[str, ...], int]

    @property
    def share(self) -> float:
        """Fraction of the coordinates that lie in their structure; NaN without experiments."""
        return self.inside / self.experiments if self.experiments else math.nan

    def remarks(self) -> tuple[str, ...]:
        """The result in one sentence; empty if there are too few experiments."""
        if self.experiments < _ENOUGH:
            return ()
        text = (
            f"{100 * self.share:.1f} % of {self.experiments:,} injection coordinates lie in their primary structure "
            f"(Allen's annotation: {_EXPECTED})"
        )
        if self.share < _IMPLAUSIBLE:
            return (f"{text}: the annotation or the experiment list may be wrong.",)
        return (f"{text}.",)


def check_injections(connection: Connection, annotation: Annotation, *, what: str, is_known: bool) -> InjectionFit:
    """Count the injection coordinates of the catalog that lie in their primary structure.

    Parameters
    ----------
    annotation : Annotation
    what : str
        Name of the file or reply, for errors.
    is_known : bool
        Whether the annotation is known to be correct; otherwise it is refused if it fits better with reversed axes.

    Raises
    ------
    FrameError
        If significantly more coordinates lie in their structure with reversed axes.
    """
    fit = _fit(connection, annotation)
    if is_known or fit.experiments < _ENOUGH:
        return fit
    axes, most = max(fit.inside_if_reversed.items(), key=lambda pair: pair[1])
    shares = (fit.share, most / fit.experiments)
    error = math.sqrt(sum(share * (1 - share) for share in shares) / fit.experiments)
    if shares[1] > shares[0] and shares[1] - shares[0] > _STANDARD_ERRORS * error:
        raise FrameError(
            f"{what} seems to have {reversed_words(axes)}: "
            f"{100 * shares[0]:.1f} % of {fit.experiments:,} injection coordinates lie in their primary structure, "
            f"{100 * shares[1]:.1f} % if reversed",
            hint=AXES_HINT,
        )
    return fit


def _fit(connection: Connection, annotation: Annotation) -> InjectionFit:
    coordinates = (Experiment.injection_ap, Experiment.injection_dv, Experiment.injection_ml)
    query = select(Experiment.primary_structure_id, *coordinates).where(
        *(each > 0 for each in coordinates),
        Experiment.primary_structure_id != RETINA_STRUCTURE_ID,
        Experiment.withdrawn.is_(False),
    )
    rows = connection.execute(query).all()
    found = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 4)
    inside = _inside(connection, set(found[:, 0].tolist()))
    grid = annotation.grid
    at = found[:, 1:] // grid.spacing_um
    voxels: dict[tuple[str, ...], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    for turned in TURNED:
        ap = grid.shape[0] - 1 - at[:, 0] if "AP" in turned else at[:, 0]
        dv = grid.shape[1] - 1 - at[:, 1] if "DV" in turned else at[:, 1]
        voxels[turned] = (ap, dv)
    ids = {turned: np.zeros(len(at), np.int64) for turned in voxels}
    for first, planes in annotation.slabs():
        for turned, (ap, dv) in voxels.items():
            here = np.flatnonzero((ap >= first) & (ap < first + len(planes)))
            ids[turned][here] = planes[ap[here] - first, dv[here], at[here, 2]]
    totals = {
        turned: sum(pair in inside for pair in zip(values.tolist(), found[:, 0].tolist(), strict=True))
        for turned, values in ids.items()
    }
    return InjectionFit(len(at), totals.pop(()), totals)


def _inside(connection: Connection, structure_ids: set[int]) -> set[tuple[int, int]]:
    """Pairs of a structure and one of the given structures that contains it or is the same."""
    query = select(StructureAncestor.descendant_id, StructureAncestor.ancestor_id).where(
        id_in(connection, StructureAncestor.ancestor_id, structure_ids)
    )
    return {(descendant, ancestor) for descendant, ancestor in connection.execute(query)}
