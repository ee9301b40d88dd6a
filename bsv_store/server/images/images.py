"""The images of one application: what is in memory, and how planes and replies are made of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.concurrency import run_in_threadpool

from bsv_store.errors import InputError
from bsv_store.server.context import context_of, shared_by_application
from bsv_store.server.data.shared import shared_of
from bsv_store.server.images.anatomy import Structures, annotation_term, shown_annotation, structures_of
from bsv_store.server.images.blocks import (
    Block,
    SparseBlock,
    block_range,
    is_cached_whole,
    read_block,
    read_whole,
    slab_ranges,
    turned,
)
from bsv_store.server.images.memory import Memory
from bsv_store.server.images.ranges import value_range
from bsv_store.server.images.replies import Body, accepts_gzip, etag_of, is_known, not_modified, reply_of
from bsv_store.server.images.sources import SOURCE_NAMES, Shown, Term, shown_by
from bsv_store.text import listed
from bsv_store.volumes.grid import ARRAY_AXES

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from starlette.requests import Request
    from starlette.responses import Response

    from bsv_store.server.context import Context
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import PlaneRow
    from bsv_store.volumes.annotation import AnnotationFile

PLANE_NAMES = ("plane", "index", "at_um")

# For each process. At 25 um, the blocks of a volume take about 130 MB, those of an average up to 900 MB.
_BLOCKS_BYTES = 1 << 30
_REPLIES_BYTES = 192 << 20
_FACTS = 4000
# How long names are looked up again only after this time.
_LOOKED_UP_S = 5.0


class Images:
    """What is in memory for one application.

    Attributes
    ----------
    blocks : Memory
        Blocks of planes, by the identity of the values.
    replies : Memory
        Compressed bodies, by their ETag.
    facts : Memory
        Small values: what requests name, and ranges of values.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.blocks: Memory[Block] = Memory(_BLOCKS_BYTES, lambda block: block.nbytes)
        self.replies: Memory[Body] = Memory(_REPLIES_BYTES, lambda body: body.nbytes)
        self.facts: Memory[Any] = Memory(_FACTS, lambda _: 1)

    @property
    def store(self) -> Store:
        """The open store, which may be replaced while the server runs. Used in threads only."""
        return self._context.store

    async def looked_up(self, key: tuple[object, ...], look_up: Callable[[], Any]) -> Any:
        """A value of the catalog, looked up at most every few seconds."""
        return await self.facts.get((*key, int(time.monotonic() / _LOOKED_UP_S)), look_up)

    async def shown(self, query: Mapping[str, str]) -> Shown:
        """What the parameters of a request name; see `shown_by`."""
        given = {name: query[name] for name in SOURCE_NAMES if name in query}
        found = await self.looked_up(("shown", *given.items()), lambda: shown_by(self.store, given))
        assert isinstance(found, Shown)
        return found

    async def block(self, term: Term, orientation: PlaneRow, index: int) -> Block:
        """The block that contains a plane."""
        itemsize = term.dtype.itemsize
        if term.grid.is_large and is_cached_whole(term.grid, itemsize):
            is_coronal = ARRAY_AXES.index(orientation.across) == 0
            # A coronal plane does not need the whole volume, but is taken from it if it is there.
            whole = self.blocks.find((term.identity, "whole")) if is_coronal else await self.whole(term)
            if isinstance(whole, SparseBlock) and not is_coronal:
                return await self.blocks.get(
                    (term.identity, "whole", orientation.across), partial(turned, whole, term.grid, orientation)
                )
            if whole is not None:
                return whole
        where = block_range(term.grid, orientation, index, itemsize)
        return await self.blocks.get(
            (term.identity, *where), lambda: read_block(term.read, term.grid, orientation, where, itemsize)
        )

    async def whole(self, term: Term) -> Block:
        """A large volume that is cached as a whole."""
        return await self.blocks.get(
            (term.identity, "whole"), lambda: read_whole(term.read, term.grid, term.dtype.itemsize, term.read_stored)
        )

    async def plane(self, shown: Shown, orientation: PlaneRow, index: int) -> Callable[[], NDArray[Any]]:
        """A function that returns the values of a plane, shape (down, right), from memory."""
        first = await self.block(shown.term, orientation, index)
        second = None if shown.minus is None else await self.block(shown.minus, orientation, index)

        def values() -> NDArray[Any]:
            minus = None if second is None else second.plane(orientation, index)
            return shown.values(first.plane(orientation, index), minus)

        return values

    async def range(self, shown: Shown) -> dict[str, Any]:
        """Extremes and quantiles of the values."""
        key, size = ("range", shown.identity), shown.grid.size
        count = size
        found = self.facts.find(key)
        if found is None:
            slabs: Iterable[NDArray[Any]] = (
                shown.read_slab(*slab) for slab in slab_ranges(shown.grid, shown.dtype.itemsize)
            )
            if shown.minus is None and shown.grid.is_large and is_cached_whole(shown.grid, shown.dtype.itemsize):
                whole = await self.whole(shown.term)
                count = whole.values.size
                # The sparse values, and one 0 for all others.
                slabs = (
                    (whole.values, np.zeros(1, whole.values.dtype))
                    if isinstance(whole, SparseBlock)
                    else (whole.values,)
                )
            found = await self.facts.get(key, partial(value_range, slabs, size=size, count=count))
        assert isinstance(found, dict)
        return found

    async def structures(self) -> Structures:
        """The ontology."""
        found = await self.looked_up(("structures",), lambda: structures_of(self.store))
        assert isinstance(found, Structures)
        return found

    async def annotations(self) -> tuple[AnnotationFile, ...]:
        """The annotations in the store."""
        found = await self.looked_up(("annotations",), lambda: self.store.atlas.annotations())
        assert isinstance(found, tuple)
        return found

    async def annotation(self, spacing_um: int | None) -> tuple[Term, Structures]:
        """The annotation of a spacing, by default the one that figures draw, and the ontology."""
        structures = await self.structures()
        file = shown_annotation(await self.annotations(), spacing_um)
        return annotation_term(self.store, file, structures), structures

    async def reply(
        self,
        request: Request,
        parts: tuple[object, ...],
        make: Callable[[], Body],
        *,
        is_pinned: bool,
        is_long: bool = False,
    ) -> Response:
        """A reply that is determined by ``parts``, from memory if possible.

        Parameters
        ----------
        is_long : bool
            Whether making it can take seconds or much memory, so that only a few are made at a time.
        """
        etag = etag_of(*parts, compress=accepts_gzip(request))
        if is_known(request, etag):
            return not_modified(etag, is_pinned=is_pinned)
        run = shared_of(request).run_long if is_long else run_in_threadpool
        return reply_of(await self.replies.get(etag, make, run=run), etag, is_pinned=is_pinned)


def images_of(request: Request) -> Images:
    """The images of the application that serves a request."""
    return shared_by_application(request.app, "images", Images, lambda: Images(context_of(request)))


def checked_query(request: Request, *names: str, several: tuple[str, ...] = ()) -> Mapping[str, str]:
    """The parameters of a request.

    Raises
    ------
    InputError
        If one is unknown, or is given more than once.
    """
    query = request.query_params
    seen = set()
    for name, _ in query.multi_items():
        if name not in names and name not in several:
            raise InputError(
                f"{name[:40]!r} is not a parameter of this address",
                hint=f"Valid: {listed((*names, *several), limit=20) or 'none'}.",
            )
        if name in seen and name not in several:
            raise InputError(f"{name} is given more than once")
        seen.add(name)
    return query
