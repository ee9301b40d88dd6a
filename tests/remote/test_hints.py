"""A hint with a command that a store on a server refuses says to its users who can run the command."""

from __future__ import annotations

import ast
import gc
import pickle
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import bsv_store
from bsv_store import Selection, advice, open_store
from bsv_store.errors import BsvStoreError, BsvStoreWarning, MissingDataError
from bsv_store.remote.protocol import error_of, problem_of
from tests.cli.test_help import LEAVES
from tests.remote.test_commands import ELSEWHERE, REFUSED, REFUSED_OPTIONS, SAME

URL = "https://lab.example/bsv"
COMMANDS = {" ".join(path) for path in LEAVES}
# Groups, and words that follow the name of the program without being a command.
_WORDS = re.compile(r"\bbsv-store ((?:[a-z]+ ?){1,3})")


def _texts() -> Iterator[tuple[str, str]]:
    """Each text in the library that names a command, with its place. Values in it are X; docstrings are left out."""
    root = Path(bsv_store.__file__).parent
    for path in sorted(root.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "bsv-store " not in source:
            continue
        tree = ast.parse(source)
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        parts = {id(each) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for each in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                pieces = [str(each.value) if isinstance(each, ast.Constant) else "X" for each in node.values]
                text = "".join(pieces)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | parts:
                text = node.value
            else:
                continue
            if any(_command(found) is not None for found in _WORDS.findall(text)):
                yield f"{path.relative_to(root)}:{node.lineno}", text


def _command(words: str) -> str | None:
    """The command with which some words begin."""
    parts = words.split()
    return next((name for end in (3, 2, 1) if (name := " ".join(parts[:end])) in COMMANDS), None)


TEXTS = list(_texts())


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a store that is open in this process."""

    class Owner:
        pass

    owner = Owner()
    advice.note_server(owner, URL)
    yield URL
    advice.forget_server(owner)


def test_all_texts_with_commands_are_found() -> None:
    assert len(TEXTS) > 100


@pytest.mark.parametrize(("place", "text"), TEXTS, ids=[place for place, _ in TEXTS])
def test_a_hint_says_who_can_run_a_command_that_a_server_refuses(server: str, place: str, text: str) -> None:
    named = {command for words in _WORDS.findall(text) if (command := _command(words)) is not None}
    refused = named & ((REFUSED.keys() | {"dataset import"}) - {"init"})
    assert named <= SAME.keys() | REFUSED.keys() | ELSEWHERE | REFUSED_OPTIONS.keys()
    hint = BsvStoreError("x", hint=text).hint
    assert hint is not None
    assert hint.startswith(text)
    if refused and "administrator" not in text:
        said = hint.removeprefix(text)
        assert f"ask the administrator of {server} to run" in said
        assert all(f"`bsv-store {name}`" in said for name in refused)
    elif not named & REFUSED_OPTIONS.keys():
        assert hint == text


def test_commands_are_found_behind_the_store_and_with_their_options() -> None:
    found = {
        "Run bsv-store --store '/srv/a b' db upgrade": ["db upgrade"],
        "Run `bsv-store fetch --ids 1`, then bsv-store verify; or bsv-store gc": ["fetch", "verify", "gc"],
        "Compute it: bsv-store aggregate --ids 1,2 --name x": [],
        "Compute it: bsv-store aggregate --ids 1,2 --name x --fetch": ["aggregate --fetch"],
        "Check it: bsv-store dataset rebuild all --check": [],
        "Restore it: bsv-store dataset rebuild all": ["dataset rebuild"],
        "Create one: bsv-store init FOLDER": [],
        "bsv-store cache verify": [],
        "bsv-store backup verify TARGET": [],
        "bsv-store catalog verify": [],
        "the bsv-store fetches": [],
    }
    assert {hint: advice.refused_commands(hint) for hint in found} == found


def test_a_hint_is_changed_only_while_a_store_on_a_server_is_open() -> None:
    class Owner:
        pass

    hint, first, second = "Fetch them: bsv-store fetch --ids 1", Owner(), Owner()
    assert BsvStoreError("x", hint=hint).hint == hint
    advice.note_server(first, URL)
    advice.note_server(second, "https://other.example")
    said = BsvStoreError("x", hint=hint).hint
    assert said == (
        f"{hint}\nA store on a server refuses `bsv-store fetch`: ask the administrator of {URL} or "
        "https://other.example to run it."
    )
    # Passed on as the hint of another error, or to another process.
    assert BsvStoreWarning("x", hint=said).hint == said
    assert pickle.loads(pickle.dumps(BsvStoreError("x", hint=hint))).hint == said
    assert BsvStoreError("x").hint is None
    advice.forget_server(second)
    del first
    gc.collect()
    assert BsvStoreError("x", hint=hint).hint == hint


def test_a_server_adds_the_sentence_to_its_answers(server: str) -> None:
    error = MissingDataError("x")
    error.hint = "Fetch them: bsv-store fetch --ids 1"
    problem = problem_of(error, status=404)
    assert problem["hint"].endswith("ask the administrator of this server to run it.")
    # Not added twice.
    assert error_of(problem).hint == problem["hint"]


@pytest.mark.usefixtures("lab")
def test_opening_a_store_on_a_server_changes_hints(tmp_path: Path, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.server.serving import serving

    monkeypatch.setenv("BSV_STORE_CACHE", str(tmp_path / "cache"))
    with warnings.catch_warnings(), open_store(lab, read_only=True) as own, serving(own) as address:
        warnings.simplefilter("error")
        with open_store(address) as remote:
            with pytest.raises(MissingDataError) as caught:
                remote.volumes.stack(Selection(ids=[1]), spacing_um=25)
            assert str(caught.value).endswith(f"ask the administrator of {address} to run it.")
        with pytest.raises(MissingDataError) as caught:
            own.volumes.stack(Selection(ids=[1]), spacing_um=25)
        assert "administrator" not in str(caught.value)
