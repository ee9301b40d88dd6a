"""Names of structures in other atlases and in the literature, with Allen's acronyms.

They are used to find structures and to suggest a name, never in place of an acronym, because names such as LH mean
different structures in different atlases. Names that Allen's ontology uses itself, and names of several structures, are
not included.
"""

from __future__ import annotations

from collections.abc import Mapping

# Abbreviations of Paxinos and Franklin, The Mouse Brain in Stereotaxic Coordinates.
_PAXINOS_FRANKLIN = {
    "AcbC": "ACB",
    "AcbSh": "ACB",
    "Au1": "AUDp",
    "CPu": "CP",
    "Cg1": "ACAd",
    "Cg2": "ACAv",
    "DLG": "LGd",
    "IL": "ILA",
    "LHb": "LH",
    "M1": "MOp",
    "M2": "MOs",
    "MHb": "MH",
    "PRh": "PERI",
    "PrL": "PL",
    "RSD": "RSPd",
    "RSG": "RSPv",
    "S1": "SSp",
    "S1BF": "SSp-bfd",
    "S2": "SSs",
    "Tu": "OT",
    "V1": "VISp",
    "VLG": "LGv",
}

# Common in the literature.
_LITERATURE = {
    "A1": "AUDp",
    "ACC": "ACA",
    "BNST": "BST",
    "DRN": "DR",
    "MGB": "MG",
    "MGN": "MG",
    "NAc": "ACB",
    "OFC": "ORB",
    "PVN": "PVH",
    "RSC": "RSP",
    "SCN": "SCH",
    "anterior cingulate cortex": "ACA",
    "arcuate nucleus": "ARH",
    "auditory cortex": "AUD",
    "barrel cortex": "SSp-bfd",
    "caudate": "CP",
    "caudate putamen": "CP",
    "dLGN": "LGd",
    "entorhinal cortex": "ENT",
    "hippocampus": "HIP",
    "infralimbic cortex": "ILA",
    "locus coeruleus": "LC",
    "motor cortex": "MO",
    "orbitofrontal cortex": "ORB",
    "perirhinal cortex": "PERI",
    "piriform cortex": "PIR",
    "prelimbic cortex": "PL",
    "primary auditory cortex": "AUDp",
    "primary motor cortex": "MOp",
    "primary somatosensory cortex": "SSp",
    "primary visual cortex": "VISp",
    "putamen": "CP",
    "retrosplenial cortex": "RSP",
    "secondary motor cortex": "MOs",
    "somatosensory cortex": "SS",
    "vLGN": "LGv",
    "visual cortex": "VIS",
}

STRUCTURE_SYNONYMS: Mapping[str, str] = {**_PAXINOS_FRANKLIN, **_LITERATURE}
"""Allen's acronym for each name."""

_BY_FOLDED = {name.casefold(): acronym for name, acronym in STRUCTURE_SYNONYMS.items()}


def acronym_of_synonym(text: str) -> str | None:
    """Allen's acronym for a name in other atlases or the literature, ignoring case; None if it is not known."""
    return _BY_FOLDED.get(" ".join(text.casefold().split()))
