"""Try mutants in forks of a running pytest, where everything is imported and collected.

The tests run once without a change, and the lines that each of them runs are recorded. For each mutant, a fork replaces
the code of the mutated function in the imported module, and runs the tests that run its lines until one fails. Fixtures
with the scope of the session were made before, and are not made again.

For a mutant in the body of a module or class, the body is executed again in the fork, and its new definitions replace
the old ones: `_redefine`. Some mutants cannot show in a fork: some of these, and those in functions that are called
during the import or by fixtures of the session. If they survive, they are tried in a new pytest, forked from a process
that has imported the dependencies: `run_cold`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import multiprocessing.forkserver
import os
import resource
import select
import signal
import sys
import tempfile
import threading
import time
import types
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import coverage
import hypothesis
import pytest

import tests.examples
from tests.reliability.mutation.mutations import Mutation

Outcome = Literal["killed", "timeout", "survived"]

_IMPORT = "import"
_SESSION = "session"
_MEMORY = 12 << 30
_OPTIONS = ("-q", "-n", "0", "-p", "no:cacheprovider", "--tb=no", "--assert=plain", "--no-header", "-m")


def options(tests: Sequence[str]) -> list[str]:
    """The arguments of pytest for these tests, which may have options of their own."""
    return [*_OPTIONS, "not long and not integration", *tests]


@dataclass(eq=False)
class Session:
    """A pytest plugin that runs the tests once, then tries mutants.

    Parameters
    ----------
    checkout : pathlib.Path
        The copy of the checkout in which it runs.
    mutations : list of Mutation
    report : callable
        Called with each mutant, its outcome, and whether it must be tried in a new pytest.
    """

    checkout: Path
    mutations: Sequence[Mutation]
    report: Callable[[Mutation, Outcome, str], None]
    is_child: bool = False
    is_first_run: bool = False
    problem: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    with_children: set[str] = field(default_factory=set)
    _pipe: int = -1

    def __post_init__(self) -> None:
        self._paths = sorted({each.path for each in self.mutations})
        files = [str(self.checkout / path) for path in self._paths]
        self._coverage = coverage.Coverage(data_file=None, include=files, config_file=False, messages=False)
        self._coverage.start()
        self._coverage.switch_context(_IMPORT)
        self._context = _IMPORT
        self._trusted: set[tuple[str, str]] = set()
        self.useless: set[tuple[str, str]] = set()
        self._killers: dict[tuple[str, str], list[str]] = defaultdict(list)

    # -- hooks --

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        settle(config)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        if fixturedef.scope not in ("session", "package") or self.is_child:
            return (yield)
        with self._in_context(_SESSION):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.failed:
            return
        if self.is_child:
            os.write(self._pipe, report.nodeid.encode())
            os._exit(1)
        self.problem = self.problem or f"{report.nodeid} fails without a change:\n{report.longreprtext[-2000:]}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            self.problem = "the tests could not be collected"
            return True
        self.is_first_run = True
        with self._marked_processes(), self._templates_as_session():
            for number, item in enumerate(session.items):
                self._coverage.switch_context(item.nodeid)
                self._context = item.nodeid
                start = time.monotonic()
                following = session.items[number + 1] if number + 1 < len(session.items) else _Nothing(session)
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                self.seconds[item.nodeid] = time.monotonic() - start
                if self.problem:
                    return True
        self.is_first_run = False
        self._coverage.stop()
        if (running := threading.enumerate())[1:]:
            self.problem = f"threads outlive the tests: {running[1:]}"
            return True
        self._try_all(session)
        return True

    # -- the run without a change --

    @contextlib.contextmanager
    def _in_context(self, name: str) -> Iterator[None]:
        before, self._context = self._context, name
        self._coverage.switch_context(name)
        try:
            yield
        finally:
            self._context = before
            self._coverage.switch_context(before)

    @contextlib.contextmanager
    def _marked_processes(self) -> Iterator[None]:
        """Notice the tests that start other processes, whose lines are not recorded."""

        def noticed(event: str, _arguments: object) -> None:
            if event in ("subprocess.Popen", "os.fork", "os.posix_spawn") and self.is_first_run:
                self.with_children.add(self._context)

        sys.addaudithook(noticed)
        start = multiprocessing.process.BaseProcess.start

        def started(process: Any) -> None:
            self.with_children.add(self._context)
            start(process)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(multiprocessing.process.BaseProcess, "start", started)
            yield

    @contextlib.contextmanager
    def _templates_as_session(self) -> Iterator[None]:
        """`tests.stores.Templates` fills stores once for the session, but not in a fixture of the session."""
        from tests.stores import Templates

        template = Templates.template

        def recorded(*arguments: Any) -> Any:
            with self._in_context(_SESSION):
                return template(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Templates, "template", recorded)
            yield

    # -- mutants --

    def _try_all(self, session: pytest.Session) -> None:
        # What is frozen, see `tests.conftest`, would not be found.
        gc.unfreeze()
        data = self._coverage.get_data()
        contexts = {path: data.contexts_by_lineno(str(self.checkout / path)) for path in self._paths}
        items = {item.nodeid: item for item in session.items}
        order = self._order(session.items)
        originals = {path: (self.checkout / path).read_text(encoding="utf-8") for path in self._paths}
        functions = {path: _functions_of(str(self.checkout / path)) for path in self._paths}
        # Cached results of what is mutated.
        caches = [each for each in gc.get_objects() if isinstance(each, functools._lru_cache_wrapper)]
        for cache in caches:
            if (getattr(cache, "__module__", None) or "").startswith("bsv_store"):
                cache.cache_clear()
        # So that the forks copy fewer pages.
        gc.freeze()
        for mutation in self.mutations:
            covering = {name for line in mutation.lines for name in contexts[mutation.path].get(line, ())}
            is_cold = not mutation.function or bool(covering & {_IMPORT, _SESSION})
            place = mutation.path, mutation.function
            first = [name for name in self._killers[place] if name in covering or not mutation.function][:10]
            rest = [name for name in order if name in covering and name not in first]
            others = [name for name in order if name in self.with_children and name not in covering]
            chosen = [items[name] for name in (*first, *rest, *others)]
            if not mutation.function:
                chosen = [items[name] for name in (*first, *(name for name in order if name not in first))]
            outcome, test = self._try(session, mutation, chosen, functions, originals[mutation.path])
            if outcome == "killed" and test:
                names = self._killers[place]
                if test in names:
                    names.remove(test)
                names.insert(0, test)
            self.report(mutation, outcome, "cold" if outcome == "survived" and is_cold else test)

    def _try(
        self,
        session: pytest.Session,
        mutation: Mutation,
        chosen: list[pytest.Item],
        functions: dict[str, dict[tuple[str, int], list[types.FunctionType]]],
        original: str,
    ) -> tuple[Outcome, str]:
        """Run tests on a mutant; one that fails in a fork also without the change shows nothing, and is left out."""
        place = mutation.path if not mutation.function else ""
        chosen = [item for item in chosen if (place, item.nodeid) not in self.useless]
        while chosen:
            outcome, test = self._fork(session, mutation, chosen, functions)
            same = None if mutation.function else replace(mutation, source=original)
            if outcome == "killed" and not test and same is not None:
                # It could not be executed, which counts if the module itself can be.
                can_be = self._fork(session, same, [], functions)[0] == "survived"
                return ("killed", "") if can_be else ("survived", "")
            if outcome != "killed" or not test or (place, test) in self._trusted:
                return outcome, test
            (failed,) = [item for item in chosen if item.nodeid == test]
            if self._fork(session, same, [failed], functions)[0] == "survived":
                self._trusted.add((place, test))
                return outcome, test
            self.useless.add((place, test))
            chosen.remove(failed)
        return "survived", ""

    def _order(self, tests: Sequence[pytest.Item]) -> list[str]:
        """The fast files first, so that what is made for a file is made once; Postgres last."""
        by_file: dict[tuple[bool, str], list[str]] = defaultdict(list)
        for item in tests:
            by_file[("postgres" in item.nodeid, str(item.path))].append(item.nodeid)
        groups = sorted(by_file.items(), key=lambda each: (each[0][0], self._mean(each[1])))
        return [name for _, names in groups for name in sorted(names, key=self.seconds.__getitem__)]

    def _mean(self, names: Sequence[str]) -> float:
        return sum(self.seconds[name] for name in names) / len(names)

    def _fork(
        self,
        session: pytest.Session,
        mutation: Mutation | None,
        chosen: list[pytest.Item],
        functions: dict[str, dict[tuple[str, int], list[types.FunctionType]]],
    ) -> tuple[Outcome, str]:
        """Run tests in a fork; the outcome, and the test that failed."""
        with (
            on_disk(self.checkout, mutation),
            tempfile.TemporaryDirectory(prefix="bsv-store-mutant-", ignore_cleanup_errors=True) as folder,
        ):
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    os.close(reading)
                    self.is_child, self._pipe = True, writing
                    isolate()
                    session.config._tmp_path_factory._basetemp = Path(folder)  # type: ignore[attr-defined]
                    if mutation is not None and not _replace_code(
                        mutation, str(self.checkout / mutation.path), functions[mutation.path]
                    ):
                        os._exit(_NOT_REPLACED)
                    for number, item in enumerate(chosen):
                        limit_time(self.seconds[item.nodeid])
                        following = chosen[number + 1] if number + 1 < len(chosen) else _Nothing(session)
                        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                    os._exit(0)
                except BaseException:  # noqa: BLE001 (whatever a mutant does, the fork ends here)
                    os._exit(1)
            os.close(writing)
            code = wait_for(child, 60 + 10 * sum(self.seconds[item.nodeid] for item in chosen))
            with os.fdopen(reading, encoding="utf-8") as pipe:
                test = pipe.read()
        return _OUTCOMES.get(code, "killed"), test or ("cold" if code == _NOT_REPLACED else "")


# The exit code of a fork in which the function to be changed does not exist.
_NOT_REPLACED = 3
_OUTCOMES: dict[int | None, Outcome] = {
    0: "survived",
    1: "killed",
    _NOT_REPLACED: "survived",
    None: "timeout",
    -signal.SIGALRM: "timeout",
    -signal.SIGPROF: "timeout",
}


class _Nothing:
    """A next test of no file, after which only what is made for the session stays."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session

    def listchain(self) -> list[pytest.Session]:
        return [self._session]


def settle(config: pytest.Config) -> None:
    """Draw the same examples each time, and do not shrink failing ones."""
    # Mutants that survive take all examples of all tests.
    tests.examples.examples = lambda count: hypothesis.settings(max_examples=max(count // 8, 5))
    profile = hypothesis.settings(hypothesis.settings.get_profile("ordinary"), max_examples=15)
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", profile, derandomize=True, database=None, phases=phases)
    hypothesis.settings.load_profile("mutants")


def limit_time(seconds: float) -> None:
    """End this process if a test takes far longer than it did without a change, even on a busy machine."""
    signal.setitimer(signal.ITIMER_PROF, 3 + 5 * seconds)
    signal.setitimer(signal.ITIMER_REAL, 60 + 10 * seconds)


def isolate() -> None:
    """In a fork: a group of its own, no output, no core files, limited memory, and no servers of the parent."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    # The server of the parent forks processes without the change.
    multiprocessing.forkserver._forkserver = multiprocessing.forkserver.ForkServer()
    for name in ("ensure_running", "get_inherited_fds", "connect_to_new_process", "set_forkserver_preload"):
        setattr(multiprocessing.forkserver, name, getattr(multiprocessing.forkserver._forkserver, name))
    processes = sys.modules.get("tests.processes")
    if processes is not None:
        processes._context.cache_clear()


def wait_for(child: int, seconds: float) -> int | None:
    """The exit code of a child, or None if it took too long; what it left running is killed."""
    descriptor = os.pidfd_open(child)
    try:
        is_ended = bool(select.select([descriptor], [], [], seconds)[0])
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(status) if is_ended else None


@contextlib.contextmanager
def on_disk(checkout: Path, mutation: Mutation | None) -> Iterator[None]:
    """Write a mutant to its file, for the processes that tests start."""
    if mutation is None:
        yield
        return
    path = checkout / mutation.path
    before = path.read_text(encoding="utf-8")
    path.write_text(mutation.source, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


def _functions_of(path: str) -> dict[tuple[str, int], list[types.FunctionType]]:
    """The functions of a module by qualified name and order in the module."""
    code = compile(Path(path).read_text(encoding="utf-8"), path, "exec", dont_inherit=True)
    numbers = {(name, line): number for name, places in _codes(code).items() for number, (line, _) in enumerate(places)}
    found: dict[tuple[str, int], list[types.FunctionType]] = defaultdict(list)
    for each in gc.get_objects():
        if isinstance(each, types.FunctionType) and each.__code__.co_filename == path:
            name = each.__code__.co_qualname
            number = numbers.get((name, each.__code__.co_firstlineno))
            if number is not None:
                found[name, number].append(each)
    return dict(found)


def _codes(code: types.CodeType) -> dict[str, list[tuple[int, types.CodeType]]]:
    """The code of functions in a module by qualified name, in order."""
    found: dict[str, list[tuple[int, types.CodeType]]] = defaultdict(list)
    pending = [code]
    while pending:
        for each in pending.pop().co_consts:
            if isinstance(each, types.CodeType):
                found[each.co_qualname].append((each.co_firstlineno, each))
                pending.append(each)
    for places in found.values():
        places.sort(key=lambda place: place[0])
    return dict(found)


def _replace_code(mutation: Mutation, path: str, functions: dict[tuple[str, int], list[types.FunctionType]]) -> bool:
    """Give the functions of a module, wherever they are referenced, the code of the mutant; False if not found."""
    if not mutation.function:
        return _redefine(mutation, path)
    codes = _codes(compile(mutation.source, path, "exec", dont_inherit=True))
    prefix = f"{mutation.function}."
    replaced = 0
    for (name, number), each in functions.items():
        if name != mutation.function and not name.startswith(prefix):
            continue
        places = codes.get(name, [])
        if number >= len(places):
            continue
        for function in each:
            if len(function.__code__.co_freevars) == len(places[number][1].co_freevars):
                function.__code__ = places[number][1]
                replaced += name == mutation.function
    return replaced > 0


def _redefine(mutation: Mutation, path: str) -> bool:
    """Execute a module again, and put what differs in the place of what was there; False if that fails."""
    module = next((each for each in list(sys.modules.values()) if getattr(each, "__file__", None) == path), None)
    if module is None:
        return False
    fresh = {"__name__": module.__name__, "__file__": path, "__package__": module.__package__}
    exec(compile(mutation.source, path, "exec", dont_inherit=True), fresh)
    others = [each for name, each in list(sys.modules.items()) if name.startswith(("bsv_store", "tests"))]
    for name, new in fresh.items():
        old = module.__dict__.get(name)
        if name.startswith("__") or new is old:
            continue
        if isinstance(new, type) and isinstance(old, type):
            for attribute, value in vars(new).items():
                _update_function(vars(old).get(attribute), value)
        elif not _update_function(old, new):
            for other in others:
                if other.__dict__.get(name) is old:
                    setattr(other, name, new)
    return True


def _update_function(old: Any, new: Any) -> bool:
    """Give a function the code and the defaults of another one; False if they are no functions."""
    if not isinstance(old, types.FunctionType) or not isinstance(new, types.FunctionType):
        return False
    if len(old.__code__.co_freevars) == len(new.__code__.co_freevars):
        old.__code__ = new.__code__
    old.__defaults__, old.__kwdefaults__ = new.__defaults__, new.__kwdefaults__
    return True


class Cold:
    """A pytest plugin of a process for one mutant: the first test that fails ends it."""

    def __init__(self, pipe: int, seconds: dict[str, float]) -> None:
        self._pipe = pipe
        self._seconds = seconds

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        settle(config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        limit_time(self._seconds.get(item.nodeid, 1))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(self._pipe, report.nodeid.encode())
            os._exit(1)


def run_cold(
    checkout: Path, mutation: Mutation, arguments: Sequence[str], seconds: dict[str, float]
) -> tuple[Outcome, str]:
    """Try a mutant in a new pytest; the outcome, and the test that failed."""
    with (
        on_disk(checkout, mutation),
        tempfile.TemporaryDirectory(prefix="bsv-store-mutant-", ignore_cleanup_errors=True) as folder,
    ):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reading)
                isolate()
                limit_time(10)
                plugin = Cold(writing, seconds)
                code = pytest.main([*arguments, f"--basetemp={folder}/pytest"], plugins=[plugin])
                os._exit(0 if code == 0 else 1)
            except BaseException:  # noqa: BLE001
                os._exit(1)
        os.close(writing)
        ended = wait_for(child, 120 + 10 * sum(seconds.values()))
        with os.fdopen(reading, encoding="utf-8") as pipe:
            test = pipe.read()
    return _OUTCOMES.get(ended, "killed"), test
