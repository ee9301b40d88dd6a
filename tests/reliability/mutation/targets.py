"""The modules whose mutants are tried, with the tests that guard them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A set of modules with the tests that guard them.

    Attributes
    ----------
    paths : tuple of str
        Modules, relative to the checkout.
    tests : tuple of str
        Arguments of pytest.
    on_postgres : bool
        Whether the tests run on Postgres too; otherwise on SQLite only.
    keywords : str
        The option ``-k`` of pytest, to leave out tests that take long and show nothing more.
    """

    paths: tuple[str, ...]
    tests: tuple[str, ...]
    on_postgres: bool = False
    keywords: str = ""

    @property
    def arguments(self) -> list[str]:
        """The arguments of pytest that choose the tests."""
        chosen = [*([self.keywords] if self.keywords else []), *([] if self.on_postgres else ["not postgres"])]
        return [*(["-k", " and ".join(chosen)] if chosen else []), *self.tests]


def _in(folder: str, names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}.py" for name in names.split())


_KERNEL_TESTS = ("tests/averaging",)
_INPUT_TESTS = (
    *_KERNEL_TESTS,
    *_in("tests/datasets", "test_recipe test_exclusions test_stale test_aggregate"),
)
_SELECTION_TESTS = _in(
    "tests/catalog",
    "test_selection test_selection_atlas test_selection_properties test_selection_reads test_selection_sql"
    " test_commands",
)

TARGETS: dict[str, Target] = {
    "hemisphere": Target(("bsv_store/averaging/hemisphere.py",), _KERNEL_TESTS),
    "accumulator": Target(("bsv_store/averaging/kernel/accumulator.py",), _KERNEL_TESTS),
    "cells": Target(("bsv_store/averaging/kernel/cells.py",), _KERNEL_TESTS),
    "statistics": Target(("bsv_store/averaging/kernel/statistics.py",), _KERNEL_TESTS),
    "slabs": Target(_in("bsv_store/averaging/kernel", "result scatter slab_reader slabs"), _KERNEL_TESTS),
    "encoding": Target(
        ("bsv_store/volumes/encoding.py",), _in("tests/volumes", "test_encoding test_kinds test_library")
    ),
    "claims": Target(
        ("bsv_store/acquisition/work/claims.py",),
        ("tests/acquisition/test_claims.py",),
        on_postgres=True,
        keywords="not commands and not namespaces and not commits_nothing",
    ),
    "access": Target(
        (
            "bsv_store/catalog/access_tokens.py",
            *_in(
                "bsv_store/server/access",
                "authentication cookie headers limits log login middleware private_tables scopes tokens",
            ),
        ),
        (
            *_in("tests/server", "test_access_rules test_access_middleware test_access test_private_tables"),
            "tests/store/test_tokens.py",
        ),
    ),
    "answers": Target(
        (*_in("bsv_store/datasets", "answers"), "bsv_store/datasets/history/stale.py"),
        _in("tests/datasets", "test_answers test_stale test_imported"),
        on_postgres=True,
        keywords="(not postgres or without_looking)",
    ),
    "inputs": Target(("bsv_store/averaging/inputs.py",), _INPUT_TESTS),
    "members": Target(
        _in("bsv_store/averaging", "members recorded"),
        (*_in("tests/averaging", "test_members test_recorded"), "tests/datasets/test_recipe.py"),
    ),
    "recipe": Target(
        ("bsv_store/averaging/recipe.py",), ("tests/datasets/test_recipe.py", "tests/averaging/test_grouping.py")
    ),
    "passes": Target(
        _in("bsv_store/averaging", "passes stack single_volumes units"),
        (
            "tests/averaging/test_passes.py",
            *_in("tests/datasets", "test_aggregate test_stack"),
            "tests/volumes/test_single_volumes.py",
        ),
    ),
    "grouping": Target(
        _in("bsv_store/averaging/grouping", "assignment bins facts grouping membership words"),
        _in("tests/averaging", "test_assignment test_grouping test_grouping_facts"),
    ),
    "sides": Target(("bsv_store/catalog/ingest/hemisphere.py",), ("tests/catalog/ingest",)),
    "canonical": Target(
        _in("bsv_store/catalog/selection", "canonical commands in_store"),
        _in("tests/catalog", "test_selection test_commands test_selection_reads"),
    ),
    "selection": Target(_in("bsv_store/catalog/selection", "resolve selection"), _SELECTION_TESTS),
    "criteria": Target(
        _in("bsv_store/catalog/selection", "criteria criterion names words"),
        _in(
            "tests/catalog",
            "test_selection test_selection_names test_selection_words test_selection_sql test_short_words"
            " test_commands",
        ),
    ),
    "saved": Target(
        _in("bsv_store/catalog/selection", "exclusions saved"),
        _in("tests/catalog", "test_shared test_selection"),
    ),
    "files": Target(
        ("bsv_store/volumes/files.py",),
        _in("tests/volumes", "test_files test_file_reads test_library test_checks"),
    ),
}
"""Rows by name; the names are the arguments of ``make mutation``."""
