"""The addresses of the synthetic server, and a cache of its replies."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bsv_store.vocabulary import VOLUME_KINDS
from bsv_store_synthetic import ontology, rma, wire, wire_volumes
from bsv_store_synthetic.atlas import SyntheticAtlas
from bsv_store_synthetic.replies import BINARY, JSON, Reply, Request, file_reply, page

CACHE_BYTES: Final = 256 * 1024**2

_QUERY = re.compile(r"/api/v2/data/query\.json")
_MODEL_QUERY = re.compile(r"/api/v2/data/([A-Za-z]+)/query\.json")
_GRAPH = re.compile(r"/api/v2/structure_graph_download/(\d+)\.json")
_GRID_ZIP = re.compile(r"/grid_data/download/(\d+)")
_GRID_FILE = re.compile(r"/grid_data/download_file/(\d+)")
_ANNOTATION = re.compile(r"/informatics-archive/current-release/mouse_ccf/annotation/ccf_2017/annotation_(\d+)\.nrrd")


def reply_to(atlas: SyntheticAtlas, request: Request) -> Reply:
    """The correct reply to a request: 200 with the data, or 404. Unsupported queries fail in their envelope."""
    for pattern, handler in _ROUTES:
        if match := pattern.fullmatch(request.path):
            return handler(atlas, request, *match.groups())
    return page(404, "Not found")


def _query(atlas: SyntheticAtlas, request: Request) -> Reply:
    text = request.parameters.get("q") or request.parameters.get("criteria") or ""
    return Reply(200, rma.answer(atlas, text, request.parameters), JSON)


def _model_query(atlas: SyntheticAtlas, request: Request, model: str) -> Reply:
    criteria = request.parameters.get("criteria", "")
    text = f"model::{model}" + (f",rma::criteria,{criteria}" if criteria else "")
    return Reply(200, rma.answer(atlas, text, request.parameters), JSON)


def _graph(_: SyntheticAtlas, request: Request, graph_id: str) -> Reply:
    if int(graph_id) != ontology.GRAPH_ID:
        return Reply(200, wire.failure(f"unknown structure graph {graph_id}"), JSON)
    return Reply(200, wire.envelope([wire.structure_tree()]), JSON)


def _grid_zip(atlas: SyntheticAtlas, request: Request, experiment_id: str) -> Reply:
    asked = request.parameters.get("include", "density,energy,intensity").split(",")
    members = tuple(member for member in wire_volumes.ZIP_MEMBERS if member in asked)
    if int(experiment_id) not in atlas or len(members) != len(asked):
        return page(404, f"There are no grids {','.join(asked)} of {experiment_id}")
    return file_reply(wire_volumes.grid_zip(atlas, int(experiment_id), members), "application/zip")


def _grid_file(atlas: SyntheticAtlas, request: Request, experiment_id: str) -> Reply:
    image = request.parameters.get("image", "projection_density")
    resolution = request.parameters.get("resolution", "100")
    kind = VOLUME_KINDS.get(image)
    if int(experiment_id) not in atlas or kind is None or resolution not in _SPACINGS:
        return page(404, f"There is no {image} of {experiment_id} at {resolution} um")
    return file_reply(wire_volumes.grid_nrrd(atlas, int(experiment_id), kind.name, int(resolution)), BINARY)


def _annotation(_: SyntheticAtlas, request: Request, resolution: str) -> Reply:
    if resolution not in _ANNOTATION_SPACINGS:
        return page(404, f"There is no annotation at {resolution} um")
    return file_reply(wire_volumes.annotation_nrrd(int(resolution)), BINARY)


_SPACINGS = {str(spacing) for spacing in wire_volumes.NRRD_SPACINGS_UM}
_ANNOTATION_SPACINGS = {str(spacing) for spacing in wire_volumes.ANNOTATION_SPACINGS_UM}
_ROUTES: tuple[tuple[re.Pattern[str], Callable[..., Reply]], ...] = (
    (_QUERY, _query),
    (_MODEL_QUERY, _model_query),
    (_GRAPH, _graph),
    (_GRID_ZIP, _grid_zip),
    (_GRID_FILE, _grid_file),
    (_ANNOTATION, _annotation),
)


@dataclass
class ReplyCache:
    """A cache of replies of limited size that drops the least recently used. Each reply is computed once at a time."""

    limit_bytes: int = CACHE_BYTES
    _cached: OrderedDict[object, Reply] = field(default_factory=OrderedDict)
    _making: dict[object, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, request: Request, make: Callable[[], Reply]) -> Reply:
        """The cached reply, or a new one; threads with the same request wait for it."""
        key = (request.path, tuple(sorted(request.parameters.items())))
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._cached:
                    self._cached.move_to_end(key)
                    return self._cached[key]
            reply = make()
            with self._lock:
                self._making.pop(key, None)
                if reply.status == 200:
                    self._add(key, reply)
            return reply

    @property
    def size_bytes(self) -> int:
        """Size of all cached bodies in bytes."""
        with self._lock:
            return sum(len(reply.body) for reply in self._cached.values())

    def _add(self, key: object, reply: Reply) -> None:
        self._cached[key] = reply
        size = sum(len(cached.body) for cached in self._cached.values())
        while size > self.limit_bytes:
            _, dropped = self._cached.popitem(last=False)
            size -= len(dropped.body)
