"""The pages for people, over HTTP."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urljoin, urlsplit

import numpy as np
import pytest
import requests
from click.testing import CliRunner

from bsv_store import Selection, Store, create_store, open_store
from bsv_store.catalog.selection.commands import selection_arguments
from bsv_store.catalog.selection.criteria import CRITERIA
from bsv_store.server.data.examples import ALSO, NEEDS
from bsv_store.server.data.openapi import DESCRIBED
from bsv_store.server.data.shared import Shared
from bsv_store.server.long_work import LongWork
from bsv_store.server.metrics import ServerMetrics
from bsv_store.server.options import ServerOptions
from bsv_store.server.pages.experiments import _answer
from bsv_store.server.pages.outlines import outline_path
from bsv_store.server.private import PrivatePaths
from bsv_store.text import ids_option
from bsv_store_cli.main import cli
from tests.server.pages_store import EXCLUDED, HARMFUL, pages_store
from tests.server.serving import serving

TIMEOUT_S = 30
PAGES = (
    "/",
    "/experiments",
    "/experiments/101",
    f"/experiments/{EXCLUDED}",
    "/experiments/205",
    "/structures",
    "/datasets",
    "/datasets/sides@1",
    "/datasets/structures@1",
    "/view",
    "/cite",
    "/licenses",
)
# Elements that have no end tag.
VOID = {"br", "img", "input", "link", "meta", "source"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with pages_store(tmp_path_factory.mktemp("pages") / "store") as opened:
        yield opened


@pytest.fixture(scope="module")
def url(store: Store) -> Iterator[str]:
    with serving(store) as address:
        yield address


class Document(HTMLParser):
    """The elements of a page with their attributes, and whether they are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def addresses(self) -> list[str]:
        found = (attributes.get("href") or attributes.get("src") for _, attributes in self.elements)
        return [each for each in found if each]


def get(address: str, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(address, headers=named, timeout=TIMEOUT_S)


def answer(url: str, selection: Selection) -> requests.Response:
    return get(f"{url}/experiments.json?selection={quote(selection.to_json())}")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_inline_scripts_or_styles_and_is_well_formed(url: str, path: str) -> None:
    reply = get(url + path)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = reply.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    document = Document(reply.text)
    assert document.open == []
    assert document.of("style") == []
    assert all(each.get("src") for each in document.of("script"))
    for tag, attributes in document.elements:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
    ids = [attributes["id"] for _, attributes in document.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [each for _, attributes in document.elements for each in (attributes.get("for"),) if each]
    named += [each for _, attributes in document.elements for each in (attributes.get("aria-controls"),) if each]
    named += [each for _, attributes in document.elements for each in (attributes.get("data-copy"),) if each]
    assert set(named) <= set(ids)
    assert len(document.of("h1")) == len(document.of("main")) == len(document.of("title")) == 1


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_nothing_from_other_hosts_and_its_assets_exist(url: str, path: str) -> None:
    document = Document(get(url + path).text)
    loaded = [each["src"] for tag in ("script", "img") for each in document.of(tag)]
    loaded += [each["href"] for each in document.of("link")]
    for each in loaded:
        assert each is not None
        if each.startswith("/datasets/"):
            # A figure, which depends on the store; see the test of comparisons.
            continue
        assert each.startswith("/assets/")
        reply = get(url + each)
        assert reply.status_code == 200
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert get(url + each, if_none_match=reply.headers["etag"]).status_code == 304
    for link in document.of("a"):
        if (link["href"] or "").startswith("http"):
            assert link["rel"] == "noreferrer"


def test_links_between_pages_lead_to_pages(url: str) -> None:
    links = {address for path in PAGES for address in Document(get(url + path).text).addresses()}
    # The viewer and the description of the API are not among these pages.
    inside = {each for each in links if each.startswith("/") and not each.startswith(("/assets/", "/view", "/docs"))}
    # The report takes seconds.
    inside -= {"/datasets/sides@1/report"}
    assert len(inside) > 20
    for each in inside:
        assert requests.head(url + each, timeout=TIMEOUT_S).status_code in (200, 307), each


@pytest.mark.parametrize("content", ["all", "nothing"])
def test_every_link_of_the_page_about_the_api_works(url: str, tmp_path: Path, content: str) -> None:
    with ExitStack() as stack:
        if content == "nothing":
            create_store(tmp_path / "store").close()
            store = stack.enter_context(open_store(tmp_path / "store", read_only=True))
            url = stack.enter_context(serving(store))
        text = get(f"{url}/docs").text
        links = {each for each in Document(text).addresses() if each.startswith("/") and "/assets/" not in each}
        for each in links:
            assert get(url + each).status_code == 200, each
    described = [each for each in DESCRIBED if each.method == "GET" and each.media_types[0] == "application/json"]
    # The others name what the store does not have; one reads very many volumes.
    assert text.count("Example: <a ") == {"all": len(described) - 1, "nothing": 19}[content]
    assert ("Example: <code>/v1/volumes/100141219</code>" in text) is (content == "nothing")


def test_the_examples_of_the_api_are_of_its_operations() -> None:
    assert {*NEEDS, *ALSO} <= {each.name for each in DESCRIBED}


def test_names_are_text_and_not_markup(url: str) -> None:
    for path in ("/experiments/101", f"/experiments/{EXCLUDED}", "/datasets/sides@1"):
        text = get(url + path).text
        assert HARMFUL not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text, path


def test_under_a_prefix_every_address_has_the_prefix(store: Store) -> None:
    with serving(store, ServerOptions(root_path="/bsv", shutdown_s=2)) as url:
        for path in PAGES:
            document = Document(get(f"{url}/bsv{path}").text)
            assert document.of("html")[0]["data-base"] == "/bsv"
            for each in document.addresses():
                assert each.startswith(("/bsv/", "#", "https://")), each
            for script in document.of("script"):
                assert get(urljoin(url, script["src"])).status_code == 200
        assert f"open_store('{url}/bsv')" in get(f"{url}/bsv/").text.replace("&#x27;", "'")


def test_an_asset_with_another_hash_is_not_found(url: str) -> None:
    name = next(each for each in Document(get(url + "/").text).addresses() if each.endswith("/style.css"))
    version = name.split("/")[2]
    assert get(url + name).status_code == 200
    assert get(url + name.replace(version, "0" * len(version))).status_code == 404
    assert get(f"{url}/assets/{version}/..%2F..%2Fshell.py").status_code == 404
    assert get(f"{url}/assets/{version}/nothing.css").status_code == 404


def test_assets_are_compressed_for_those_who_accept_it(url: str) -> None:
    name = next(each for each in Document(get(url + "/").text).addresses() if each.endswith("/style.css"))
    plain = get(url + name, accept_encoding="identity")
    packed = get(url + name, accept_encoding="gzip")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 2


def test_a_page_is_revalidated(url: str) -> None:
    reply = get(f"{url}/experiments")
    assert reply.headers["cache-control"] == "no-cache"
    assert get(f"{url}/experiments", if_none_match=reply.headers["etag"]).status_code == 304


# -- the search --------------------------------------------------------------------------------------------------------


def test_the_form_has_a_field_for_every_criterion(url: str) -> None:
    document = Document(get(f"{url}/experiments").text)
    fields = [attributes["data-criterion"] for _, attributes in document.elements if "data-criterion" in attributes]
    assert sorted(map(str, fields)) == sorted(CRITERIA)
    assert "--" not in "".join(str(attributes.get("aria-label", "")) for _, attributes in document.elements)


def test_the_experiments_of_a_selection(store: Store, url: str) -> None:
    selection = Selection(injected_in="VISp", line="wild-type")
    found = answer(url, selection).json()
    frame = store.experiments(selection)
    assert found["count"] == len(frame) > 1
    assert found["rows"]["experiment_id"] == frame["experiment_id"].tolist()
    assert set(found["rows"]) == set(frame.columns)
    assert found["json"] == selection.to_json()
    assert found["words"].startswith("experiments injected in VISp")
    # An unknown value is null.
    assert None in answer(url, Selection(include_withdrawn=True)).json()["rows"]["injection_outside_primary"]


def test_without_a_selection_all_experiments_are_listed(store: Store, url: str) -> None:
    found = get(f"{url}/experiments.json").json()
    assert found["count"] == len(store.experiments())
    assert found["excluded"] == {str(EXCLUDED): HARMFUL}
    assert found["address"] == f"{url}/experiments"


def test_an_answer_is_the_same_while_the_catalog_changes(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = PrivatePaths(store.path)
    of_server = Shared(ServerMetrics(), LongWork(), None, paths.in_cell, workers=1)

    def answered(selection: Selection) -> dict[str, Any]:
        return _answer(store, of_server, selection, url, paths, store.catalog.change_marker())

    questions = [Selection(), Selection(injected_in="VISp"), Selection(projecting_to="CP", include_withdrawn=True)]
    expected = [answered(each) for each in questions]
    # What it says if something was committed between the selection and the table.
    monkeypatch.setattr(Shared, "selected", lambda *_arguments, **_options: None)
    for selection, usual in zip(questions, expected, strict=True):
        found = answered(selection)
        assert found.keys() == usual.keys()
        for name in found.keys() - {"warnings"}:
            assert found[name] == usual[name], name
        assert len(found["warnings"]) == len(usual["warnings"])


def test_the_address_and_the_python_text_stand_for_the_selection(url: str) -> None:
    selection = Selection(injected_in="VISp", min_injection_volume=0.05) - Selection(ids=[103])
    found = answer(url, selection).json()
    assert Selection.from_json(parse_qs(urlsplit(found["address"]).query)["selection"][0]) == selection
    line = next(each for each in found["python"].splitlines() if each.startswith("selection = "))
    assert eval(line.removeprefix("selection = "), {"Selection": Selection}) == selection


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(
            injected_in=["VISp", 672], injection="any", line=["wild-type", "Ai75(RCL-nt)"], product=[5, 35], sex="F",
            strain="C57BL/6J", injected_hemisphere="left", bilateral=False, min_injection_volume=0.05,
            max_injection_volume=1, min_injection_overlap=0.5, max_injection_outside_primary=0.25,
            near=(8000, 1500, 8500.5), radius_um=500, projecting_to="TH", target_measure="projection_density",
            target_threshold=0.01, target_hemisphere="ipsilateral", min_laterality_index=-0.5, max_laterality_index=0.5,
            with_volume="projection_density", with_volume_spacing_um=25, with_unionizes=True, exclude_ids=[5, 7],
            include_withdrawn=True, include_excluded=True,
        ),
        Selection(box=((0, 9000), (100, 2000.5), (5700, 11000)), ids=[101, 103], bilateral=True, with_unionizes=False),
        Selection(box=(None, (100, 2000), None)),
        Selection(injected_in="VISp") - Selection(line="it's a $line"),
    ],
)  # fmt: skip
def test_the_command_selects_the_same(selection: Selection) -> None:
    command = shlex.join(["select", *selection_arguments(selection), "--show-selection"])
    shown = CliRunner().invoke(cli, shlex.split(command), prog_name="bsv-store")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.strip() == selection.to_json()


def test_warnings_of_the_library_are_in_the_answer(url: str) -> None:
    found = answer(url, Selection(projecting_to="CP")).json()
    assert [each["code"] for each in found["warnings"]] == ["MissingUnionizesWarning"]
    assert "unionize tables are not in the store" in found["warnings"][0]["message"]
    assert "bsv-store sync unionizes" in found["warnings"][0]["hint"]
    # Kept answers have them too.
    assert answer(url, Selection(projecting_to="CP")).json() == found


@pytest.mark.parametrize(
    ("selection", "status", "words"),
    [
        ('{"injected_in":["visp"],"version":1}', 404, "the ontology has no structure 'visp'"),
        ('{"colour":1,"version":1}', 400, "a selection has no criterion 'colour'"),
        ("{", 400, "is not JSON"),
        ('{"injection":"any","version":1}', 400, "injection has no meaning without injected_in"),
    ],
)
def test_a_selection_that_is_not_valid_is_a_problem_with_a_hint(
    url: str, selection: str, status: int, words: str
) -> None:
    reply = get(f"{url}/experiments.json?selection={quote(selection)}")
    assert reply.status_code == status
    assert words in reply.json()["detail"]
    assert reply.json()["hint"]


def test_an_outline_follows_the_edge_of_a_mask() -> None:
    mask = np.zeros((8, 10), bool)
    mask[2:6, 3:9] = True
    path = outline_path(mask, 100)
    assert path.count("M") == path.count("z") == 1
    points = np.array([list(map(int, each.split(","))) for each in path.strip("Mz").split()])
    assert points.min(axis=0) == pytest.approx([300, 200], abs=30)
    assert points.max(axis=0) == pytest.approx([900, 600], abs=30)
    assert outline_path(np.zeros((4, 4), bool), 100) == ""
    # A hole has a line of its own.
    mask[3:5, 5:7] = False
    assert outline_path(mask, 100).count("M") == 2


def test_the_tree_of_structures_counts_the_experiments_in_each(store: Store, url: str) -> None:
    text = get(f"{url}/structures").text
    for acronym in ("root", "VISp", "TH"):
        selection = Selection(injected_in=acronym)
        link = f'<a href="/experiments?selection={quote(selection.to_json(), safe="")}"'
        count = text.partition(link)[2].partition(">")[2].partition("<")[0]
        assert count == str(len(store.select(selection)))
    assert text.count("<b>") == len(store.atlas.structure_tree("root"))


# -- experiments and versions ------------------------------------------------------------------------------------------


def test_the_page_of_an_experiment(store: Store, url: str) -> None:
    text = get(f"{url}/experiments/101").text
    targets = store.search.targets_of([101], limit=3)
    for structure in targets["structure"]:
        assert structure in text
    assert "https://connectivity.brain-map.org/projection/experiment/101" in text
    assert "/view?experiment=101" in text
    assert "/view?experiment=101&amp;kind=projection_density&amp;spacing_um=100" in text
    assert "/v1/volumes/101/file?kind=projection_density&amp;spacing_um=100&amp;format=nii.gz" in text
    assert "10.1038/nature13186" in text


def test_an_experiment_without_data_says_how_to_get_them(url: str) -> None:
    text = get(f"{url}/experiments/205").text
    assert f"bsv-store sync unionizes {ids_option([205])}" in text
    assert f"bsv-store fetch {ids_option([205])}" in text
    assert "/view?experiment" not in text


def test_the_code_for_an_excluded_experiment_includes_it(url: str) -> None:
    text = unescape(get(f"{url}/experiments/{EXCLUDED}").text)
    selection = f"Selection(ids=[{EXCLUDED}], include_excluded=True)"
    assert "from bsv_store import Selection, open_store" in text
    assert f"experiment = store.experiments({selection})" in text
    assert f"targets = store.search.targets_of({selection}, " in text
    assert f" targets --ids {EXCLUDED} --include-excluded --limit " in text
    assert " targets --ids 101 --limit " in unescape(get(f"{url}/experiments/101").text)


@pytest.mark.parametrize("path", ["/experiments/9999", "/datasets/nothing@1", "/datasets/sides@7", "/nowhere"])
def test_what_does_not_exist_is_a_page_for_browsers_and_a_problem_for_programs(url: str, path: str) -> None:
    page = get(url + path, accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.status_code == 404
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>Not found</h1>" in page.text
    problem = get(url + path, accept="*/*")
    assert problem.status_code == 404
    assert problem.headers["content-type"] == "application/problem+json"


def test_a_name_or_tag_leads_to_the_version(url: str) -> None:
    for reference in ("sides", "sides@paper", "sides@latest"):
        reply = requests.get(f"{url}/datasets/{reference}", timeout=TIMEOUT_S, allow_redirects=False)
        assert (reply.status_code, reply.headers["location"]) == (307, "/datasets/sides@1")


def test_the_page_of_a_version(store: Store, url: str) -> None:
    version = store.dataset("sides@1")
    text = get(f"{url}/datasets/sides@1").text
    assert version.fingerprint in text
    assert all(group.label in text for group in version.groups)
    assert '<a href="/experiments/101">101</a>' in text
    assert "@article{oh2014mesoscale" in text
    assert "TY  - " in text
    assert "paper" in text


def test_a_comparison_by_structure_has_its_table_and_no_volumes(store: Store, url: str) -> None:
    text = get(f"{url}/datasets/structures@1").text
    assert "Compared structures" in text
    assert "Unionize tables that were compared" in text
    assert "version.comparison_table()" in text
    assert "Open in the viewer" not in text
    assert ".nii.gz" not in text
    assert "by structure" in get(f"{url}/datasets").text
    assert "structures@1 is a comparison" in get(f"{url}/view?version=structures@1", accept="text/html").text
    assert "0 um" not in get(f"{url}/datasets").text.replace("100 um", "")
    assert "structures@1" not in get(f"{url}/view").text
    assert "has no voxels" in get(f"{url}/view?version=structures@1").text
    found = get(f"{url}/v1/versions/structures@1").json()
    assert found["grid"] is None
    assert found["recipe"]["comparison"]["by"] == "structure"
    rows = get(f"{url}/v1/versions/structures@1/file?format=csv").text.splitlines()
    assert len(rows) == len(store.dataset("structures").comparison_table()) + 1
    for path in (
        "/v1/versions/structures@1/regions",
        "/v1/images/info?version=structures@1",
        "/v1/images/slice?version=structures@1&plane=coronal&index=3",
        "/v1/images/precomputed/version/structures@1/mean/0/info",
    ):
        reply = get(url + path)
        assert (reply.status_code, "has no voxels" in reply.text) == (400, True), path


def test_a_stored_comparison_has_a_table_as_json_and_a_figure_in_both_themes(store: Store, url: str) -> None:
    table = get(f"{url}/v1/versions/structures@1/comparison").json()
    expected = store.dataset("structures").comparison_table()
    names = [column["name"] for column in table["columns"]]
    assert (names, table["total"], len(table["rows"])) == (list(expected.columns), len(expected), len(expected))
    for row, wanted in zip(table["rows"], expected.itertuples(index=False), strict=True):
        values = dict(zip(names, row, strict=True))
        assert (values["structure"], values["difference"]) == (wanted.structure, wanted.difference)
    csv = get(f"{url}/v1/versions/structures@1/comparison?format=csv").text.splitlines()
    assert len(csv) == len(expected) + 1
    reply = get(f"{url}/v1/versions/sides@1/comparison")
    assert (reply.status_code, "not a comparison by structure" in reply.text) == (400, True)
    document = Document(get(f"{url}/datasets/structures@1").text)
    (image,) = [each for each in document.of("img") if "comparison.png" in str(each.get("src"))]
    assert "structures@1" in str(image["alt"])
    (source,) = document.of("source")
    drawn = {get(url + str(each)).content for each in (image["src"], source["srcset"])}
    assert {each[:8] for each in drawn} == {b"\x89PNG\r\n\x1a\n"}
    assert len(drawn) == 2
    reply = get(f"{url}/datasets/sides@1/comparison.png")
    assert (reply.status_code, "is not a comparison" in reply.text) == (400, True)
    assert get(f"{url}/datasets/structures@1/comparison.png?theme=pink").status_code == 400
    assert "comparison.png" not in get(f"{url}/datasets/sides@1").text


def test_the_report_is_written_for_the_request(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.reports.page", lambda store, version, path: path.write_text(version.ref))
    reply = get(f"{url}/datasets/sides@paper/report")
    assert reply.text == "sides@1"
    assert (
        reply.headers["content-disposition"] == "attachment; filename=\"sides@1.html\"; filename*=UTF-8''sides%401.html"
    )


def test_an_empty_store_says_how_to_fill_it(tmp_path: Path) -> None:
    create_store(tmp_path / "store").close()
    with open_store(tmp_path / "store", read_only=True) as empty, serving(empty) as url:
        assert "bsv-store sync structures" in get(f"{url}/").text
        assert "bsv-store sync structures" in get(f"{url}/structures").text
        assert "bsv-store aggregate" in get(f"{url}/datasets").text
        assert "no volumes of experiments yet" in get(f"{url}/view").text
        assert get(f"{url}/experiments").status_code == 200
        assert get(f"{url}/experiments.json").json()["count"] == 0


def test_the_overview_counts_what_the_store_has(store: Store, url: str) -> None:
    status = store.status().catalog
    text = get(f"{url}/").text
    assert f"<dd>{status.experiments - status.withdrawn_experiments}<" in text
    assert "sides@1" in text
    assert json.dumps(url).strip('"') in text


def test_the_overview_of_a_server_with_tokens_names_the_token(tmp_path: Path) -> None:
    options = ServerOptions(require_token=True, rate=0, shutdown_s=2)
    with create_store(tmp_path / "store") as store:
        secret = store.admin.add_token("anna").secret
        with serving(store, options) as address:
            text = unescape(get(f"{address}/", Authorization=f"Bearer {secret}").text)
    assert f"store = open_store('{address}', token='TOKEN')" in text
    assert "export BSV_STORE_TOKEN=TOKEN\nbsv-store" in text
    assert secret not in text


def test_the_viewer_starts_with_what_it_can_show(store: Store, url: str) -> None:
    text = unescape(get(f"{url}/view").text)
    assert 'href="/view?version=sides%401"' in text
    found = store.select(Selection(with_volume="projection_density"))
    assert f"All {len(found)} experiments with projection density at 100 um" in text
    [shown, *_] = [each for each in Document(text).addresses() if each.startswith("/view?experiment=")]
    query = parse_qs(urlsplit(shown).query)
    assert int(query["experiment"][0]) in found
    assert (query["kind"], query["spacing_um"]) == (["projection_density"], ["100"])
    assert "/view?experiment=101" in text
    assert get(url + shown).status_code == 200


def test_the_viewer_says_what_neuroglancer_needs(store: Store, url: str) -> None:
    origin = "https://neuroglancer-demo.appspot.com"
    needed = f"--allow-origin {origin}"
    assert needed in get(f"{url}/view?version=sides@1").text
    with serving(store, ServerOptions(allow_origin=(origin,), shutdown_s=2)) as permitted:
        text = get(f"{permitted}/view?version=sides@1").text
    assert "Open in Neuroglancer" in text
    assert needed not in text
