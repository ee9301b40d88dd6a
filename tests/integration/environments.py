"""Clients that we did not write, each in an environment of its own: ``python -m tests.integration.environments``.

Their requirements contradict ours and each other's. Where an environment cannot be made (no network, no Python that the
client runs on), that is said, nothing is left behind, and what needs it is skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Environment:
    """A client, what it needs, and the folder in the checkout where its environment lies."""

    client: str
    folder: str
    requirements: tuple[str, ...]
    minor: int | None = None
    """Minor version of the Python 3 that it needs; None takes the one that runs this."""

    @property
    def root(self) -> Path:
        """The folder of the environment."""
        return _CHECKOUT / self.folder

    @property
    def python(self) -> Path:
        """Its interpreter, there or not."""
        return self.root / "bin" / "python"

    @property
    def packages(self) -> Path:
        """The folder of its packages."""
        (folder,) = (self.root / "lib").glob("python3.*")
        return folder / "site-packages"

    @property
    def is_there(self) -> bool:
        """Whether it was made whole, of just these requirements."""
        return self.python.exists() and self._stamp.is_file() and self._stamp.read_text() == self._contents

    def make(self) -> str | None:
        """Make it where it is not there; why that was not possible, or None."""
        if self.is_there:
            return None
        interpreter = self._interpreter()
        if interpreter is None:
            return f"{self.client} needs Python 3.{self.minor}, and there is no python3.{self.minor} here"
        shutil.rmtree(self.root, ignore_errors=True)
        pip: list[str | Path] = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        commands: list[list[str | Path]] = [[interpreter, "-m", "venv", self.root], [*pip, *self.requirements]]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                shutil.rmtree(self.root, ignore_errors=True)
                return (
                    f"{self.client} cannot be installed here: {(done.stderr.strip() or 'no reason').splitlines()[-1]}"
                )
        self._stamp.write_text(self._contents)
        return None

    @property
    def _stamp(self) -> Path:
        return self.root / ".installed"

    @property
    def _contents(self) -> str:
        return "\n".join(self.requirements)

    def _interpreter(self) -> str | None:
        if self.minor is None or sys.version_info[:2] == (3, self.minor):
            return sys.executable
        return shutil.which(f"python3.{self.minor}")


ALLENSDK = Environment("AllenSDK", ".venv-allensdk", ("allensdk==2.16.2", "numpy==1.23.5"), minor=11)
BRAIN_STREET_VIEW = Environment("Brain Street View", ".venv-peers", ("brain-street-view==0.1.1", "ipython"))

READERS = Environment(
    "The readers of docs/files.md",
    ".venv-readers",
    ("SimpleITK==2.5.7", "h5netcdf==1.8.2", "h5py==3.16.0", "netCDF4==1.7.4", "nibabel==5.4.2", "xarray==2026.2.0"),
)

STATISTICS = Environment("nilearn and statsmodels", ".venv-statistics", ("nilearn==0.14.1", "statsmodels==0.15.0"))

TARGETS = Environment(
    "The servers of backup targets",
    ".venv-targets",
    ("asyncssh==2.24.1", "moto[server,s3]==5.2.5", "paramiko==5.1.0", "s3fs==2026.9.0"),
)

HEATMAP = Environment(
    "brainglobe-heatmap",
    ".venv-heatmap",
    ("brainglobe-heatmap==0.6.0", "brainglobe-atlasapi[atlasgen]==3.0.2", "PyMCubes==0.1.6"),
)

SCHEMATHESIS = Environment("schemathesis", ".venv-schemathesis", ("schemathesis==4.32.5",))


def bsv_catalog() -> Path:
    """Where Brain Street View's loader looks for the list of experiments: beside the package; its wheel lacks it."""
    folder = BRAIN_STREET_VIEW.packages / "docs"
    folder.mkdir(exist_ok=True)
    return folder / "allenAtlasProjection_info.csv"


def main() -> None:
    for environment in (ALLENSDK, BRAIN_STREET_VIEW, READERS, STATISTICS, TARGETS, HEATMAP, SCHEMATHESIS):
        reason = environment.make()
        sys.stderr.write(f"{reason or f'{environment.client} is in {environment.folder}'}\n")


if __name__ == "__main__":
    main()
