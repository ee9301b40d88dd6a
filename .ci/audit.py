"""Look up known vulnerabilities of the packages of an environment: ``audit.py PYTHON [--ignore ID ...]``.

pip-audit reports success if it could not look up a package, for example without a network connection. This script does
not. Exit codes: 0, every package was looked up and none has a known vulnerability; 1, a package has one; 2, a package
could not be looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

# They cannot be looked up before their first release.
_OWN = ("bsv-store", "bsv-store-fast")


def judged(report: dict[str, Any], ignored: frozenset[str] = frozenset()) -> tuple[int, list[str]]:
    """The exit code and the lines to print for a report of pip-audit in JSON."""
    lines: list[str] = []
    skipped: list[str] = []
    count = found = 0
    for each in report["dependencies"]:
        if each["name"] in _OWN:
            continue
        count += 1
        if "skip_reason" in each:
            skipped.append(each["name"])
        for one in each.get("vulns", []):
            if ignored.isdisjoint({one["id"], *one.get("aliases", [])}):
                found += 1
                fixed = ", ".join(one["fix_versions"]) or "none yet"
                lines.append(f"{each['name']} {each['version']}: {one['id']}; fixed in {fixed}")
    if not count:
        return 2, ["no packages were found: is the environment empty?"]
    if skipped:
        lines.append(
            f"{len(skipped)} of {count} packages could not be looked up ({', '.join(skipped[:5])}"
            f"{', ...' if len(skipped) > 5 else ''}): is there a network connection?"
        )
        return 2, lines
    if found:
        return 1, [*lines, f"{found} known vulnerabilities in {count} packages"]
    return 0, [f"no known vulnerabilities in {count} packages"]


def main(arguments: list[str]) -> int:
    """Run pip-audit, installed in this environment, on the environment of another interpreter."""
    if not arguments or (arguments[1:] and arguments[1] != "--ignore"):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    place = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = subprocess.run([arguments[0], "-c", place], check=True, capture_output=True, text=True).stdout.strip()
    command = [sys.executable, "-m", "pip_audit", "--path", folder, "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([*command, "--timeout", "30"], check=False, capture_output=True, text=True)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        sys.stderr.write(f"pip-audit could not look up the packages: {last[0]}\nIt needs a network connection.\n")
        return 2
    code, lines = judged(report, frozenset(arguments[2:]))
    (sys.stderr if code else sys.stdout).write("".join(f"{line}\n" for line in lines))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
