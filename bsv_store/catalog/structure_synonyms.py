"""Names of structures in other atlases and in the literature, with Allen's acronyms.

They are used to find structures and to suggest a name, never in place of an acronym, because names such as LH mean
different structures in different atlases. Acronyms and names that Allen's ontology uses itself are not included.
"""

from __future__ import annotations

from collections.abc import Mapping

# Abbreviations of Paxinos and Franklin, The Mouse Brain in Stereotaxic Coordinates.
_PAXINOS_FRANKLIN = {
    "AcbC": "ACB",
    "AcbSh": "ACB",
    "Arc": "ARH",
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
    # Witter et al. 2017, doi:10.3389/fnsys.2017.00046, also for LEC and MEC.
    "EC": "ENT",
    # Its children are GPe and GPi.
    "GP": "PALd",
    "HPC": "HIP",
    "LEC": "ENTl",
    "MEC": "ENTm",
    "MGB": "MG",
    "MGN": "MG",
    "NAc": "ACB",
    "OFC": "ORB",
    "PBN": "PB",
    "POm": "PO",
    # Lyamzin and Benucci 2019, doi:10.1016/j.neures.2018.10.008.
    "PPC": "PTLp",
    "PVN": "PVH",
    "RSC": "RSP",
    "SCN": "SCH",
    "SON": "SO",
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
    "posterior parietal cortex": "PTLp",
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

# Monavarfeshani, Sabbagh and Fox 2017, doi:10.1017/S0952523817000098.
_LATERAL_GENICULATE = ("LGd", "LGv", "IGL")
# Usage differs; these are the areas that most authors include: Laubach et al. 2018, doi:10.1523/ENEURO.0315-18.2018.
_MEDIAL_PREFRONTAL = ("ACA", "PL", "ILA")
_PREFRONTAL = (*_MEDIAL_PREFRONTAL, "ORB")

# Names of regions that are several structures in Allen's ontology, without a structure for the whole.
_SEVERAL = {
    # The parts of Allen's ontology whose names contain the full name.
    "SC": ("SCs", "SCm"),
    "SN": ("SNc", "SNr", "SNl"),
    "POA": ("MPO", "LPO"),
    "LGN": _LATERAL_GENICULATE,
    "lateral geniculate nucleus": _LATERAL_GENICULATE,
    "PFC": _PREFRONTAL,
    "mPFC": _MEDIAL_PREFRONTAL,
    "medial prefrontal cortex": _MEDIAL_PREFRONTAL,
    "prefrontal cortex": _PREFRONTAL,
}

STRUCTURE_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    **{name: (acronym,) for name, acronym in (_PAXINOS_FRANKLIN | _LITERATURE).items()},
    **_SEVERAL,
}
"""Allen's acronyms for each name: usually one, or several if Allen has no structure for the whole."""

_BY_FOLDED = {name.casefold(): acronyms for name, acronyms in STRUCTURE_SYNONYMS.items()}


def acronyms_of_synonym(text: str) -> tuple[str, ...]:
    """Allen's acronyms for a name in other atlases or the literature, ignoring case; none if it is not known."""
    return _BY_FOLDED.get(" ".join(text.casefold().split()), ())


def is_written_as_synonym(text: str) -> bool:
    """Whether the text is a known name, in the same case."""
    return text.strip() in STRUCTURE_SYNONYMS
