"""Fuzz under atheris, with coverage: ``make fuzz``, ``make fuzz TARGET=nrrd SECONDS=600``.

Each target runs in a separate process, since a native library may crash it. Inputs that reach new code are kept in
``build/fuzzing/corpus``, failing ones in ``build/fuzzing/found``. A figure is printed for each target, and added to
``build/fuzzing/figures.jsonl``. The exit code is 1 if an input failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

import atheris

# Also the parsers that are written in Python. The drawing of figures reads nothing from outside.
_INSTRUMENTED = ["bsv_store", "nrrd", "tomllib", "zipfile", "csv"]
_LEFT_OUT = ["bsv_store.figures", "bsv_store.reports", "bsv_store.compat", "bsv_store.statistics"]

with atheris.instrument_imports(include=_INSTRUMENTED, exclude=_LEFT_OUT):
    from tests.reliability.fuzzing.target import FOUND_VARIABLE, MAX_INPUT_BYTES, check
    from tests.reliability.fuzzing.targets import CORPUS, FOUND, TARGETS

BUILD = Path(__file__).resolve().parents[3] / "build" / "fuzzing"
# Everything is slower under coverage.
_SLOWER = 6
_ADDRESS_SPACE = 6 << 30


def _run(name: str, seconds: float, seed: int, scratch: Path) -> None:
    """Fuzz one target in this process; libFuzzer ends it."""
    target = replace(TARGETS[name], seconds=TARGETS[name].seconds * _SLOWER)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    prepared = target.prepare(scratch)
    seeds = BUILD / "seeds" / name
    seeds.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(prepared.seeds):
        (seeds / str(number)).write_bytes(content)

    def mutated(data: bytes, max_size: int, number: int) -> bytes:
        chance = random.Random(number)
        if target.has_hash:
            # HDF5 can crash when it changes a file that is damaged already.
            return target.mutate(chance.choice(prepared.seeds), chance)[:max_size]
        if chance.random() < 0.1:
            return bytes(atheris.Mutate(data, max_size))
        for _ in range(chance.choice((1, 1, 2, 3))):
            data = target.mutate(data, chance)
        return data[:max_size]

    def run(data: bytes) -> None:
        check(name, target, prepared, data, scratch)

    folders = [BUILD / "corpus" / name, seeds, CORPUS / name, FOUND / name]
    options = [
        f"-max_total_time={seconds:.0f}",
        f"-seed={seed}",
        f"-artifact_prefix={BUILD / 'found' / name}/",
        f"-max_len={MAX_INPUT_BYTES}",
        *("-timeout=120", "-rss_limit_mb=4096", "-len_control=0", "-print_final_stats=1"),
    ]
    atheris.Setup(["fuzz", *(str(each) for each in folders if each.is_dir()), *options], run, custom_mutator=mutated)
    atheris.Fuzz()


def _fuzz(name: str, seconds: float, seed: int) -> bool:
    """Fuzz one target in a new process; whether no input failed."""
    corpus = BUILD / "corpus" / name
    for folder in (corpus, BUILD / "found" / name):
        folder.mkdir(parents=True, exist_ok=True)
    log = BUILD / f"{name}.log"
    os.environ[FOUND_VARIABLE] = str(BUILD / "found")
    start = time.monotonic()
    sys.stdout.flush()
    # Removed here, since libFuzzer ends the process.
    with tempfile.TemporaryDirectory(prefix="bsv-store-fuzzing-") as scratch:
        # Forked, since instrumenting the package takes a minute.
        process = os.fork()
        if process == 0:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            for stream in (1, 2):
                os.dup2(descriptor, stream)
            try:
                _run(name, seconds, seed, Path(scratch))
            # The process must not continue as its parent does.
            except BaseException:  # noqa: BLE001
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(1)
        _, status, used = os.wait4(process, 0)
    code = os.waitstatus_to_exitcode(status)
    text = log.read_text(errors="replace")
    inputs = [int(number) for number in re.findall(r"^#(\d+)", text, re.MULTILINE)]
    edges = [int(number) for number in re.findall(r"cov: (\d+)", text)]
    figures = {
        "target": name,
        "inputs": max(inputs, default=0),
        "edges": max(edges, default=0),
        "corpus": len(list(corpus.iterdir())),
        "seconds": round(time.monotonic() - start, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "code": code,
    }
    with (BUILD / "figures.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(figures)}\n")
    sys.stdout.write(f"{figures}\n")
    if code:
        problems = [line for line in text.splitlines() if "BrokenPromiseError" in line or "ERROR: libFuzzer" in line]
        sys.stdout.write("\n".join(problems[-3:] or text.splitlines()[-15:])[:3000] + "\n")
    sys.stdout.flush()
    return code == 0


def main() -> int:
    """Fuzz the chosen targets; 1 if an input failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.fuzzing", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="seconds for each target (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="seed of libFuzzer (default 1)")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"unknown targets: {', '.join(sorted(unknown))}; they are {', '.join(TARGETS)}")
    BUILD.mkdir(parents=True, exist_ok=True)
    passed = [
        _fuzz(name, arguments.seconds, arguments.seed) for name in TARGETS if name in (arguments.targets or TARGETS)
    ]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
