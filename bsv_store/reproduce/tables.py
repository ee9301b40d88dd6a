"""Published counts as rows, and what is known about the experiments behind them.

Experiment ids and structures are facts of Allen's lists: "2016" is the web site's export of that year, "2019-02",
"2020-07" and "2020-11" are lists of the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bsv_store.vocabulary import PublishedTable


@dataclass(frozen=True, slots=True)
class Count:
    """A published count of experiments.

    Attributes
    ----------
    label : str
    published : int
    structure : str or None
        Acronym of the structure that contains the primary injection structure; None means the whole list.
    line : str or None
        As in `Selection`.
    note : str
        Known about a difference that the experiments do not explain.
    noted : int
        The difference that the note explains, ours minus published.
    """

    label: str
    published: int
    structure: str | None = None
    line: str | None = None
    note: str = ""
    noted: int = 0


@dataclass(frozen=True, slots=True)
class Vanished:
    """An experiment that was counted, but is in no later list."""

    experiment_id: int
    label: str
    words: str


@dataclass(frozen=True, slots=True)
class Moved:
    """An experiment whose primary structure changed with a later registration, from one count to another."""

    experiment_id: int
    from_label: str
    to_label: str
    words: str


@dataclass(frozen=True, slots=True)
class Published:
    """A published table.

    Attributes
    ----------
    excluded : frozenset of int
        Experiments that the authors left out.
    last_id : int or None
        Experiments with larger ids were not counted. Allen's ids ascend over the years.
    """

    counts: tuple[Count, ...]
    excluded: frozenset[int] = frozenset()
    last_id: int | None = None
    vanished: tuple[Vanished, ...] = ()
    moved: tuple[Moved, ...] = ()


# docs/experiments_exclude.json in AllenInstitute/mouse_connectivity_models, sorted.
_KNOX_EXCLUDED: Final = frozenset(
    {
        100147861,
        112372418,
        112425523,
        112789899,
        113504763,
        113766038,
        113846682,
        114008926,
        114046440,
        114399224,
        116900714,
        117317884,
        119846129,
        120282354,
        120570964,
        120762196,
        121145750,
        123663689,
        125437216,
        126523791,
        126843200,
        127255962,
        127710392,
        127795906,
        127797441,
        127909584,
        127991964,
        143515102,
        146045723,
        146078721,
        146470726,
        146795148,
        147162736,
        147212977,
        147353537,
        147354242,
        147633885,
        147789031,
        152995635,
        156872043,
        157063074,
        158373181,
        158374671,
        158737454,
        158838128,
        158915602,
        159650350,
        173206592,
        174583187,
        174583904,
        174788109,
        175018829,
        175106053,
        175264587,
        175265301,
        175372863,
        175374275,
        180601025,
        180982124,
        272824561,
        272830456,
        273025872,
        273026584,
    }
)
_WT: Final = "wild-type"
# The paper has one experiment more in MB and one less in TH.
_KNOX_MIDBRAIN: Final = (
    "one experiment that the paper counts in MB is in TH in every list at hand (2016 to 2020); it is not known which"
)

TABLES: Final[Mapping[PublishedTable, Published]] = {
    "knox_2019_table_1": Published(
        counts=(
            Count("Isocortex", 126, "Isocortex", _WT),
            Count("OLF", 21, "OLF", _WT),
            Count(
                "HPF",
                43,
                "HPF",
                _WT,
                note="310207648, one of the paper's 428 experiments, is in none of the lists at hand (2016 to 2020); "
                "the counts agree if it was in HPF",
                noted=-1,
            ),
            Count("CTXsp", 8, "CTXsp", _WT),
            Count("STR", 26, "STR", _WT),
            Count("PAL", 10, "PAL", _WT),
            Count("TH", 43, "TH", _WT, note=_KNOX_MIDBRAIN, noted=1),
            Count("HY", 34, "HY", _WT),
            Count("MB", 43, "MB", _WT, note=_KNOX_MIDBRAIN, noted=-1),
            Count("P", 16, "P", _WT),
            Count("MY", 39, "MY", _WT),
            Count("CB", 19, "CB", _WT),
        ),
        excluded=_KNOX_EXCLUDED,
        # The largest id in docs/experiments_included.json.
        last_id=558581415,
        vanished=(
            Vanished(112670853, "Isocortex", "MOp in 2016"),
            Vanished(100142354, "HPF", "POST in 2016"),
        ),
        moved=(Moved(113036264, "Isocortex", "STR", "SSs in 2016, CP since 2019-02"),),
    ),
    "allensdk_notebook": Published(
        counts=(
            Count(
                "all experiments",
                2992,
                note="Allen's list has 2,995 experiments in 2019-02 and 2,992 in 2020-07",
                noted=3,
            ),
            Count("Cre, Isocortex", 1209, "Isocortex", "any-cre", note="1,211 in 2019-02, 1,209 in 2020-07", noted=2),
            Count("wild type, VISp", 33, "VISp", _WT),
            Count("Rbp4-Cre_KL100, Isocortex", 105, "Isocortex", "Rbp4-Cre_KL100"),
        )
    ),
    "oh_2014": Published(
        counts=(Count("wild-type injections", 469, None, _WT),),
        # The ids up to 2014; the next one in Allen's list is 304564721.
        last_id=300_000_000,
        vanished=(
            Vanished(112670853, "wild-type injections", "MOp in 2016"),
            Vanished(100142354, "wild-type injections", "POST in 2016"),
        ),
    ),
}
