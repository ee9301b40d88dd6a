"""The outcome of a download, experiment by experiment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bsv_store.errors import NothingDownloadedError
from bsv_store.html import card, paragraph, table
from bsv_store.text import listed, number_of


@dataclass(frozen=True, slots=True)
class Failure:
    """An experiment whose data could not be downloaded.

    Attributes
    ----------
    experiment_id : int
    reason : str
        One sentence that names the object and the address.
    """

    experiment_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome for each requested experiment.

    Attributes
    ----------
    stored : tuple of int
        Experiments whose data this run stored.
    present : tuple of int
        Experiments whose data were in the store already, or were stored by another process meanwhile.
    failed : tuple of Failure
    not_attempted : tuple of int
        Experiments for which no request was sent, because the run stopped early.
    stopped : str or None
        Reason why the run stopped early; None if it did not.
    hint : str or None
        What the user can do about the reason in ``stopped``; None if nothing.
    """

    stored: tuple[int, ...]
    present: tuple[int, ...]
    failed: tuple[Failure, ...]
    not_attempted: tuple[int, ...] = ()
    stopped: str | None = None
    hint: str | None = None


def failures_text(failed: Sequence[Failure], not_attempted: Sequence[int], stopped: str | None) -> str:
    """The failures as the end of a summary, such as ``3 failed, 30 not attempted: the host cannot be reached``."""
    text = f"{len(failed):,} failed"
    return f"{text}, {len(not_attempted):,} not attempted: {stopped}" if stopped else text


def reasons(failed: Iterable[Failure], not_attempted: Iterable[int], stopped: str | None) -> dict[int, str]:
    """Reason by experiment id, for the experiments whose data a run did not store."""
    return {each.experiment_id: each.reason for each in failed} | dict.fromkeys(
        not_attempted, f"not attempted: {stopped}"
    )


def report_card(what: str, summary: str, missed: Mapping[int, str], *, notes: Iterable[str] = ()) -> str:
    """The HTML of a report: its summary, the experiments whose data are still missing, and notes."""
    rows = [[str(identifier), reason] for identifier, reason in sorted(missed.items())]
    reasons_table = table(["experiment", "reason"], rows)
    return card(what, paragraph(summary), reasons_table, kind="report of a download", notes=notes)


class Report(Protocol):
    """What the reports of downloads have in common."""

    @property
    def what(self) -> str:
        """The objects that were requested."""

    @property
    def fetched(self) -> tuple[int, ...]:
        """Experiments whose data this run stored."""

    @property
    def present(self) -> tuple[int, ...]:
        """Experiments whose data were in the store already."""

    @property
    def reasons(self) -> dict[int, str]:
        """Reason by experiment id, for the experiments whose data are still missing."""

    @property
    def hint(self) -> str | None:
        """What the user can do about the reason why the run stopped early; None if nothing."""


def require_any_success(reports: Sequence[Report], *, is_shown: bool = False) -> None:
    """Raise if data were requested, and the store has nothing of it.

    Parameters
    ----------
    reports : sequence of Report
    is_shown : bool
        Whether the user has seen the reports, so that the error does not repeat a reason.

    Raises
    ------
    NothingDownloadedError
        The reports are attached to it.
    """
    failed = [report for report in reports if report.reasons]
    if not failed or any(report.fetched or report.present or getattr(report, "recovered", ()) for report in reports):
        return
    what = listed([report.what for report in failed])
    reasons_of_first = failed[0].reasons
    first = min(reasons_of_first)
    usual = "Run it again later." if is_shown else "The exception has the reports with all reasons: error.reports."
    reason = "" if is_shown else f"; {first}: {reasons_of_first[first]}"
    raise NothingDownloadedError(
        f"nothing was downloaded ({what}): {number_of(len(reasons_of_first), 'experiment')} failed{reason}",
        hint=next((report.hint for report in failed if report.hint), usual),
        reports=tuple(reports),
    )
