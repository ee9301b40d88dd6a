"""The page of one experiment."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from bsv_store.advice import THIS_SERVER, for_readers_of
from bsv_store.catalog.selection.selection import Selection
from bsv_store.errors import InputError, MissingDataError
from bsv_store.reports.html_page.markup import Content, Markup, element, joined
from bsv_store.reports.html_page.pictures import bar, chip
from bsv_store.server.context import context_of
from bsv_store.server.data.collected_warnings import collected_warnings
from bsv_store.server.data.experiments import experiment_row
from bsv_store.server.pages.address import address, public_address
from bsv_store.server.pages.citing import atlas_citation
from bsv_store.server.pages.kept import kept_of
from bsv_store.server.pages.parts import code, facts, notes, sentence, table, tiles
from bsv_store.server.pages.shell import page
from bsv_store.text import INCLUDE_EXCLUDED, ids_option, size_text
from bsv_store.vocabulary import VOLUME_KINDS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from bsv_store.catalog.experiment_details import ExperimentDetails, VolumeFacts
    from bsv_store.server.pages.outlines import OutlineMap
    from bsv_store.store.store import Store

_TARGETS = 12
_INJECTED = 8
_FORMATS = (("nii.gz", "NIfTI"), ("nrrd", "NRRD"), ("npy", "NumPy"))
# Allen's page about an experiment.
_ALLEN = "https://connectivity.brain-map.org/projection/experiment/"
# Of symbols in the small map, in um.
_RADIUS_UM = 260


def _page(request: Request) -> Response:
    store = context_of(request).store
    identifier = int(request.path_params["experiment_id"])
    details = store.catalog.describe(identifier)
    row = experiment_row(store, identifier).iloc[0]
    known = {str(name): None if missing else row[name] for name, missing in row.isna().items()}
    # The kind that most people want first.
    volumes = sorted(details.volumes, key=lambda each: each.kind != "projection_density")
    colors = store.atlas.color_map()
    return page(
        request,
        f"Experiment {identifier}",
        element("p", element("a", "Experiments", href=address(request, "/experiments")), class_="eyebrow"),
        element("h1", f"Experiment {identifier}"),
        element("p", _lead(known), class_="lead"),
        notes(request, _remarks(known, details)),
        tiles(_tiles(known)),
        _actions(request, identifier, volumes),
        element(
            "div",
            element("section", element("h2", "Facts"), _facts(request, known, details, colors), class_="card"),
            element(
                "section", element("h2", "Injection site"), _map(request, known, _hex(colors, known)), class_="card"
            ),
            class_="columns",
        ),
        element("h2", "Strongest targets"),
        _targets(request, store, identifier, colors),
        element("h2", "Injected structures"),
        _injected(store, identifier, known, colors),
        element("h2", "Volumes"),
        _volumes(request, identifier, volumes),
        element("h2", "Use it"),
        _snippets(request, identifier, volumes, is_excluded=details.excluded_because is not None),
        element("h2", "Cite", id="cite"),
        atlas_citation([identifier]),
        current="/experiments",
    )


def _lead(known: Mapping[str, Any]) -> str:
    line = known["transgenic_line"]
    mouse = "a wild-type mouse" if line is None else f"a {line} mouse"
    side = "" if known["injected_hemisphere"] is None else f", {known['injected_hemisphere']} hemisphere"
    return f"Injection into {known['primary_structure_name']} ({known['primary_structure']}) of {mouse}{side}."


def _remarks(known: Mapping[str, Any], details: ExperimentDetails) -> list[str]:
    reason = details.excluded_because
    found = [] if reason is None else [f"On the exclusion list of this store: {reason}"]
    if known["withdrawn"]:
        found.append("Allen no longer lists this experiment.")
    return found


def _tiles(known: Mapping[str, Any]) -> list[tuple[str, Content, str | None]]:
    bilateral = {None: None, True: "bilateral", False: "unilateral"}[known["bilateral"]]
    return [
        ("Injection volume", _quantity(known["injection_volume"], "mm³"), None),
        ("Projection volume", _quantity(known["projection_volume"], "mm³"), "outside the injection"),
        ("Injected hemisphere", known["injected_hemisphere"] or "unknown", bilateral),
        ("Laterality index", _number(known["laterality_index"], "+.2f"), "1 = ipsilateral only"),
        ("Outside the primary structure", _share(known["injection_outside_primary"]), "of the injection"),
    ]


def _actions(request: Request, identifier: int, volumes: Sequence[VolumeFacts]) -> Markup:
    viewer = (
        element(
            "li",
            element(
                "a",
                "Open in the viewer",
                href=address(request, "/view", experiment=identifier),
                class_="button primary",
            ),
        )
        if volumes
        else None
    )
    similar = Selection(ids=[identifier]).to_json()
    return element(
        "ul",
        viewer,
        element("li", element("a", "Allen's page", href=f"{_ALLEN}{identifier}", rel="noreferrer", class_="button")),
        element(
            "li",
            element(
                "a", "Show in the table", href=address(request, "/experiments", selection=similar), class_="button"
            ),
        ),
        class_="actions",
    )


def _facts(
    request: Request,
    known: Mapping[str, Any],
    details: ExperimentDetails,
    colors: Mapping[int, tuple[int, int, int]],
) -> Markup:
    injected = Selection(injected_in=[known["primary_structure"]]).to_json()
    structure = element(
        "a",
        f"{known['primary_structure']} – {known['primary_structure_name']}",
        href=address(request, "/experiments", selection=injected),
        title="Experiments injected in this structure",
    )
    source = {"unionize": "by the injection volumes", "coordinate": "by the coordinate", None: None}
    side = known["injected_hemisphere"]
    return facts(
        [
            ("Primary structure", [chip(_hex(colors, known)), structure]),
            ("Other injected structures", _others(details) or None),
            ("Transgenic line", _lines(details)),
            ("Strain", known["strain"]),
            ("Sex", {"F": "female", "M": "male"}.get(known["sex"])),
            ("Specimen", known["specimen_name"]),
            ("Allen product", None if known["product_id"] is None else str(known["product_id"])),
            ("Injected hemisphere", None if side is None else f"{side}, {source[known['hemisphere_source']]}"),
            ("Injection, left", _quantity(known["injection_volume_left"], "mm³", missing="")),
            ("Injection, right", _quantity(known["injection_volume_right"], "mm³", missing="")),
            ("Injection coordinate", _coordinate(known)),
        ]
    )


def _others(details: ExperimentDetails) -> str:
    return ", ".join(each.structure for each in details.injection_structures if not each.is_primary)


def _lines(details: ExperimentDetails) -> Content:
    """Each line with its type, such as driver, and its description."""
    if not details.lines:
        return "wild-type"
    listed = []
    for line in details.lines:
        kind = None if line.type_name is None else element("span", f" ({line.type_name})", class_="soft")
        words = element("div", line.description, class_="soft small") if line.description else None
        listed.append(element("div", line.name, kind, words))
    return listed


def _coordinate(known: Mapping[str, Any]) -> str | None:
    values = [known[f"injection_{axis}"] for axis in ("ap", "dv", "ml")]
    if any(value is None for value in values):
        return None
    return "AP {:,}, DV {:,}, ML {:,} um".format(*values)


def _map(request: Request, known: Mapping[str, Any], color: str | None) -> Content:
    if _coordinate(known) is None:
        return element("p", "The injection coordinate is not known.", class_="soft")
    panels = (
        element("figure", each.markup(_dot(each, known, color)))
        for each in kept_of(request).outlines.get(context_of(request).store)
    )
    return element("div", panels, class_="panels", role="img", aria_label=f"Injection site: {_coordinate(known)}")


def _dot(view: OutlineMap, known: Mapping[str, Any], color: str | None) -> Markup:
    at = [float(known[f"injection_{axis.lower()}"]) for axis in (view.right, view.down)]
    return element(
        "circle", cx=f"{at[0]:.0f}", cy=f"{at[1]:.0f}", r=_RADIUS_UM, fill=f"#{color or '8a929e'}", class_="dot"
    )


def _targets(request: Request, store: Store, identifier: int, colors: Mapping[int, tuple[int, int, int]]) -> Content:
    selection = Selection(ids=[identifier], include_excluded=True)
    try:
        with collected_warnings() as warned:
            found = store.search.targets_of(selection, limit=_TARGETS)
    except MissingDataError:
        return _without_table(identifier)
    except InputError as error:
        return _refused(error)
    largest = float(found["mean"].max()) if len(found) else 0.0
    rows = [
        [
            [chip(_hex(colors, row, "structure_id")), row["structure"]],
            row["structure_name"],
            _number(row["mean"], ",.3g"),
            bar(row["mean"], largest),
            _number(row["ipsilateral_mean"], ",.3g"),
            _number(row["contralateral_mean"], ",.3g"),
        ]
        for row in found.to_dict("records")
    ]
    words = (
        "Projection volume per injection volume in the summary structures, outside the injection site and without the "
        "primary structure."
    )
    columns = [
        ("Structure", False),
        ("Name", False),
        ("Both", True),
        ("Share of the largest", False),
        ("Ipsilateral", True),
        ("Contralateral", True),
    ]
    return joined(
        element("p", words, class_="soft small"),
        notes(request, (each.message for each in warned)),
        table("Strongest targets", columns, rows),
    )


def _injected(
    store: Store, identifier: int, known: Mapping[str, Any], colors: Mapping[int, tuple[int, int, int]]
) -> Content:
    """The summary structures that the injection site overlaps, with their shares."""
    try:
        members = {row.id: row for row in store.atlas.structure_set()}
        rows = store.catalog.unionizes(
            Selection(ids=[identifier], include_excluded=True), is_injection=True, hemisphere="both"
        )
    except MissingDataError:
        return _without_table(identifier)
    except InputError as error:
        # Such as an ontology without the set of summary structures.
        return _refused(error)
    whole = known["injection_volume"]
    inside = rows[rows["structure_id"].isin(list(members))].sort_values("projection_volume", ascending=False)
    inside = inside[inside["projection_volume"] > 0]
    if inside.empty or not whole:
        return element("p", "No summary structure has a part of the injection.", class_="soft")
    listed = [
        [
            [chip(_hex(colors, row, "structure_id")), members[row["structure_id"]].acronym],
            members[row["structure_id"]].name,
            _percent(row["projection_volume"] / whole),
            bar(row["projection_volume"], whole),
            _number(row["projection_volume"], ",.3g"),
        ]
        for row in inside.head(_INJECTED).to_dict("records")
    ]
    more = len(inside) - len(listed)
    return joined(
        table(
            "Structures with a part of the injection",
            [("Structure", False), ("Name", False), ("Share", True), ("Share of the injection", False), ("mm³", True)],
            listed,
        ),
        element("p", f"and {more} more structures with smaller shares", class_="soft small") if more > 0 else None,
    )


def _volumes(request: Request, identifier: int, volumes: Sequence[VolumeFacts]) -> Content:
    if not volumes:
        return element(
            "div",
            element("p", "The store has no volume of this experiment."),
            element("p", "On the server: ", element("code", f"bsv-store fetch {ids_option([identifier])}")),
            class_="nothing",
        )
    rows: list[list[Content]] = []
    for each in volumes:
        view = address(request, "/view", experiment=identifier, kind=each.kind, spacing_um=each.spacing_um)
        file = partial(address, request, f"/v1/volumes/{identifier}/file", kind=each.kind, spacing_um=each.spacing_um)
        links: list[Content] = [element("a", "View", href=view)]
        links += [[" · ", element("a", words, href=file(format=ending))] for ending, words in _FORMATS]
        kind = VOLUME_KINDS[each.kind].words.capitalize()
        rows.append([kind, f"{each.spacing_um} um", size_text(each.size_bytes), links])
    return table("Volumes in the store", [("Kind", False), ("Voxels", True), ("Size", True), ("Open", False)], rows)


def _snippets(request: Request, identifier: int, volumes: Sequence[VolumeFacts], *, is_excluded: bool) -> Markup:
    url = public_address(request)
    # An experiment on the exclusion list that is named by id is an error without it.
    selection, names = (
        (f"Selection(ids=[{identifier}], include_excluded=True)", "Selection, open_store")
        if is_excluded
        else (f"[{identifier}]", "open_store")
    )
    python = (
        f"from bsv_store import {names}\n\nstore = open_store({url!r})\n"
        f"experiment = store.experiments({selection})\n"
        f"targets = store.search.targets_of({selection}, limit={_TARGETS})"
    )
    included = [INCLUDE_EXCLUDED] if is_excluded else []
    commands = [["targets", "--ids", str(identifier), *included, "--limit", str(_TARGETS)]]
    if volumes:
        kind, spacing = volumes[0].kind, volumes[0].spacing_um
        python += f"\nvolume = store.volume({identifier}, kind={kind!r}, spacing_um={spacing})"
        name = f"{identifier}.nii.gz"
        options = ["--kind", kind.replace("_", "-"), "--spacing", str(spacing)]
        commands.append(["volume", "export", str(identifier), name, *options])
    shell = "\n".join(shlex.join(["bsv-store", "--store", url, *each]) for each in commands)
    return joined(code("copy-python", python, heading="Python"), code("copy-command", shell, heading="Shell"))


def _without_table(identifier: int) -> Markup:
    command = element("code", f"bsv-store sync unionizes {ids_option([identifier])}")
    return element(
        "div",
        element("p", "The store does not have the unionize table of this experiment."),
        element("p", "On the server: ", command, class_="small"),
        class_="nothing",
    )


def _refused(error: InputError) -> Markup:
    lines = for_readers_of(error.hint, [THIS_SERVER]).splitlines() if error.hint else []
    hints = [element("p", line, class_="small") for line in lines]
    return element("div", element("p", sentence(error.message)), *hints, class_="nothing")


def _hex(
    colors: Mapping[int, tuple[int, int, int]], row: Mapping[str, Any], name: str = "primary_structure_id"
) -> str | None:
    color = colors.get(int(row[name]))
    return None if color is None else "{:02x}{:02x}{:02x}".format(*color)


def _number(value: float | None, form: str) -> str:
    return "unknown" if value is None or value != value else format(value, form)


def _quantity(value: float | None, unit: str, *, missing: str = "unknown") -> str:
    return missing if value is None else f"{value:,.3g} {unit}"


def _percent(share: float) -> str:
    return "< 0.1%" if share < 0.001 else f"{share:.1%}"


def _share(value: float | None) -> str:
    return "unknown" if value is None else _percent(value)


ROUTES = [Route("/experiments/{experiment_id:int}", _page)]
