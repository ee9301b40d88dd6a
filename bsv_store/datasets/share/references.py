"""References as BibTeX and RIS."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsv_store.averaging.comparison.structure_comparison import StructureComparison

if TYPE_CHECKING:
    from bsv_store.averaging.comparison.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Reference:
    """A work to cite.

    Attributes
    ----------
    key : str
        BibTeX key.
    title : str
        Plain text; words whose capitals BibTeX must keep are in braces.
    year : int
    authors : tuple of str
        'Family, Given'.
    and_others : bool
        Whether there are more authors.
    journal, volume, pages, doi, howpublished, publisher, note : str or None
        A work with a journal is an article, one with a publisher a book, others are data.
    """

    key: str
    title: str
    year: int
    authors: tuple[str, ...] = ()
    and_others: bool = False
    journal: str | None = None
    volume: str | None = None
    pages: str | None = None
    doi: str | None = None
    howpublished: str | None = None
    publisher: str | None = None
    note: str | None = None

    @property
    def _kind(self) -> tuple[str, str]:
        """The type of the entry in BibTeX and in RIS."""
        if self.journal is not None:
            return "article", "JOUR"
        return ("misc", "DATA") if self.publisher is None else ("book", "BOOK")

    def bibtex(self) -> str:
        """The BibTeX entry."""
        authors = [*self.authors, *(["others"] if self.and_others else [])]
        values = (
            ("title", _escaped(self.title, keep_braces=True)),
            ("author", " and ".join(map(_escaped, authors))),
            ("howpublished", _escaped(self.howpublished)),
            ("publisher", _escaped(self.publisher)),
            ("journal", _escaped(self.journal)),
            ("volume", self.volume),
            ("pages", None if self.pages is None else self.pages.replace("-", "--")),
            ("year", str(self.year)),
            ("doi", self.doi),
            ("note", _escaped(self.note)),
        )
        lines = [f"  {name:<12} = {{{value}}}" for name, value in values if value]
        return f"@{self._kind[0]}{{{self.key},\n" + ",\n".join(lines) + "\n}\n"

    def ris(self) -> str:
        """The RIS record, with CRLF line ends."""
        first, _, last = (self.pages or "").partition("-")
        values = [
            ("TY", self._kind[1]),
            ("ID", self.key),
            *(("AU", author) for author in self.authors),
            ("TI", re.sub("[{}]", "", self.title)),
            ("JO", self.journal),
            ("VL", self.volume),
            ("SP", first),
            ("EP", last),
            ("PY", str(self.year)),
            ("DO", self.doi),
            ("PB", self.publisher or self.howpublished),
            ("N1", self.note),
        ]
        lines = [f"{tag}  - {' '.join(value.split())}" for tag, value in values if value]
        return "\r\n".join([*lines, "ER  - "]) + "\r\n"


def bibtex(references: Iterable[Reference]) -> str:
    """All entries, separated by empty lines."""
    return "\n".join(each.bibtex() for each in references)


def ris(references: Iterable[Reference]) -> str:
    """All records, separated by empty lines."""
    return "\r\n".join(each.ris() for each in references)


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    each: f"\\{each}" for each in "&%$#_{}"
}


def _escaped(text: str | None, *, keep_braces: bool = False) -> str:
    kept = "{}" if keep_braces else ""
    return "".join(each if each in kept else _SPECIAL.get(each, each) for each in text or "")


PAPERS = (
    Reference(
        "oh2014mesoscale",
        "A mesoscale connectome of the mouse brain",
        2014,
        ("Oh, Seung Wook", "Harris, Julie A.", "Ng, Lydia", "Winslow, Brent"),
        and_others=True,
        journal="Nature",
        volume="508",
        pages="207-214",
        doi="10.1038/nature13186",
    ),
    Reference(
        "harris2019hierarchical",
        "Hierarchical organization of cortical and thalamic connectivity",
        2019,
        ("Harris, Julie A.", "Mihalas, Stefan", "Hirokawa, Karla E.", "Whitesell, Jennifer D."),
        and_others=True,
        journal="Nature",
        volume="575",
        pages="195-202",
        doi="10.1038/s41586-019-1716-z",
    ),
    Reference(
        "wang2020allen",
        "The {Allen} {Mouse} {Brain} {Common} {Coordinate} {Framework}: A {3D} Reference Atlas",
        2020,
        ("Wang, Quanxin", "Ding, Song-Lin", "Li, Yang", "Royall, Josh"),
        and_others=True,
        journal="Cell",
        volume="181",
        pages="936-953",
        doi="10.1016/j.cell.2020.04.007",
    ),
)
"""The papers about the atlas."""

_PERMUTATION = (
    Reference(
        "westfall1993resampling",
        "Resampling-Based Multiple Testing: Examples and Methods for p-Value Adjustment",
        1993,
        ("Westfall, Peter H.", "Young, S. Stanley"),
        publisher="Wiley",
    ),
    Reference(
        "nichols2002nonparametric",
        "Nonparametric permutation tests for functional neuroimaging: A primer with examples",
        2002,
        ("Nichols, Thomas E.", "Holmes, Andrew P."),
        journal="Human Brain Mapping",
        volume="15",
        pages="1-25",
        doi="10.1002/hbm.1058",
    ),
)
_COVARIATES = Reference(
    "freedman1983nonstochastic",
    "A nonstochastic interpretation of reported significance levels",
    1983,
    ("Freedman, David", "Lane, David"),
    journal="Journal of Business & Economic Statistics",
    volume="1",
    pages="292-298",
    doi="10.1080/07350015.1983.10509354",
)
_TFCE = Reference(
    "smith2009threshold",
    "Threshold-free cluster enhancement: Addressing problems of smoothing, threshold dependence and localisation in "
    "cluster inference",
    2009,
    ("Smith, Stephen M.", "Nichols, Thomas E."),
    journal="NeuroImage",
    volume="44",
    pages="83-98",
    doi="10.1016/j.neuroimage.2008.03.061",
)


_FALSE_DISCOVERY = Reference(
    "benjamini1995controlling",
    "Controlling the false discovery rate: A practical and powerful approach to multiple testing",
    1995,
    ("Benjamini, Yoav", "Hochberg, Yosef"),
    journal="Journal of the Royal Statistical Society, Series B",
    volume="57",
    pages="289-300",
    doi="10.1111/j.2517-6161.1995.tb02031.x",
)
_BOOTSTRAP = Reference(
    "efron1987better",
    "Better bootstrap confidence intervals",
    1987,
    ("Efron, Bradley",),
    journal="Journal of the American Statistical Association",
    volume="82",
    pages="171-185",
    doi="10.1080/01621459.1987.10478410",
)


def comparison_papers(comparison: Comparison | StructureComparison | None) -> tuple[Reference, ...]:
    """The papers about the methods of a comparison; empty without one."""
    if comparison is None:
        return ()
    with_covariates = (_COVARIATES,) if comparison.covariates else ()
    if isinstance(comparison, StructureComparison):
        return (*_PERMUTATION, *with_covariates, _FALSE_DISCOVERY, _BOOTSTRAP)
    with_clusters = (_TFCE,) if comparison.cluster == "tfce" else ()
    return (*_PERMUTATION, *with_covariates, *with_clusters)
