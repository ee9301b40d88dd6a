"""What the numbers of a result are, in words and in the notation of the CF conventions."""

from __future__ import annotations

_WORDS = {"projection_energy": "arbitrary units", "injection_energy": "arbitrary units"}


def unit_text(kind: str, normalize: str) -> str:
    """The unit as a reader wants it beside a color scale."""
    unit = _WORDS.get(kind, "fraction of voxel")
    return f"{unit} per mm³ injected" if normalize == "injection_volume" else unit


def describe_unit(kind: str, normalize: str) -> str:
    """What the numbers are, such as 'projection density (fraction of voxel)'."""
    return f"{kind.replace('_', ' ')} ({unit_text(kind, normalize)})"


def cf_unit(kind: str, normalize: str) -> str | None:
    """The unit as the CF conventions write it; None for the arbitrary units of intensities."""
    if kind in _WORDS:
        return None
    return "mm-3" if normalize == "injection_volume" else "1"
