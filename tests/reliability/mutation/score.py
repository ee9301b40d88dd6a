"""Try the mutants of a target in a copy of the checkout, and compare the survivors with those explained."""

from __future__ import annotations

import json
import os
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tests.reliability.mutation.mutations import Mutation, mutations_of
from tests.reliability.mutation.session import Outcome, Session, options, run_cold, wait_for
from tests.reliability.mutation.targets import TARGETS, Target

SURVIVORS = Path(__file__).with_name("survivors.toml")
_FIRST_TESTS = 25

Key = tuple[str, str, str, str, int]


@dataclass(frozen=True)
class Tried:
    """A mutant and its outcome: the test that killed it, if one did."""

    path: str
    function: str
    before: str
    after: str
    nth: int
    line: int
    outcome: Outcome
    test: str

    @property
    def key(self) -> Key:
        """See `Mutation.key`."""
        return self.path, self.function, self.before, self.after, self.nth


def explained() -> dict[Key, str]:
    """The mutants in survivors.toml with the reasons why they are harmless."""
    rows = tomllib.loads(SURVIVORS.read_text(encoding="utf-8")).get("survivor", [])
    return {
        (each["path"], each["function"], each["before"], each["after"], each.get("nth", 0)): each["reason"]
        for each in rows
    }


def try_target(checkout: Path, target: Target, results: Path, *, noticed: Sequence[Tried] = ()) -> list[Tried]:
    """Try the mutants of a target.

    Parameters
    ----------
    checkout : pathlib.Path
        A copy; the current folder and first on the path of modules.
    results : pathlib.Path
        A file to which each outcome is written at once, as a line of JSON.
    noticed : sequence of Tried
        Mutants that need not be tried again.
    """
    every = [each for path in target.paths for each in mutations_of(checkout, path)]
    known = {each.key: each for each in noticed}
    mutations = [each for each in every if each.key not in known]
    before = [known[each.key] for each in every if each.key in known]
    if not mutations:
        return before
    arguments = options(target.arguments)
    _write(results, before)
    by_key = {each.key: each for each in mutations}
    end = _forked(checkout, mutations, arguments, results)
    tried = _read(results)[len(before) :]
    if end.get("problem") or len(tried) != len(mutations):
        raise SystemExit(f"{results.stem}: {end.get('problem') or 'pytest ended early'}")
    cold = [each for each in tried if each.outcome == "survived" and each.test == "cold"]
    _say(f"  {len(mutations)} mutants, {len(cold)} of them in a new pytest")
    killers = Counter(each.test for each in tried if each.outcome == "killed" and each.test)
    final = {each.key: each for each in (*before, *tried)}
    for each in cold:
        first = [test for test, _ in killers.most_common(_FIRST_TESTS)]
        mutation = by_key[each.key]
        outcome: Outcome = "survived"
        test = ""
        if first:
            outcome, test = run_cold(checkout, mutation, options(first), end["seconds"])
        if outcome == "survived":
            outcome, test = run_cold(checkout, mutation, arguments, end["seconds"])
        if outcome == "killed" and test:
            killers[test] += 1
        final[each.key] = _tried(mutation, outcome, test)
    _write(results, list(final.values()))
    return list(final.values())


def _forked(checkout: Path, mutations: Sequence[Mutation], arguments: list[str], results: Path) -> dict[str, Any]:
    """Run a `Session` in a fork, since it imports the package; what it knows in the end."""
    import pytest

    end = results.with_suffix(".end")
    end.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            with results.open("a", encoding="utf-8") as file:

                def report(mutation: Mutation, outcome: Outcome, test: str) -> None:
                    file.write(f"{json.dumps(asdict(_tried(mutation, outcome, test)))}\n")
                    file.flush()

                session = Session(checkout, mutations, report)
                pytest.main(arguments, plugins=[session])
            for place, test in sorted(session.useless):
                _say(f"  not used: {test} fails in a fork{place and f' in which {place} was executed again'}")
            end.write_text(json.dumps({"problem": session.problem, "seconds": session.seconds}), encoding="utf-8")
            os._exit(0)
        finally:
            os._exit(1)
    wait_for(child, 24 * 3600)
    return dict(json.loads(end.read_text(encoding="utf-8"))) if end.exists() else {}


def _tried(mutation: Mutation, outcome: Outcome, test: str) -> Tried:
    return Tried(*mutation.key, mutation.lines.start, outcome, test)


def _write(results: Path, tried: Sequence[Tried]) -> None:
    results.write_text("".join(f"{json.dumps(asdict(each))}\n" for each in tried), encoding="utf-8")


def _read(results: Path) -> list[Tried]:
    return [Tried(**json.loads(line)) for line in results.read_text(encoding="utf-8").splitlines()]


def main() -> int:
    """In the copy: try the targets named in the arguments; see `tests.reliability.mutation.__main__`."""
    checkout, folder, again, tests, *names = sys.argv[1:]
    _import_dependencies()
    reasons = explained()
    is_complete = True
    for name in names:
        target = TARGETS[name]
        if chosen := json.loads(tests):
            target = replace(target, tests=tuple(chosen), keywords="")
        results = Path(folder) / f"{name}.jsonl"
        start = time.monotonic()
        noticed = [each for each in _read(results) if each.outcome != "survived"] if again == "again" else []
        tried = try_target(Path(checkout), target, results, noticed=noticed)
        _say(f"{name}: {time.monotonic() - start:.0f} s")
        is_complete &= _judge(target, tried, reasons)
    return not is_complete


def _judge(target: Target, tried: Sequence[Tried], reasons: dict[Key, str]) -> bool:
    """Print the score of each module; whether it is high enough and all survivors are explained."""
    is_complete = True
    for path in target.paths:
        rows = [each for each in tried if each.path == path]
        counts = Counter(each.outcome for each in rows)
        survivors = [each for each in rows if each.outcome == "survived"]
        share = 1 - len(survivors) / len(rows) if rows else 1.0
        _say(
            f"  {path}: {counts['killed']} killed, {counts['timeout']} timeouts, {counts['survived']} survived: "
            f"{share:.1%}"
        )
        for each in survivors:
            if each.key not in reasons:
                nth = f" (nth = {each.nth})" if each.nth else ""
                _say(f"    {path}:{each.line} {each.function}{nth}\n      - {each.before}\n      + {each.after}")
        listed = {key for key in reasons if key[0] == path}
        found = {each.key for each in survivors}
        for key in sorted(listed - found):
            _say(f"    survivors.toml lists a mutant that does not survive: {key}")
        if share < _LEAST or listed != found:
            is_complete = False
    return is_complete


_LEAST = 0.95


def _import_dependencies() -> None:
    """Import slow dependencies, but nothing that is mutated, before forking."""
    import h5py  # noqa: F401
    import hypothesis  # noqa: F401
    import nrrd  # noqa: F401
    import pandas  # noqa: F401
    import pytest  # noqa: F401
    import requests  # noqa: F401
    import sqlalchemy.dialects.postgresql
    import sqlalchemy.dialects.sqlite  # noqa: F401
    import stamina  # noqa: F401
    import starlette.applications  # noqa: F401
    import uvicorn  # noqa: F401

    if loaded := [name for name in sys.modules if name.startswith("bsv_store")]:
        raise SystemExit(f"loaded too early: {loaded}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
