"""Distribution of tests over the workers of pytest-xdist: the tests of a file stay together.

Fixtures of a module or of the session are then made by one worker, not by each. Tests that share an expensive fixture
across files are a group of their own (``xdist_group``), and start first, so that none is left for the end.
"""

from __future__ import annotations

from xdist.scheduler import LoadGroupScheduling


class FileScheduling(LoadGroupScheduling):
    """Like ``--dist loadgroup``, but with a file as the group of the tests that have none."""

    def _split_scope(self, nodeid: str) -> str:
        group = super()._split_scope(nodeid)
        return nodeid.partition("::")[0] if group == nodeid else group
