"""Options of SSH connections of fsspec: a server must be in a file of known hosts, as ``ssh`` requires."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from bsv_store.errors import InputError

_FILES: Final = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
_PORT: Final = 22
_RSA: Final = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")
# The types of keys that a server can have, as they are negotiated.
_TYPES: Final = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", *_RSA, "ssh-dss")


def ssh_options(url: str) -> dict[str, Any]:
    """The options of the file system of an ``sftp://`` URL.

    Raises
    ------
    ImportError
        If paramiko is not installed.
    InputError
        If fsspec is too old to verify host keys.
    """
    from fsspec.implementations import sftp
    from fsspec.utils import infer_storage_options

    if not hasattr(sftp, "HOST_KEY_POLICIES"):
        raise InputError(
            "this version of fsspec does not verify the host key of an SFTP server",
            hint="Upgrade it: pip install --upgrade fsspec",
        )
    paramiko = sftp.paramiko
    known = paramiko.HostKeys()
    for name in _FILES:
        # Without a home folder, the name stays as it is.
        if (file := Path(os.path.expanduser(name))).exists():  # noqa: PTH111
            known.load(str(file))
    address = infer_storage_options(url)
    host, port = address.get("host", ""), int(address.get("port") or _PORT)
    return {
        "host_key_policy": _policy(paramiko, known),
        **_known_types_only(known.lookup(host if port == _PORT else f"[{host}]:{port}")),
    }


def _policy(paramiko: Any, known: Any) -> Any:
    class KnownHosts(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]  # it has no types
        def missing_host_key(self, _client: Any, hostname: str, key: Any) -> None:
            if not known.check(hostname, key):
                raise paramiko.SSHException(
                    f"the {key.get_name()} key of {hostname} is not in {_FILES[0]}; connect with ssh once to add it"
                )

    return KnownHosts


def _known_types_only(keys: Any) -> dict[str, Any]:
    """Options that exclude the types without a known key, because a server presents only one of its keys."""
    types = set() if keys is None else set(keys.keys())
    if "ssh-rsa" in types:
        types.update(_RSA)
    if types.isdisjoint(_TYPES):
        return {}
    return {"disabled_algorithms": {"keys": [each for each in _TYPES if each not in types]}}
