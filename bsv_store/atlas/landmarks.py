"""Recognize Allen's annotation by the hash of its content, or by the positions of its structures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import FrameError
from bsv_store.vocabulary import AnnotationOrigin
from bsv_store.volumes.annotation import Annotation
from bsv_store.volumes.grid import EXTENT_UM, MIDLINE_UM

ALLEN_25UM_SHA256 = "36ed7e196bc41a850071246ed1d182f6331157df3a51b1145144848874025ad3"
"""``array_sha256`` of Allen's annotation of 2017 at 25 um; those of Allen's files at other spacings are not known.

SHA-256 of the file ``annotation_25.nrrd``, also published at https://github.com/BICCN/cell-locator
(Documentation/reference-atlases.md): c620cbcc562183e4dcd40250d440130501781f74b41de35b1c1bdabace290c42.
"""

_MIRRORED_SHA256 = "ef0f271fe419e6458be28e0c0272ebc688b73fc87860a29d255767ee2b634c2b"
"""The annotation at 25 um with its ML axis reversed."""


@dataclass(frozen=True, slots=True)
class Landmark:
    """A structure of Allen's annotation at 25 um.

    Attributes
    ----------
    id : int
    volume : float
        mm3, both hemispheres.
    ap, dv : int
        Coordinates of its centroid, um, rounded to 10.
    """

    id: int
    volume: float
    ap: int
    dv: int


# The 48 largest structures without children, largest first. Volumes are computed from voxels.
LANDMARKS: tuple[Landmark, ...] = (
    Landmark(672, 26.02, 5350, 4220),  # CP
    Landmark(507, 16.46, 1380, 4400),  # MOB
    Landmark(961, 11.57, 5630, 6060),  # PIR
    Landmark(382, 10.21, 8040, 3150),  # CA1
    Landmark(728, 6.92, 11580, 3570),  # arb
    Landmark(1091, 6.73, 11340, 2400),  # CUL4, 5
    Landmark(463, 6.26, 7690, 3740),  # CA3
    Landmark(1041, 5.73, 11150, 5340),  # PFL
    Landmark(1056, 5.7, 11490, 2770),  # ANcr1
    Landmark(1007, 5.69, 11080, 2470),  # SIM
    Landmark(128, 5.14, 8960, 3930),  # MRN
    Landmark(1064, 5.11, 12220, 3150),  # ANcr2
    Landmark(1025, 4.88, 12420, 4010),  # PRM
    Landmark(159, 4.87, 2820, 5170),  # AON
    Landmark(767, 4.52, 3630, 2190),  # MOs5
    Landmark(56, 4.4, 4250, 5820),  # ACB
    Landmark(10703, 4.31, 8080, 3280),  # DG-mo
    Landmark(1016, 4.14, 1010, 5210),  # onl
    Landmark(754, 3.82, 4390, 6920),  # OT
    Landmark(962, 3.8, 3460, 1970),  # MOs2/3
    Landmark(943, 3.69, 4170, 2170),  # MOp2/3
    Landmark(936, 3.33, 12320, 2060),  # DEC
    Landmark(648, 3.27, 4300, 2460),  # MOp5
    Landmark(484682516, 3.04, 5790, 2590),  # ccb
    Landmark(342, 3.03, 5010, 6260),  # SI
    Landmark(844, 2.88, 4570, 2660),  # MOp6a
    Landmark(136, 2.78, 11680, 6090),  # IRN
    Landmark(984, 2.74, 11080, 2810),  # CENT3
    Landmark(1048, 2.62, 11360, 6160),  # GRN
    Landmark(1033, 2.51, 12390, 4200),  # COPY
    Landmark(1021, 2.38, 4070, 2500),  # MOs6a
    Landmark(146, 2.36, 9520, 5330),  # PRNr
    Landmark(1093, 2.35, 10210, 5890),  # PRNc
    Landmark(656, 2.32, 3350, 1800),  # MOs1
    Landmark(852, 2.25, 11460, 5990),  # PARN
    Landmark(957, 2.19, 12670, 4300),  # UVU
    Landmark(1090, 2.19, 6180, 3410),  # SSs5
    Landmark(806, 2.14, 6070, 3240),  # SSs2/3
    Landmark(502, 2.1, 8940, 3240),  # SUB
    Landmark(6, 2.1, 6670, 4680),  # int
    Landmark(17, 2.09, 9150, 2400),  # SCiw
    Landmark(862, 2.07, 6170, 3530),  # SSs6a
    Landmark(194, 2.07, 6690, 5990),  # LHA
    Landmark(10, 2.04, 9000, 2190),  # SCig
    Landmark(403, 2.03, 6860, 6360),  # MEA
    Landmark(821, 2, 9140, 1050),  # VISp2/3
    Landmark(828, 2, 10340, 2210),  # ICe
    Landmark(258, 1.88, 4740, 4190),  # LSr
)

TURNED: tuple[tuple[str, ...], ...] = ((), ("AP",), ("DV",), ("AP", "DV"))
"""Combinations of reversed axes that move structures; reversing ML hardly moves any."""
AXES_HINT = (
    "Axes must be AP from anterior, DV from superior, ML from left. Download Allen's file: `bsv-store sync annotation`."
)

# Half the edge of a 100 um voxel for sampling, the rest for rounding and small changes of outlines.
_TOLERANCE_UM = 150
_VOLUME_TOLERANCE = 0.25
# With fewer landmarks an annotation is of another ontology, such as the synthetic atlas.
_COMPARABLE = 0.5
_ALIKE = 0.9
# Allen's files are reported to contain every n-th voxel of the one at 10 um, the first of each cell. Structures then
# lie right of where they lie at 10 um: by 5 um at 25 um (as measured), 20 um at 50 um and 45 um at 100 um, and left of
# it if ML is reversed.
_SHIFT_VOXELS = 0.3


@dataclass(frozen=True, slots=True)
class Identity:
    """Relation of an annotation to Allen's.

    Attributes
    ----------
    origin : AnnotationOrigin
    remarks : tuple of str
        Differences and uncertainties, one sentence each.
    """

    origin: AnnotationOrigin
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """Measurements of the landmarks in an annotation.

    Attributes
    ----------
    volume, ap, dv : ndarray of float64, shape (landmarks,)
        Volume in mm3 and centroid in um; centroids are NaN without voxels.
    shift_um : float
        Distance of the centroid of all landmarks from the midline, to the right.
    """

    volume: NDArray[np.float64]
    ap: NDArray[np.float64]
    dv: NDArray[np.float64]
    shift_um: float


def identify(annotation: Annotation, *, what: str) -> Identity:
    """Whether an annotation is Allen's, by its content at 25 um, or else by its landmarks.

    Reversed axes are detected by the landmarks. Allen's annotation is nearly symmetric, so a reversed ML axis can be
    detected only if sampling has shifted the structures by a quarter of a voxel or more.

    Parameters
    ----------
    annotation : Annotation
    what : str
        Name of the file or reply, for errors.

    Raises
    ------
    FrameError
        If it is Allen's annotation with one or more axes reversed.
    """
    if annotation.array_sha256 == ALLEN_25UM_SHA256:
        return Identity("allen")
    if annotation.array_sha256 == _MIRRORED_SHA256:
        raise _reversed(what, ("ML",), "its content is Allen's with left and right swapped")
    if len({each.id for each in LANDMARKS} & set(annotation.structure_ids)) < _COMPARABLE * len(LANDMARKS):
        return Identity("other", ("It is not Allen's annotation: it has other structures.",))
    found = _measured(annotation)
    total = len(LANDMARKS)
    fits = {turned: _fitting(found, turned) for turned in TURNED}
    best = max(fits, key=lambda turned: fits[turned])
    if best and fits[best] > fits[()] and fits[best] >= _COMPARABLE * total:
        evidence = f"{fits[best]} of {total} landmark structures match Allen's if reversed, {fits[()]} if not"
        raise _reversed(what, best, evidence)
    if fits[()] < _ALIKE * total:
        return Identity(
            "other",
            (
                f"It is not Allen's annotation: only {fits[()]} of {total} landmark structures match in position and "
                "volume.",
            ),
        )
    shift = found.shift_um / annotation.grid.spacing_um
    if shift <= -_SHIFT_VOXELS:
        raise _reversed(
            what, ("ML",), f"its structures lie {-shift:.2f} voxels left of the midline, those of Allen's to the right"
        )
    remark = (
        f"Its content differs from Allen's annotation, but {fits[()]} of {total} landmark structures match in position "
        "and volume"
    )
    if shift < _SHIFT_VOXELS:
        remark += "; it is symmetric, so swapped left and right cannot be detected"
    return Identity("like_allen", (f"{remark}.",))


def _fitting(found: _Measured, turned: tuple[str, ...]) -> int:
    """Number of landmarks that match Allen's in position and volume if these axes are reversed."""
    ap = EXTENT_UM[0] - found.ap if "AP" in turned else found.ap
    dv = EXTENT_UM[1] - found.dv if "DV" in turned else found.dv
    volume, at_ap, at_dv = (
        np.array([getattr(each, name) for each in LANDMARKS], np.float64) for name in ("volume", "ap", "dv")
    )
    # Comparisons with NaN are false.
    near = (np.abs(ap - at_ap) <= _TOLERANCE_UM) & (np.abs(dv - at_dv) <= _TOLERANCE_UM)
    alike = np.abs(found.volume - volume) <= _VOLUME_TOLERANCE * volume
    return int((near & alike).sum())


def _measured(annotation: Annotation) -> _Measured:
    """Volumes and centroids of the landmarks, from the runs of equal ids in each row along ML."""
    grid = annotation.grid
    _, rows, columns = grid.shape
    wanted = np.array(sorted(each.id for each in LANDMARKS), np.int64)
    sums = np.zeros((4, wanted.size))
    for first, planes in annotation.slabs():
        flat = planes.reshape(-1)
        begins = np.empty(flat.size, np.bool_)
        begins[1:] = flat[1:] != flat[:-1]
        begins[::columns] = True
        starts = np.flatnonzero(begins)
        lengths = np.diff(starts, append=flat.size).astype(np.float64)
        ids = flat[starts].astype(np.int64)
        place = np.minimum(np.searchsorted(wanted, ids), wanted.size - 1)
        chosen = wanted[place] == ids
        starts, lengths, place = starts[chosen], lengths[chosen], place[chosen]
        row, ml = np.divmod(starts, columns)
        ap, dv = np.divmod(row, rows)
        for number, index in enumerate((None, ap + first, dv, ml + (lengths - 1) / 2)):
            weights = lengths if index is None else lengths * index
            sums[number] += np.bincount(place, weights=weights, minlength=wanted.size)
    voxels = np.where(sums[0] > 0, sums[0], np.nan)
    order = np.searchsorted(wanted, [each.id for each in LANDMARKS])
    ap_um, dv_um = ((sums[axis] / voxels + 0.5)[order] * grid.spacing_um for axis in (1, 2))
    center_um = (sums[3].sum() / sums[0].sum() + 0.5) * grid.spacing_um
    return _Measured(sums[0][order] * grid.spacing_um**3 * 1e-9, ap_um, dv_um, float(center_um) - MIDLINE_UM)


def _reversed(what: str, axes: tuple[str, ...], evidence: str) -> FrameError:
    return FrameError(f"{what} is Allen's annotation with {reversed_words(axes)}: {evidence}", hint=AXES_HINT)


def reversed_words(axes: tuple[str, ...]) -> str:
    """Description of reversed axes, such as 'the AP axis reversed'."""
    return f"the {' and '.join(axes)} {'axis' if len(axes) == 1 else 'axes'} reversed"
