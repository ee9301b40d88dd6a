"""Mixed use of a store by twelve processes and a server, with faults: see `tests.reliability.soak`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import require_postgres
from tests.reliability.campaigns import campaign
from tests.reliability.soak import Soak

if TYPE_CHECKING:
    from tests.reliability.soak import DatabaseKind


@pytest.mark.skipif(sys.platform != "linux", reason="processes and their memory are found in /proc")
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_nothing_is_lost_or_wrong_or_grows_in_mixed_use_with_faults(kind: DatabaseKind, tmp_path: Path) -> None:
    if kind == "postgres":
        require_postgres()
    with campaign("soak", part=kind, share=0.5) as trials:
        report = Soak(tmp_path / "soak", kind, trials.seed).run(operations=trials.size)
        trials.done(report.total)
        assert (report.wrong, report.lost, report.grown) == ([], [], []), f"seed {trials.seed}: {report.text()}"
