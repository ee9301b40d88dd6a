"""Random changes of Allen's replies: a named error and nothing stored, or the right values; the next run works."""

from __future__ import annotations

import io
import json
import math
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bsv_store import create_store
from bsv_store.errors import BsvStoreError
from bsv_store_synthetic import SyntheticServer, wire
from bsv_store_synthetic.faults import (
    CutChunks,
    CutJson,
    Drip,
    Failure,
    Fault,
    Html,
    IgnoreRange,
    RedirectLoop,
    Status,
    Substitute,
    Truncate,
    WrongLength,
    WrongRange,
)
from tests.client_defaults import client_defaults
from tests.reliability.campaigns import campaign
from tests.reliability.stores import ATLAS, IDS, fill_lists

if TYPE_CHECKING:
    from bsv_store import Store

# Values that may confuse a parser.
_TYPICAL = b"0123456789\"'\n,{}[]:eE.-+ \x00\xff()/\\naNInf"
_VALUES: tuple[object, ...] = (
    *(None, True, "", "text", -1, 0, 1e308, 10**30, -(2**63) - 1, 0.5, [], {}, [[]], {"a": 1}),
    *(float("nan"), float("inf"), "1; DROP TABLE experiment", "\u202eevil", "x" * 10_000, "../../etc", "\x00"),
)


# -- changes of bodies ------------------------------------------------------------------------------------------------


def _bytes_changed(body: bytes, draw: random.Random) -> bytes:
    changed = bytearray(body)
    for _ in range(draw.randint(1, 3)):
        # The structure of binary files is in their heads and tails.
        at = draw.choice([draw.randrange(len(changed)), draw.randrange(min(300, len(changed)))])
        at = draw.choice([at, len(changed) - 1 - at])
        what = draw.randrange(6)
        if what == 0:
            changed[at] ^= 1 << draw.randrange(8)
        elif what == 1:
            changed[at] = draw.choice(_TYPICAL)
        elif what == 2:
            del changed[at : at + draw.randint(1, 8)]
        elif what == 3:
            changed[at:at] = bytes(draw.choices(_TYPICAL, k=draw.randint(1, 6)))
        elif what == 4:
            part = changed[at : at + draw.randint(1, 2000)]
            changed[at:at] = part
        else:
            changed[at : at + 512] = bytes(len(changed[at : at + 512]))
        changed = changed or bytearray(b"x")
    return bytes(changed)


def _rows_changed(body: bytes, draw: random.Random) -> bytes:
    """A reply with other rows, envelope or types."""
    reply = json.loads(body)
    rows: list[dict[str, Any]] = reply["msg"]
    at = draw.randrange(len(rows))
    key = draw.choice(sorted(rows[at]))
    what = draw.randrange(9)
    if what <= 2:
        rows[at][key] = draw.choice(_VALUES)
    elif what == 3:
        del rows[at][key]
    elif what == 4:
        rows.append(dict(rows[at]))
    elif what == 5:
        rows.pop(at)
    elif what == 6:
        draw.shuffle(rows)
        rows[at]["a field of the future"] = {"since": 2030}
    elif what == 7:
        reply[draw.choice(sorted(reply))] = draw.choice(_VALUES)
    else:
        rows[at] = draw.choice(_VALUES)  # type: ignore[call-overload]
    if draw.random() < 0.5 and isinstance(reply["msg"], list):
        reply["num_rows"] = reply["total_rows"] = len(reply["msg"])
    return json.dumps(reply).encode()


def _members_changed(body: bytes, draw: random.Random) -> bytes:
    """A zip with other members."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = draw.choice(sorted(members))
    what = draw.randrange(5)
    if what == 0:
        members[name] = members[name][: draw.randrange(len(members[name]))]
    elif what == 1:
        members[draw.choice(["../x", "/tmp/x", "a/b", "DENSITY.RAW", ".", "con", "x\\y"])] = members.pop(name)
    elif what == 2:
        members["extra"] = b"x"
    elif what == 3:
        del members[name]
    else:
        members["density.mhd"] = _bytes_changed(members["density.mhd"], draw)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, data in members.items():
            archive.writestr(each, data)
    return packed.getvalue()


def _transport(draw: random.Random) -> tuple[str, Fault]:
    """A fault of the server or the network."""
    size = draw.choice([0, 1, 100, 5000])
    faults: tuple[Fault, ...] = (
        *(Truncate(size), CutChunks(size), WrongLength(draw.choice([-1000, -1, 1, 1000])), Html(), Failure()),
        *(
            CutJson(draw.random()),
            RedirectLoop(),
            Drip(2000),
            IgnoreRange(),
            WrongRange(1),
            WrongRange(1, honest=False),
        ),
        *(Status(code) for code in (204, 400, 403, 404, 418, 500, 502)),
        *(Status(code, retry) for code in (429, 503) for retry in (0, 10**9, "soon", -1)),
    )
    fault = draw.choice(faults)
    return repr(fault), fault


# -- what is asked ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A way to ask Allen for something.

    Attributes
    ----------
    ask : callable
        Called with the store and the address.
    content : callable
        What the store has of it, as comparable values; None if nothing.
    forget : callable
        Removes it from the store.
    change : callable
        Changes of the body that its format suggests.
    is_checked : bool
        Its bytes have a checksum, so nothing but the right values is accepted.
    """

    ask: Callable[[Store, str], object]
    content: Callable[[Store], Any]
    forget: Callable[[Store], object] | None
    change: Callable[[bytes, random.Random], bytes]
    is_checked: bool


def _frame(query: str) -> Callable[[Store], Any]:
    return lambda store: store.sql(query).to_csv()


def _volume(store: Store, kind: Any) -> Any:
    try:
        return store.volume(IDS[0], kind=kind).tobytes()
    except BsvStoreError:
        return None


def _annotation(store: Store) -> Any:
    try:
        return store.atlas.annotation().tobytes()
    except BsvStoreError:
        return None


def _evict(store: Store) -> None:
    store.admin.enforce_quota(0, apply=True, unused_for=timedelta(0))


QUESTIONS: dict[str, Question] = {
    "structures": Question(
        lambda store, url: store.sync_structures(api_url=url),
        _frame("SELECT * FROM structure ORDER BY id"),
        None,
        _rows_changed,
        is_checked=False,
    ),
    "experiments": Question(
        lambda store, url: store.sync_experiments(api_url=url),
        # An experiment whose id was changed is withdrawn by the next list.
        _frame("SELECT * FROM experiments WHERE NOT withdrawn ORDER BY 1"),
        None,
        _rows_changed,
        is_checked=False,
    ),
    "unionizes": Question(
        lambda store, url: store.sync_unionizes(IDS[:1], refresh=True, api_url=url),
        _frame("SELECT * FROM unionize ORDER BY id"),
        None,
        _rows_changed,
        is_checked=False,
    ),
    "zip": Question(
        lambda store, url: store.fetch(IDS[:1], refresh=True, api_url=url),
        lambda store: _volume(store, "projection_density"),
        _evict,
        _members_changed,
        is_checked=True,
    ),
    "nrrd": Question(
        lambda store, url: store.fetch(IDS[:1], kind="injection_density", refresh=True, api_url=url),
        lambda store: _volume(store, "injection_density"),
        _evict,
        _bytes_changed,
        is_checked=True,
    ),
    "annotation": Question(
        lambda store, url: store.sync_annotation(refresh=True, download_url=url),
        _annotation,
        None,
        _bytes_changed,
        is_checked=True,
    ),
}


@pytest.fixture(scope="module")
def store(server: SyntheticServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that has asked everything once."""
    with create_store(tmp_path_factory.mktemp("replies") / "store") as made:
        fill_lists(made, server.url)
        for question in QUESTIONS.values():
            question.ask(made, server.url)
        yield made


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few attempts, and short timeouts."""
    for name, value in {"attempts": 2, "backoff_s": 0.0, "read_timeout_s": 2.0, "deadline_s": 3.0}.items():
        monkeypatch.setitem(client_defaults(), name, value)


def _files(store: Store) -> set[str]:
    return {str(path.relative_to(store.path.parent)) for path in store.path.parent.rglob("*") if path.is_file()}


def _is_valid(body: bytes) -> bool:
    """Whether a reply claims to be complete, and only some of its values differ."""
    try:
        reply = json.loads(body, parse_constant=_refuse)
    except ValueError:
        return False
    if not isinstance(reply, dict) or reply.get("success") is not True or not isinstance(reply.get("msg"), list):
        return False
    return reply.get("num_rows") == len(reply["msg"]) and all(isinstance(row, dict) for row in reply["msg"])


def _refuse(name: str) -> None:
    raise ValueError(name)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_changed_reply_is_refused_or_right(name: str, store: Store, server: SyntheticServer) -> None:
    question = QUESTIONS[name]
    question.ask(store, server.url)
    right = question.content(store)
    assert right is not None
    with campaign("bad-bodies", part=name, share=0.9 / len(QUESTIONS)) as trials:
        draw = random.Random(f"{trials.seed} {name}")
        refused = 0
        for number in range(trials.size):
            what = f"seed {trials.seed}, {name}, trial {number}"
            sent: list[bytes] = []
            how = draw.random()
            if how < 0.4:
                words, fault = _transport(draw)
            else:
                change = question.change if how < 0.7 else _bytes_changed
                words, fault = change.__name__, _changing(change, draw.randrange(2**32), sent)
            what = f"{what}: {words}"
            is_lasting = draw.random() < 0.8
            if question.forget is not None and draw.random() < 0.5:
                question.forget(store)
            before, files = question.content(store), _files(store)
            server.fail(lambda _request: True, fault, times=None if is_lasting else 1)
            try:
                question.ask(store, server.url)
            except BsvStoreError as error:
                refused += 1
                _check_error(error, server.url, what)
                assert question.content(store) == before, what
                assert _files(store) == files, (what, _files(store) ^ files)
            except Exception as error:
                raise AssertionError(f"{what}: {error!r}") from error
            else:
                found = question.content(store)
                # A complete reply with other values is what Allen says.
                is_said = not question.is_checked and sent and any(map(_is_valid, sent))
                assert found == right or is_said, what
            server.faults.clear()
            assert not list((store.path / "tmp").iterdir()), what
            assert not len(store.admin.claims()), what
            question.ask(store, server.url)
            assert question.content(store) == right, what
            trials.done()
        assert trials.size < 10 or refused >= trials.size // 4
        assert store.admin.verify(deep=True).is_intact


def _changing(change: Callable[[bytes, random.Random], bytes], seed: int, sent: list[bytes]) -> Substitute:
    """Changes every reply in the same way, and remembers what was sent."""

    def changed(body: bytes) -> bytes:
        sent.append(change(body, random.Random(seed)))
        return sent[-1]

    return Substitute(changed)


def _check_error(error: BsvStoreError, source: str, what: str) -> None:
    """The error names the requested object or address."""
    text = f"{error} {error.hint} {' '.join(map(str, getattr(error, 'reports', ())))}"
    assert source in text or str(IDS[0]) in text, (what, text)
    assert error.exit_code in (2, 6), (what, error.exit_code, text)


def test_a_changed_csv_list_is_refused_or_read(server: SyntheticServer, tmp_path: Path) -> None:
    """The list of Allen's web site, which people download and ingest."""
    path = tmp_path / "list.csv"
    body = wire.web_csv(ATLAS).encode()
    with create_store(tmp_path / "store") as own, campaign("bad-bodies", part="csv", share=0.1) as trials:
        own.sync_structures(api_url=server.url)
        draw = random.Random(f"{trials.seed} csv")
        for number in range(trials.size):
            what = f"seed {trials.seed}, csv, trial {number}"
            path.write_bytes(_bytes_changed(body, draw))
            before = own.experiments().to_csv()
            try:
                own.ingest_experiments(path, allow_shrinking=True)
            except BsvStoreError as error:
                _check_error(error, path.name, what)
                assert own.experiments().to_csv() == before, what
            else:
                rows = own.experiments()
                assert rows.index.is_unique, what
                volumes = rows["injection_volume"].dropna()
                assert all(math.isfinite(each) and each >= 0 for each in volumes), what
            trials.done()
        assert own.admin.verify(deep=True).is_intact
        path.write_bytes(body)
        own.ingest_experiments(path, allow_shrinking=True)
        assert np.isfinite(own.experiments()["injection_volume"].dropna()).all()
