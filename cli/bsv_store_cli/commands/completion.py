"""``bsv-store completion``."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import click

from bsv_store_cli.help import Group, WordChoice
from bsv_store_cli.options.completion import PROGRAM, SHELLS, Shell, script
from bsv_store_cli.output.formats import emit, say
from bsv_store_cli.output.messages import note

_BEGIN = f"# >>> {PROGRAM} completion >>>"
_END = f"# <<< {PROGRAM} completion <<<"


@click.group(cls=Group)
def completion() -> None:
    """Complete commands, options and names in the store with the Tab key.

    Structures, transgenic lines, experiments, datasets, tags and saved selections are read from the store that the
    command line names, or from the default one.
    """


_SHELL = click.option(
    "--shell", type=WordChoice(SHELLS), help="Shell that the script is for.  [default: that of $SHELL]"
)


@completion.command()
@_SHELL
def show(shell: Shell | None) -> None:
    """Print the completion script of your shell."""
    emit(script(shell or _current_shell(), click.get_current_context().find_root().command).removesuffix("\n"))


@completion.command()
@_SHELL
@click.option("--dry-run", is_flag=True, help="Only print which files would be written.")
def install(shell: Shell | None, dry_run: bool) -> None:
    """Install completion for your shell, and print the files that were written.

    The script is written to the data folder of bash, the configuration folder of fish, or the data folder of bsv-store
    for zsh. For bash and zsh, lines that load it are added to .bashrc or .zshrc, between two comments. Run the command
    again after an upgrade of bsv-store.
    """
    chosen = shell or _current_shell()
    place = _place(chosen)
    files = {place.script: script(chosen, click.get_current_context().find_root().command)}
    if place.start_file is not None:
        before = _text(place.start_file)
        files[place.start_file] = _with_block(before, place.loading, place.start_file)
    changed = {path: text for path, text in files.items() if _text(path) != text}
    for path, text in changed.items():
        if not dry_run:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not a new file in its place: start files are often links to a repository.
            path.write_text(text, encoding="utf-8", errors="surrogateescape")
        say(str(path))
    if not changed:
        note(f"Completion for {chosen} is installed and current: {place.script}")
    elif dry_run:
        note("Nothing was written.")
    else:
        note(f"Installed completion for {chosen}. Open a new terminal to use it.")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the script of a shell goes, and the lines of a start file that load it."""

    script: Path
    start_file: Path | None = None
    loading: str = ""


def _place(shell: Shell) -> _Place:
    from bsv_store.config.home import home_folder

    home = home_folder()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    if shell == "bash":
        folder = os.environ.get("BASH_COMPLETION_USER_DIR")
        script = (Path(folder) if folder else data / "bash-completion") / "completions" / PROGRAM
        # Also without the package bash-completion, which would load the script on first use.
        return _Place(script, home / ".bashrc", f"[ -r {_quoted(script)} ] && . {_quoted(script)}")
    if shell == "zsh":
        script = data / PROGRAM / "completion.zsh"
        loading = (
            "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n"
            f"[ -r {_quoted(script)} ] && . {_quoted(script)}"
        )
        return _Place(script, Path(os.environ.get("ZDOTDIR") or home) / ".zshrc", loading)
    if shell == "fish":
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        return _Place(config / "fish" / "completions" / f"{PROGRAM}.fish")
    assert_never(shell)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _current_shell() -> Shell:
    name = Path(os.environ.get("SHELL", "")).name
    for shell in SHELLS:
        if name == shell:
            return shell
    found = f"$SHELL is {name}" if name else "$SHELL is not set"
    raise click.UsageError(f"{found}; specify one of the supported shells: --shell {'|'.join(SHELLS)}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""


def _with_block(text: str, loading: str, path: Path) -> str:
    """The text of a start file with our lines at its end, or in place of earlier ones."""
    block = f"{_BEGIN}\n{loading}\n{_END}\n"
    before, begin, rest = text.partition(f"{_BEGIN}\n")
    if not begin:
        return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{block}"
    _, end, after = rest.partition(f"{_END}\n")
    if not end:
        raise click.UsageError(f"{path} has the line {_BEGIN!r} but not {_END!r}; remove what is left of the block")
    return f"{before}{block}{after}"
