"""Addresses of the synthetic server and what stands behind them; bodies are kept while there is room."""

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
    """The right reply to a request: 200 with the data, or 404; a query that is not understood fails in its envelope."""
    for pattern, handler in _ROUTES:
        if match := pattern.fullmatch(request.path):
            return handler(atlas, request, *match.groups())
    return page(404, "There is nothing here")


def _query(atlas: SyntheticAtlas, request: Request) -> Reply:
    text = request.parameters.get("q") or request.parameters.get("criteria") or ""
    return Reply(200, rma.answer(atlas, text, request.parameters), JSON)


def _model_query(atlas: SyntheticAtlas, request: Request, model: str) -> Reply:
    criteria = request.parameters.get("criteria", "")
    text = f"model::{model}" + (f",rma::criteria,{criteria}" if criteria else "")
    return Reply(200, rma.answer(atlas, text, request.parameters), JSON)


def _graph(_: SyntheticAtlas, request: Request, graph_id: str) -> Reply:
    if int(graph_id) != ontology.GRAPH_ID:
        return Reply(200, wire.failure(f"there is no structure graph {graph_id}"), JSON)
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
    kinds = [row.name for row in VOLUME_KINDS.values() if row.name == image]
    if int(experiment_id) not in atlas or not kinds or resolution not in _SPACINGS:
        return page(404, f"There is no {image} of {experiment_id} at {resolution} um")
    return file_reply(wire_volumes.grid_nrrd(atlas, int(experiment_id), kinds[0], int(resolution)), BINARY)


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
    """Replies by request, the least recently used dropped when their bodies exceed ``limit_bytes``; each made once."""

    limit_bytes: int = CACHE_BYTES
    _kept: OrderedDict[object, Reply] = field(default_factory=OrderedDict)
    _making: dict[object, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, request: Request, make: Callable[[], Reply]) -> Reply:
        """The kept reply, or a new one, made while others who want the same wait."""
        key = (request.path, tuple(sorted(request.parameters.items())))
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
            reply = make()
            with self._lock:
                self._making.pop(key, None)
                if reply.status == 200:
                    self._keep(key, reply)
            return reply

    @property
    def size_bytes(self) -> int:
        """Bytes of all bodies kept."""
        with self._lock:
            return sum(len(reply.body) for reply in self._kept.values())

    def _keep(self, key: object, reply: Reply) -> None:
        self._kept[key] = reply
        held = sum(len(kept.body) for kept in self._kept.values())
        while held > self.limit_bytes:
            _, dropped = self._kept.popitem(last=False)
            held -= len(dropped.body)
