"""The argument that names a dataset version, the same for every command that takes one."""

from __future__ import annotations

import click

REF = click.argument("ref", metavar="NAME[@VERSION]")
