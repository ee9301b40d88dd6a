"""Shell completion: which values options and arguments have in the store, and the scripts for bash, zsh and fish.

A key press must be answered at once, so all errors, slow databases included, give no suggestions and no message.
"""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from threading import Thread
from typing import Any, Literal, NoReturn

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from bsv_store.store.suggestions import NameKind, stored_names

Shell = Literal["bash", "zsh", "fish"]
SHELLS: tuple[Shell, ...] = ("bash", "zsh", "fish")

PROGRAM = "bsv-store"
_VARIABLE = "_BSV_STORE_COMPLETE"
# Time for the answer of the database, which may be on a server or a network file system that does not answer.
_PATIENCE_S = 1.0

_LINE_WORDS = (("wild-type", "mice without a transgenic line"), ("any-cre", "mice with a Cre line"))

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]


# -- values of options and arguments ----------------------------------------------------------------------------------


def _completer(kind: NameKind) -> Completer:
    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        return _matching(_names(context, kind), incomplete)

    return complete


def _names(context: click.Context, kind: NameKind) -> list[tuple[str, str | None]]:
    """The names in the store; none if they are not there in time."""
    folder = context.find_root().params.get("store_path")
    found: list[tuple[str, str | None]] = []
    # A daemon, so that the process can end without it.
    reader = Thread(target=lambda: found.extend(stored_names(folder, kind)), daemon=True)
    reader.start()
    reader.join(_PATIENCE_S)
    return [] if reader.is_alive() else found


def _matching(
    names: Sequence[tuple[str, str | None]], incomplete: str, *, before: str = ""
) -> list[CompletionItem[str]]:
    """The names that begin with a text; if there are none, those that do so in another case."""
    found = [each for each in names if each[0].startswith(incomplete)]
    if not found:
        folded = incomplete.casefold()
        found = [each for each in names if each[0].casefold().startswith(folded)]
    return [CompletionItem(before + name, help=words) for name, words in found]


complete_structures = _completer("structures")
complete_datasets = _completer("datasets")
complete_tags = _completer("tags")
complete_selections = _completer("selections")
complete_experiment = _completer("experiments")


def complete_lines(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Mouse lines, and the words for groups of them."""
    return _matching([*_LINE_WORDS, *_names(context, "lines")], incomplete)


def complete_experiments(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Experiment ids, after a comma as well; not the files of ``@FILE``."""
    if incomplete.startswith("@"):
        return []
    before, comma, last = incomplete.rpartition(",")
    return _matching(_names(context, "experiments"), last, before=before + comma)


def complete_versions(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """The names of datasets; after ``@``, or if only one dataset matches, also those of its versions."""
    datasets = [] if "@" in incomplete else _matching(_names(context, "datasets"), incomplete)
    if len(datasets) > 1:
        return datasets
    start = f"{datasets[0].value}@" if datasets else incomplete
    return [*datasets, *_matching(_names(context, "versions"), start)]


def complete_region(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The last acronym of ``[LABEL=]ACRONYM[+ACRONYM...]``."""
    start = max(incomplete.rfind("="), incomplete.rfind("+")) + 1
    return _matching(_names(context, "structures"), incomplete[start:], before=incomplete[:start])


def complete_commands(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The names of the commands below those that are given."""
    from bsv_store_cli.help import subcontext

    above = context.find_root()
    for name in context.params.get(str(parameter.name)) or ():
        try:
            above = subcontext(above, name)
        except click.UsageError:
            return []
    group = above.command
    if not isinstance(group, click.Group):
        return []
    return _matching([(name, None) for name in group.list_commands(above)], incomplete)


# -- scripts ----------------------------------------------------------------------------------------------------------

# Variables of our own: bash forgets its word breaks if COMP_WORDBREAKS is set for a command.
_LINE, _BREAKS = "_BSV_STORE_LINE", "_BSV_STORE_BREAKS"
_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' item
    COMPREPLY=()
    for item in $(_BSV_STORE_LINE="${COMP_LINE:0:$COMP_POINT}" _BSV_STORE_BREAKS="$COMP_WORDBREAKS" \\
            %(complete_var)s=bash_complete "$1" 2>/dev/null); do
        case "${item%%%%,*}" in
            plain) COMPREPLY+=("${item#*,}") ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_NEEDS_ESCAPE = re.compile(r"([^\w@%+=:,./~^-])")


_FISH = """\
function %(complete_func)s
    set -l words (commandline -cp)
    set -l word (commandline -ct)
    for item in (COMP_WORDS="$words" COMP_CWORD="$word" %(complete_var)s=fish_complete %(prog_name)s 2>/dev/null)
        set -l parts (string split -m 1 "," -- $item)
        switch $parts[1]
            case dir
                __fish_complete_directories $word
            case file
                __fish_complete_path $word
            case plain
                echo $parts[2]
        end
    end
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class _Bash(BashComplete):
    """Completion for bash, which takes ``NAME@TAG`` and ``LABEL=ACRONYM`` for several words."""

    source_template = _BASH

    def source(self) -> str:
        # Without the check of the version, which runs a shell and prints to standard error.
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ[_LINE]
        words = split_arg_string(line)
        if not line or (line[-1].isspace() and not line.endswith("\\ ")):
            words.append("")
        return words[1:-1], words[-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        if item.type != "plain":
            return f"{item.type},"
        typed = os.environ[_LINE].rpartition(" ")[2]
        if typed.startswith(("'", '"')):
            # Readline completes the text between the quotes.
            return f"plain,{item.value}"
        value = _NEEDS_ESCAPE.sub(r"\\\1", str(item.value))
        # Readline replaces only what comes after the last of these characters; @ is part of what it replaces.
        breaks = set(os.environ.get(_BREAKS, "")) & set("@=:")
        start = max((typed.rfind(each) + (each != "@") for each in breaks), default=0)
        start = max(start, 0)
        return f"plain,{value.removeprefix(typed[:start])}"


def _option_and_equals(word: str) -> str:
    """The part ``--option=`` of a word, which click drops and these shells replace."""
    name, equals, _ = word.partition("=")
    return name + equals if equals and name.startswith("-") else ""


class _Zsh(ZshComplete):
    """Completion for zsh, also of ``--option=VALUE``."""

    def format_completion(self, item: CompletionItem[str]) -> str:
        before = _option_and_equals(self.get_completion_args()[1])
        return super().format_completion(CompletionItem(before + item.value, type=item.type, help=item.help))


class _Fish(FishComplete):
    """Completion for fish, also of ``--option=VALUE`` and of values with commas."""

    source_template = _FISH

    def format_completion(self, item: CompletionItem[str]) -> str:
        before = _option_and_equals(self.get_completion_args()[1])
        return super().format_completion(CompletionItem(before + item.value, type=item.type, help=item.help))


_CLASSES: Mapping[Shell, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def script(shell: Shell, command: click.Command) -> str:
    """The completion script for a shell."""
    return _CLASSES[shell](command, {}, PROGRAM, _VARIABLE).source().strip() + "\n"


def complete_and_exit(command: click.Command) -> NoReturn:
    """Print the completions that the script of a shell asks for; nothing after an error."""
    for each in _CLASSES.values():
        add_completion_class(each)
    warnings.simplefilter("ignore")
    with redirect_stderr(io.StringIO()):
        try:
            command.main(prog_name=PROGRAM, standalone_mode=False)
        except Exception:  # noqa: BLE001 (an error in the middle of a line that is being typed is of no use)
            sys.exit(1)
    sys.exit(0)
