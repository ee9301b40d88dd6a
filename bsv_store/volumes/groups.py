"""Groups of the operating system, by name and number."""

from __future__ import annotations

import os
from pathlib import Path

from bsv_store.errors import InputError
from bsv_store.text import listed, near_names, shown


def has_groups() -> bool:
    """Whether files have groups on this system."""
    return hasattr(os, "chown")


def group_id(group: str) -> int:
    """The number of a group that is given by name or number.

    Raises
    ------
    InputError
        If there is no such group, or the system has no groups.
    """
    if not has_groups():
        raise InputError("this system has no groups", hint="Leave out the group.")
    import grp

    try:
        return grp.getgrgid(int(group)).gr_gid if group.isascii() and group.isdigit() else grp.getgrnam(group).gr_gid
    except (KeyError, OverflowError) as error:
        names = [each.gr_name for each in grp.getgrall()]
        near = near_names(group, names, limit=3)
        raise InputError(
            f"there is no group {shown(group)} on this computer",
            hint=f"Did you mean {listed(near)}?" if near else "`getent group` lists the groups.",
        ) from error


def group_name(number: int) -> str:
    """The name of a group, or its number if it has none here."""
    if not has_groups():
        return str(number)
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def owner_name(number: int) -> str:
    """The name of a user, or the number if it has none here."""
    if not has_groups():
        return str(number)
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def require_membership(group: str) -> int:
    """The number of a group whose files this user can create.

    Raises
    ------
    InputError
        If there is no such group, or the user is not a member.
    """
    number = group_id(group)
    if os.geteuid() != 0 and number != os.getegid() and number not in os.getgroups():
        raise InputError(
            f"you are not a member of the group {shown(group)}",
            hint="Ask the administrator of this computer to add you to it, and log in again. "
            f"Your groups: {', '.join(sorted(group_name(each) for each in {os.getegid(), *os.getgroups()}))}.",
        )
    return number


def set_group(path: Path, number: int) -> None:
    """Set the group of a file or folder. Symbolic links are not followed."""
    os.chown(path, -1, number, follow_symlinks=False)
