"""A release stops if a dependency has a known vulnerability, or if one cannot be looked up."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from types import ModuleType
from typing import Any

import pytest

from tests.security.source import CHECKOUT

MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", CHECKOUT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _package(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": [], **more}


_SKIPPED = {"name": "numpy", "skip_reason": "Dependency not found on PyPI and could not be audited: numpy (2.0)"}
_OWN = {"name": "bsv-store", "skip_reason": "Dependency not found on PyPI"}
_OWN_LOOP = {**_OWN, "name": "bsv-store-fast"}
_VULNERABLE = _package("h5py", vulns=[{"id": "PYSEC-1", "aliases": ["CVE-2026-1"], "fix_versions": ["1.1"]}])


@pytest.mark.parametrize(
    ("found", "ignored", "code", "words"),
    [
        ([_package("h5py"), _OWN, _OWN_LOOP], (), 0, "no known vulnerabilities in 1 packages"),
        ([_package("h5py"), _SKIPPED], (), 2, "1 of 2 packages could not be looked up (numpy)"),
        ([_VULNERABLE, _SKIPPED], (), 2, "is there a network connection"),
        ([_VULNERABLE], (), 1, "h5py 1.0: PYSEC-1; fixed in 1.1"),
        ([_VULNERABLE], ("CVE-2026-1",), 0, "no known vulnerabilities"),
        ([_VULNERABLE], ("CVE-2026-2",), 1, "PYSEC-1"),
        ([_OWN], (), 2, "is the environment empty"),
    ],
)
def test_an_audit_succeeds_only_if_everything_was_looked_up(
    audit: ModuleType, found: list[dict[str, Any]], ignored: tuple[str, ...], code: int, words: str
) -> None:
    judged, lines = audit.judged({"dependencies": found, "fixes": []}, frozenset(ignored))
    assert judged == code
    assert words in "\n".join(lines)


def test_the_environment_of_a_release_has_every_extra_of_users() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (installed,) = re.findall(r"'\.\[([a-z,]+)\]'\n\t@touch \$@\n\n\$\(TOOLS\)", MAKEFILE)
    assert set(installed.split(",")) == set(project["optional-dependencies"]) - {"test", "dev", "docs"}


def test_a_release_is_checked_audited_and_described() -> None:
    (needed,) = re.findall(r"^release: (.*?)##", MAKEFILE, re.MULTILINE)
    assert {"check", "audit", "sbom"} <= set(needed.split())
