"""The unit of a result, in words and as CF conventions write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.vocabulary import NORMALIZATIONS, VOLUME_KINDS

if TYPE_CHECKING:
    from bsv_store.vocabulary import Normalization, VolumeKind


def unit_text(kind: VolumeKind, normalize: Normalization) -> str:
    """The unit in words, such as 'fraction of voxel per mm³ injected'."""
    return VOLUME_KINDS[kind].unit + NORMALIZATIONS[normalize].unit_suffix


def describe_unit(kind: VolumeKind, normalize: Normalization) -> str:
    """The quantity and its unit, such as 'projection density (fraction of voxel)'."""
    return f"{VOLUME_KINDS[kind].words} ({unit_text(kind, normalize)})"


def cf_unit(kind: VolumeKind, normalize: Normalization) -> str | None:
    """The unit in the notation of the CF conventions; None for the arbitrary units of intensities."""
    unit = VOLUME_KINDS[kind].cf_unit
    return unit if unit is None else NORMALIZATIONS[normalize].cf_unit or unit
