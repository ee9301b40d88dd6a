"""The properties of a criterion of a selection.

This module imports neither NumPy nor SQLAlchemy, so that ``--help`` can read the rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from bsv_store.vocabulary import Row, UnionizePart

Form = Literal["structures", "names", "ids", "choice", "flag", "number", "spacing", "point", "box"]
"""The type of a criterion: any of several structures, names or ids; or one value."""

Section = Literal["injection", "mouse", "projection", "store", "name"]
"""The section of the help in which a criterion is listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """The properties of a criterion, except its name, its default and, unless ``column`` is set, its SQL.

    Attributes
    ----------
    form : Form
        Determines the check of the value and the kind of option.
    section : Section
        Of the help.
    words : str
        Help text of the option.
    label : str or None
        Label in forms, if it is not the name with spaces.
    phrase, phrase_if_false : str or None
        Phrase in the methods text, after "experiments", with ``{}`` for the value. A flag has one for True, and one for
        False unless that is the default. Only criteria that `bsv_store.catalog.selection.words` describes, or that
        qualify another one, have none.
    short, short_if_false : str or None
        The same for titles and labels; '' if these omit the criterion. By default, the name and the value; criteria
        that qualify another one are omitted.
    metavar : str or None
        Placeholder for the value in the help.
    option : str or None
        The option, if it is not the name of the criterion with hyphens.
    rows : mapping of str to row, optional
        The closed list of a choice, or of names.
    spellings : mapping of str to str, optional
        Names by their other spellings, folded (:func:`bsv_store.text.folded`).
    column : str or None
        Column of the view ``experiments`` that the value is compared with.
    bound : {'lowest', 'highest'} or None
        Whether a number is an inclusive limit of the column.
    range : (float, float)
        Smallest and largest valid number.
    belongs_to : str or None
        The criterion that this one qualifies; it has no meaning without it.
    may_be_empty : bool
        Whether an empty list means no restriction. For other criteria an empty list is an error.
    unionize_part : UnionizePart or None
        The half of the unionize table that it depends on.
    """

    form: Form
    section: Section
    words: str
    label: str | None = None
    phrase: str | None = None
    phrase_if_false: str | None = None
    short: str | None = None
    short_if_false: str | None = None
    metavar: str | None = None
    option: str | None = None
    rows: Mapping[str, Row] | None = None
    spellings: Mapping[str, str] = field(default_factory=dict)
    column: str | None = None
    bound: Literal["lowest", "highest"] | None = None
    range: tuple[float, float] = (0.0, math.inf)
    belongs_to: str | None = None
    may_be_empty: bool = False
    unionize_part: UnionizePart | None = None

    def texts(self, value: Any) -> list[str]:
        """The value, or each of several, as texts: names of closed lists in words, numbers with at most 10 digits."""
        return [self._text(each) for each in (value if isinstance(value, tuple) else (value,))]

    def _text(self, value: Any) -> str:
        if self.rows is not None:
            row = self.rows[value]
            return str(getattr(row, "words", row.name))
        return f"{value:,.10g}" if isinstance(value, float) else str(value)

    @property
    def metadata(self) -> Mapping[str, Criterion]:
        """Metadata for the dataclass field."""
        return {"criterion": self}
