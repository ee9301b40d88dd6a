"""The shape of the code: which room may import which, and what every module keeps to."""

from __future__ import annotations

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

# From the top down. A room imports from itself and from the levels below it: never upward, never sideways.
LEVELS: tuple[frozenset[str], ...] = (
    # Only `python -m bsv_store` loads it.
    frozenset({"__main__"}),
    frozenset({"bsv_store_cli"}),
    frozenset({"bsv_store_synthetic"}),
    frozenset({"server"}),
    frozenset({"compat", "reports"}),
    frozenset({"models", "store"}),
    frozenset({"maintenance", "remote"}),
    frozenset({"acquisition", "datasets"}),
    frozenset({"figures", "plausibility"}),
    frozenset({"atlas", "averaging", "reproduce", "sources"}),
    frozenset({"formats"}),
    frozenset({"catalog"}),
    frozenset({"statistics", "volumes"}),
    frozenset({"progress", "temporary"}),
    frozenset({"config", "checkpoints", "file_systems", "owner", "program"}),
    frozenset({"check", "documents", "html", "quantities"}),
    frozenset({"errors", "text", "vocabulary", "_version"}),
    frozenset({"advice"}),
)

# Lists the public names and nothing else, so it may import all packages.
PUBLIC_NAMES = "bsv_store"

# Extras for users; the others are for those who work on the package.
USER_EXTRAS = ("postgres", "plot", "xarray", "dask", "stats", "remote", "zarr", "server", "arrow", "fast")
# Rooms that need an extra as a whole, so that their modules import it at the top.
ROOMS_OF_EXTRAS = {"server": "server"}

MAX_LINES = 500
# Modules that may be longer, with the reason.
LONGER_MODULES: Mapping[str, str] = {
    "bsv_store.datasets.version": "the public methods of DatasetVersion: docstrings, and one call each",
    "bsv_store.store.admin": "the public methods of Admin: docstrings, and one call each",
    "bsv_store.store.atlas": "the public methods of Atlas: docstrings, and one call each",
    "bsv_store.store.catalog": "the public methods of Catalog: docstrings, and one call each",
    "bsv_store.store.datasets": "the public methods of Datasets: docstrings, and one call each",
    "bsv_store.store.store": "the public methods of Store: docstrings, and one call each",
    "bsv_store.vocabulary": "all closed lists of names in one place",
}


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=str(self.path))

    @property
    def room(self) -> str:
        """The folder or module below the package that this file belongs to."""
        parts = self.name.split(".")
        return parts[0] if parts[0] != "bsv_store" or len(parts) == 1 else parts[1]


def _modules() -> dict[str, Module]:
    found = {}
    for package in (
        CHECKOUT / "bsv_store",
        CHECKOUT / "cli" / "bsv_store_cli",
        CHECKOUT / "synthetic" / "bsv_store_synthetic",
    ):
        for path in sorted(package.rglob("*.py")):
            parts = path.relative_to(package.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = Module(name, path)
    return found


MODULES = _modules()


@pytest.fixture(scope="module", autouse=True)
def _trees_are_dropped() -> Iterator[None]:
    """Let later tests run without the 650,000 nodes of the trees, which each full garbage collection would visit."""
    yield
    for module in MODULES.values():
        module.__dict__.pop("tree", None)


@dataclass(frozen=True)
class Import:
    """One import of one module, and the names taken from it."""

    target: str
    names: tuple[str, ...]
    line: int


@functools.cache
def imports(module: Module) -> tuple[Import, ...]:
    """Every import in a file, those in functions and for type checking included."""
    return tuple(
        found
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for found in _import_statement(node, module)
    )


def _import_statement(node: ast.Import | ast.ImportFrom, module: Module) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, (), node.lineno)
        return
    base = node.module or ""
    if node.level:
        parents = (module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]).split(".")
        base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
    for alias in node.names:
        # `from bsv_store import errors` takes a module, not a name from one.
        full = f"{base}.{alias.name}"
        yield Import(full, (), node.lineno) if full in MODULES else Import(base, (alias.name,), node.lineno)


def internal_imports(module: Module) -> Iterator[Import]:
    for found in imports(module):
        if found.target.split(".")[0] in {"bsv_store", "bsv_store_cli", "bsv_store_synthetic"}:
            assert found.target in MODULES, f"{module.path}:{found.line}: {found.target} does not exist"
            yield found


def level(room: str) -> int:
    for number, rooms in enumerate(LEVELS):
        if room in rooms:
            return number
    raise AssertionError(f"the room {room!r} has no place yet: put it into LEVELS")


def _is_allowed(module: Module, found: Import) -> bool:
    room, imported = module.room, MODULES[found.target].room
    if room == imported or module.name == PUBLIC_NAMES:
        return True
    if imported == PUBLIC_NAMES:
        # The public names include the store, so packages below it must import them from where they are defined.
        return level(room) < level("store")
    return level(room) < level(imported)


def test_imports_point_down() -> None:
    wrong = [
        f"{module.path}:{found.line}: {module.room} imports {' '.join(found.names)} from {found.target}"
        for module in MODULES.values()
        for found in internal_imports(module)
        if not _is_allowed(module, found)
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_do_not_import_each_other_in_circles() -> None:
    # Imports for type checking count: of two modules that name each other's types, neither can be read alone.
    graph = {name: {found.target for found in internal_imports(module)} for name, module in MODULES.items()}
    # Its imports happen when a name is asked for, not when it is loaded.
    graph[PUBLIC_NAMES] = set()
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for imported in sorted(graph[name] - {name}):
                visit(imported, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_cli_leaves_data_and_databases_to_the_library() -> None:
    forbidden = {"sqlalchemy", "alembic", "numpy", "h5py", "nrrd", "requests", "sqlite3", "psycopg"}
    used = [
        f"{module.path}:{found.line}: {found.target}"
        for module in MODULES.values()
        for found in imports(module)
        if module.room == "bsv_store_cli" and found.target.split(".")[0] in forbidden
    ]
    assert not used, "\n".join(used)


def _declared() -> tuple[set[str], set[str]]:
    """Names of the required packages, and of those that extras install."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    always = {_import_name(line) for line in project["dependencies"]}
    return always, {_import_name(line) for extra in USER_EXTRAS for line in extras[extra]}


def _import_name(requirement: str) -> str:
    name = re.split(r"[\[<>=~!; ]", requirement, maxsplit=1)[0]
    return {"pynrrd": "nrrd", "bsv-store-fast": "bsv_store_fast"}.get(name, name)


def test_imported_packages_are_declared() -> None:
    always, optional = _declared()
    known = {*always, *optional, *sys.stdlib_module_names, "bsv_store", "bsv_store_cli", "bsv_store_synthetic"}
    unknown = [
        f"{module.path}:{found.line}: {found.target}"
        for module in MODULES.values()
        for found in imports(module)
        if found.target.split(".")[0] not in known
    ]
    assert not unknown, "not among the dependencies in pyproject.toml:\n" + "\n".join(unknown)


def test_extras_are_imported_where_they_are_used() -> None:
    _, optional = _declared()
    early = [
        f"{module.path}:{found.line}: {found.target}"
        for module in MODULES.values()
        for node in module.tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for found in _import_statement(node, module)
        if found.target.split(".")[0] in optional
        if module.room not in ROOMS_OF_EXTRAS
    ]
    assert not early, "\n".join(early)


def test_modules_are_short() -> None:
    lines = {name: len(module.text.splitlines()) for name, module in MODULES.items()}
    long = {name: count for name, count in lines.items() if count > MAX_LINES and name not in LONGER_MODULES}
    assert not long, f"more than {MAX_LINES} lines: {long}"


def test_no_error_is_swallowed() -> None:
    silent = [
        f"{module.path}:{node.lineno}"
        for module in MODULES.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and all(_does_nothing(statement) for statement in node.body)
    ]
    assert not silent, "say what happened, or use contextlib.suppress:\n" + "\n".join(silent)


def _does_nothing(statement: ast.stmt) -> bool:
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass) or is_constant


def test_public_names_have_docstrings() -> None:
    missing = [f"{module.path}:{line}: {name}" for module in MODULES.values() for name, line in _undocumented(module)]
    assert not missing, "\n".join(missing)


def _undocumented(module: Module) -> Iterator[tuple[str, int]]:
    if ast.get_docstring(module.tree) is None:
        yield "module", 1
    yield from _undocumented_in(module.tree.body, "")


def _undocumented_in(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, int]]:
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None and not _is_overload(node):
            yield f"{prefix}{node.name}", node.lineno
        if isinstance(node, ast.ClassDef):
            yield from _undocumented_in(node.body, f"{prefix}{node.name}.")


def _is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(names & {"overload", "override", "setter", "deleter"})


def test_migrations_do_not_use_the_package() -> None:
    """A migration must go on doing what it did when the code around it moves on."""
    revisions = sorted((CHECKOUT / "migrations").glob("*.py"))
    assert revisions
    for path in revisions:
        used = [found.target for found in imports(Module(path.stem, path)) if found.target.startswith("bsv_store")]
        assert not used, f"{path} imports {used}"


def test_alembic_folder_does_not_shadow_the_library() -> None:
    assert not (CHECKOUT / "alembic" / "__init__.py").exists()
