"""The public API is what ``public_api.txt`` says, so that every change of it is seen in a diff."""

from __future__ import annotations

import difflib

from tests.public_api import COMMAND, FILE, text


def test_public_api_is_as_recorded() -> None:
    recorded = FILE.read_text(encoding="utf-8")
    changes = difflib.unified_diff(recorded.splitlines(), text().splitlines(), "recorded", "found", lineterm="", n=0)
    changed = "\n".join(changes)
    assert not changed, f"the public API has changed; if intended, run `{COMMAND}`\n{changed}"
