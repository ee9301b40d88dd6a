"""Selections in full sentences, as the methods text of a citation has them, and the words of each criterion."""

from __future__ import annotations

import pytest

from bsv_store import Selection
from bsv_store.catalog.selection.criteria import CRITERIA, companions, default_of
from bsv_store.catalog.selection.words import selection_words
from tests.catalog.test_short_words import WORDS

PHRASES = {
    "injected_in": "injected in MOp or VISp (the primary injection structure; descendants included)",
    "injection": "injected in VISp (primary and secondary injection structures; descendants included)",
    "line": "in wild-type mice or mice of any transgenic line",
    "product": "of the Allen product 5 or 35",
    "sex": "in female mice",
    "strain": "in mice of the strain C57BL/6J",
    "injected_hemisphere": "injected in the left hemisphere",
    "bilateral": "with less than 1 % of the injection in the other hemisphere",
    "min_injection_volume": "with an injection volume of at least 0.2 mm³",
    "max_injection_volume": "with an injection volume of at most 0.2 mm³",
    "min_injection_overlap": (
        "injected in VISp (the primary injection structure; descendants included; at least 0.9 of the "
        "injection volume inside)"
    ),
    "max_injection_outside_primary": "with at most 0.1 of the injection volume outside the primary structure",
    "box": "with the injection coordinate at AP 5,000 to 6,000 um and ML 0 to 5,700 um",
    "near": "with the injection coordinate within 500 um of AP 5,000, DV 2,000, ML 3,000 um",
    "radius_um": "with the injection coordinate within 250 um of AP 5,000, DV 2,000, ML 3,000 um",
    "projecting_to": (
        "with a projection volume of more than 0 mm³ outside the injection site in CP or LP (both hemispheres together)"
    ),
    "target_measure": (
        "with a projection density of more than 0 outside the injection site in CP (both hemispheres together)"
    ),
    "target_threshold": (
        "with a projection volume of more than 0.1 mm³ outside the injection site in CP (both hemispheres together)"
    ),
    "target_hemisphere": (
        "with a projection volume of more than 0 mm³ outside the injection site in CP (left hemisphere)"
    ),
    "min_laterality_index": "with a laterality index of the projection of at least 0.5",
    "max_laterality_index": "with a laterality index of the projection of at most 0.5",
    "with_volume": "with a volume of projection density at 100 um in the store",
    "with_volume_spacing_um": "with a volume of data mask at 25 um in the store",
    "with_unionizes": "without a complete table of signal by structure in the store",
    "ids": "chosen by id (3, 5)",
    "exclude_ids": "without 1 experiment excluded by id (3)",
    "include_withdrawn": "including those that Allen no longer lists",
    "include_excluded": "including those on the exclusion list of the store",
}

# Section of the help, option and placeholder if they do not follow from the name, and label in forms.
HELP = {
    "injected_in": ("injection", None, "ACRONYM", None),
    "injection": ("injection", None, None, "Injection structures"),
    "line": ("mouse", None, "NAME", "Transgenic line"),
    "product": ("mouse", None, "ID", "Allen product"),
    "sex": ("mouse", None, "SEX", None),
    "strain": ("mouse", None, "NAME", None),
    "injected_hemisphere": ("injection", None, None, None),
    "bilateral": ("injection", "--bilateral/--unilateral", None, None),
    "min_injection_volume": ("injection", None, "MM3", "Injection volume"),
    "max_injection_volume": ("injection", None, "MM3", None),
    "min_injection_overlap": ("injection", None, "SHARE", "Minimum inside these structures"),
    "max_injection_outside_primary": ("injection", None, "SHARE", "Maximum outside the primary structure"),
    "box": ("injection", None, "AP0,AP1,DV0,DV1,ML0,ML1", "Inside a box"),
    "near": ("injection", None, "AP,DV,ML", "Near a point"),
    "radius_um": ("injection", "--radius", "UM", "Radius"),
    "projecting_to": ("projection", None, "ACRONYM", None),
    "target_measure": ("projection", None, "MEASURE", None),
    "target_threshold": ("projection", None, "X", None),
    "target_hemisphere": ("projection", None, "SIDE", None),
    "min_laterality_index": ("projection", None, "X", "Laterality index"),
    "max_laterality_index": ("projection", None, "X", None),
    "with_volume": ("store", None, "KIND", "Has a volume of"),
    "with_volume_spacing_um": ("store", "--with-volume-spacing", "UM", "Voxels of"),
    "with_unionizes": ("store", "--with-unionizes/--without-unionizes", None, "Has the unionize table"),
    "ids": ("name", None, "1,2,3|@FILE", "Only these experiments"),
    "exclude_ids": ("name", None, "1,2,3|@FILE", "Not these experiments"),
    "include_withdrawn": ("name", None, None, "Include withdrawn experiments"),
    "include_excluded": ("name", None, None, "Include excluded experiments"),
}


@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_has_a_phrase(name: str) -> None:
    criteria, _ = WORDS[name]
    assert selection_words(Selection(**criteria)) == f"experiments {PHRASES[name]}"


def test_flags_that_do_not_hold_have_phrases_too() -> None:
    both = Selection(bilateral=True, with_unionizes=True)
    assert selection_words(both) == (
        "experiments with at least 1 % of the injection in the other hemisphere and with a complete table of signal by "
        "structure in the store"
    )


def test_the_help_of_every_criterion() -> None:
    assert {name: (each.section, each.option, each.metavar, each.label) for name, each in CRITERIA.items()} == HELP


def test_criteria_are_compared_with_these_columns() -> None:
    assert {name: (each.column, each.bound) for name, each in CRITERIA.items() if each.column is not None} == {
        "product": ("product_id", None),
        "sex": ("sex", None),
        "strain": ("strain", None),
        "injected_hemisphere": ("injected_hemisphere", None),
        "bilateral": ("bilateral", None),
        "min_injection_volume": ("injection_volume", "lowest"),
        "max_injection_volume": ("injection_volume", "highest"),
        "max_injection_outside_primary": ("injection_outside_primary", "highest"),
        "min_laterality_index": ("laterality_index", "lowest"),
        "max_laterality_index": ("laterality_index", "highest"),
    }


def test_criteria_that_unionize_rows_decide() -> None:
    assert {name: each.unionize_part for name, each in CRITERIA.items() if each.unionize_part is not None} == {
        "min_injection_overlap": "injection",
        "max_injection_outside_primary": "injection",
        "projecting_to": "projection",
        "min_laterality_index": "projection",
        "max_laterality_index": "projection",
    }


def test_criteria_that_belong_to_another() -> None:
    assert companions("near") == ("radius_um",)
    assert companions("injected_in") == ("injection", "min_injection_overlap")
    assert companions("projecting_to") == ("target_measure", "target_threshold", "target_hemisphere")
    assert companions("line") == ()
    assert (default_of("injection"), default_of("target_threshold"), default_of("ids")) == ("primary", 0.0, None)


def test_one_of_several_lines_is_enough() -> None:
    assert selection_words(Selection(line=["B", "A"])) == "experiments in mice of the line A or B"


def test_long_lists_of_ids_are_counted() -> None:
    assert selection_words(Selection(ids=range(1, 6))) == "experiments chosen by id (1, 2, 3, 4, 5)"
    assert selection_words(Selection(ids=range(1, 7))) == "experiments chosen by id (6 ids)"
    many = Selection(exclude_ids=range(1, 1201))
    assert selection_words(many) == "experiments without 1,200 experiments excluded by id (1,200 ids)"


def test_nested_combinations_are_put_in_parentheses() -> None:
    male, female, strain = Selection(sex="M"), Selection(sex="F"), Selection(strain="FVB")
    texts = {
        "male": "experiments in male mice",
        "female": "experiments in female mice",
        "strain": "experiments in mice of the strain FVB",
    }
    either = Selection(injected_in="VISp") | male
    assert selection_words(either - female - strain) == (
        "(the union of [experiments injected in VISp (the primary injection structure; descendants included)] and "
        "[{male}]), except {female} and {strain}"
    ).format(**texts)
    assert selection_words((male | strain) & (female | strain)) == (
        "the intersection of [(the union of [{female}] and [{strain}])] and [(the union of [{male}] and [{strain}])]"
    ).format(**texts)


def test_selections_are_put_into_words() -> None:
    one = Selection(
        injected_in=["VISp", "VISl"],
        line=["wild-type", "Rbp4-Cre_KL100"],
        sex="F",
        bilateral=False,
        min_injection_volume=0.1,
    )
    assert selection_words(one) == (
        "experiments injected in VISl or VISp (the primary injection structure; descendants included), in wild-type "
        "mice or mice of the line Rbp4-Cre_KL100, in female mice, with less than 1 % of the injection in the other "
        "hemisphere and with an injection volume of at least 0.1 mm³"
    )
    two = Selection(near=(8000, 1500, 8500), radius_um=500) - Selection(
        projecting_to="CP", target_measure="projection_density", target_threshold=0.01, target_hemisphere="ipsilateral"
    )
    assert selection_words(two) == (
        "experiments with the injection coordinate within 500 um of AP 8,000, DV 1,500, ML 8,500 um, except "
        "experiments with a projection density of more than 0.01 outside the injection site in CP (injected hemisphere)"
    )
    three = Selection(
        injected_in="VISp",
        min_injection_overlap=0.5,
        max_injection_outside_primary=0.2,
        min_laterality_index=0.1,
        with_volume="projection_density",
        with_unionizes=False,
    )
    assert selection_words(three) == (
        "experiments injected in VISp (the primary injection structure; descendants included; at least 0.5 of the "
        "injection volume inside), with at most 0.2 of the injection volume outside the primary structure, with a "
        "laterality index of the projection of at least 0.1, with a volume of projection density at 100 um in the "
        "store and without a complete table of signal by structure in the store"
    )
    assert selection_words(Selection()) == "all experiments that are neither withdrawn nor on the exclusion list"
    box = Selection(box=((1000, 2000), None, (5700, 11000)), ids=[5, 3])
    assert selection_words(box | Selection(sex="M")) == (
        "the union of [experiments with the injection coordinate at AP 1,000 to 2,000 um and ML 5,700 to 11,000 um and "
        "chosen by id (3, 5)] and [experiments in male mice]"
    )


def test_every_criterion_has_words_of_its_own() -> None:
    in_code = {"injected_in", "line", "box", "near", "projecting_to", "ids", "exclude_ids"}
    generic = {
        name
        for name, criterion in CRITERIA.items()
        if criterion.phrase is None and criterion.belongs_to is None and name not in in_code
    }
    assert not generic


def test_criteria_have_the_phrases_of_their_form() -> None:
    for name, criterion in CRITERIA.items():
        flags = {criterion.phrase_if_false, criterion.short_if_false}
        assert criterion.phrase is None or ("{}" in criterion.phrase) == (criterion.form != "flag"), name
        assert None not in flags if criterion.phrase_if_false else flags == {None}, name
        assert criterion.form == "flag" or flags == {None}, name
    assert [name for name, criterion in CRITERIA.items() if criterion.may_be_empty is not False] == ["exclude_ids"]
