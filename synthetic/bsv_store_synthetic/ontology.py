"""The structure trees of synthetic atlases. The invented one has invented ids and realistic acronyms.

It has the difficulties of the real one: acronyms that are prefixes of others (VISp, VISpm; VIS, VISC, which is not part
of VIS; P), one with a comma, one with a slash, two that differ only by case, a node outside the gray matter, and colors
with leading zeros.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache

from bsv_store.catalog.records import ROOT_STRUCTURE_ID, Ontology, StructureRecord

GRAPH_ID = 1
FIRST_ID = 4_000_000_000
"""First id of a synthetic structure; only the root has the id that the formats define.

Far above any of Allen's (below 700 million), but below 2**32: an annotation volume stores ids as uint32.
"""

SUMMARY_SET = 167587189
PSU_SET = 184527634
DIVISION_SET = 687527670
STRUCTURE_SETS = {
    SUMMARY_SET: "Synthetic summary structures",
    PSU_SET: "Synthetic structures with unionize records",
    DIVISION_SET: "Synthetic major divisions",
}

# Indented by level. Columns: acronym | color | marks | name. "s": summary structure; "d": major division; "-": without
# voxels.
_TREE = """
root|FFFFFF||root
 grey|C0D8E4||Basic cell groups and regions
  CH|B2EEFA||Cerebrum
   CTX|AEFAB8||Cerebral cortex
    Isocortex|70FA74|d|Isocortex
     MO|209E58||Somatomotor areas
      MOp|20A05C|s|Primary motor area
      MOs|22A460|s|Secondary motor area
     SSp|18806A|s|Primary somatosensory area
     VISC|12AC84|s|Visceral area
     AUD|04968A||Auditory areas
      AUDp|02948E|s|Primary auditory area
     VIS|088A90||Visual areas
      VISal|0A8C92|s|Anterolateral visual area
      VISl|0A8E94|s|Lateral visual area
      VISp|00868E|s|Primary visual area
       VISp2/3|008890||Primary visual area, layer 2/3
       VISp5|008A8C||Primary visual area, layer 5
      VISpm|0C9096|s|Posteromedial visual area
     RSP|1AA698|s|Retrosplenial area
    OLF|9AD2BC|d|Olfactory areas
     MOB|9AD2C0|s|Main olfactory bulb
     PIR|6ACBB8|s|Piriform area
    HPF|7CD24C|d|Hippocampal formation
     CA1|7AD04A|s|Field CA1
     DG|7ED04C|s|Dentate gyrus
     ENT|32B824|s|Entorhinal area
    CTXsp|8ADA86|sd|Cortical subplate
   CNU|96D4F4|d|Cerebral nuclei
    CP|94CEF0|s|Caudoputamen
    ACB|80CAF6|s|Nucleus accumbens
    PAL|8498D0|s|Pallidum
  BS|FE7E82||Brain stem
   TH|FE7082|d|Thalamus
    CM|FE9EA4|s|Central medial nucleus of the thalamus
    LGd|FE8890|s|Dorsal part of the lateral geniculate complex
    LP|FE8E9C|s|Lateral posterior nucleus of the thalamus
    PO|FE90A0|s|Posterior complex of the thalamus
    VPM|FE7884|s|Ventral posteromedial nucleus of the thalamus
   HY|E4463A|sd|Hypothalamus
   MB|FE62FA|d|Midbrain
    IC|FE7CFC|s|Inferior colliculus
    MRN|FE90FC|s|Midbrain reticular nucleus
    PAG|FE8EFC|s|Periaqueductal gray
    SCs|FE78FC|s|Superior colliculus, sensory related
   P|FE9A72|sd|Pons
   MY|FE98CE|sd|Medulla
  CB|EEF080|d|Cerebellum
   AN|F0EE5E|s|Ansiform lobule
   LOB4, 5|FEFA90|s|Lobules IV, V
 fiber tracts|CACACA||fiber tracts
  arb|C6CACA||arbor vitae
  cc|CCCACC||corpus callosum
  cm|C8CACC||commissural bundle of the midbrain
 retina|7C3080|-|retina
"""


class Tree:
    """Look-ups in an ontology.

    Parameters
    ----------
    ontology : Ontology
    measured : collection of int, optional
        Ids of the structures that have unionize records; by default the root and the members of set 184527634.
    """

    def __init__(self, ontology: Ontology, *, measured: Collection[int] | None = None) -> None:
        self.ontology = ontology
        self.by_id: Mapping[int, StructureRecord] = {record.id: record for record in ontology.structures}
        self._by_acronym = {record.acronym: record for record in ontology.structures}
        self._paths: dict[int, tuple[int, ...]] = {}
        below: dict[int, set[int]] = {}
        for record in ontology.structures:
            above = () if record.parent_structure_id is None else self._paths[record.parent_structure_id]
            self._paths[record.id] = (*above, record.id)
            for each in self._paths[record.id]:
                below.setdefault(each, set()).add(record.id)
        self._descendants = {each: frozenset(members) for each, members in below.items()}
        # As in Allen's data, the root has unionize records without being a member of that set.
        members = (r.id for r in ontology.structures if r.id == ROOT_STRUCTURE_ID or PSU_SET in r.structure_set_ids)
        self.measured = frozenset(members if measured is None else measured)

    def __contains__(self, acronym: object) -> bool:
        return acronym in self._by_acronym

    def structure(self, name: int | str) -> StructureRecord:
        """The structure with this id or acronym (case-sensitive).

        Raises
        ------
        KeyError
            If there is none.
        """
        return self.by_id[name] if isinstance(name, int) else self._by_acronym[name]

    def path_of(self, structure_id: int) -> tuple[int, ...]:
        """The ids from the root to the structure, inclusive."""
        return self._paths[structure_id]

    def descendants(self, structure_id: int) -> frozenset[int]:
        """The ids of the structure and its descendants."""
        return self._descendants[structure_id]

    def leaves(self) -> tuple[StructureRecord, ...]:
        """The measured structures without children, in graph order."""
        parents = {record.parent_structure_id for record in self.ontology.structures}
        return tuple(r for r in self.ontology.structures if r.id not in parents and r.id in self.measured)

    def summary_structures(self) -> tuple[StructureRecord, ...]:
        """The structures of the summary set, in graph order; none is inside another."""
        return tuple(r for r in self.ontology.structures if SUMMARY_SET in r.structure_set_ids)


@lru_cache(maxsize=1)
def invented() -> Tree:
    """The invented ontology, in graph order, with upper-case colors and structure sets."""
    return Tree(_ontology())


def _ontology() -> Ontology:
    rows: list[tuple[int, str, str, str, str]] = []
    for line in _TREE.strip("\n").splitlines():
        text = line.lstrip(" ")
        acronym, color, marks, name = text.split("|")
        rows.append((len(line) - len(text), acronym, color, marks, name))
    records: list[StructureRecord] = []
    path: list[int] = []
    for order, (level, acronym, color, marks, name) in enumerate(rows):
        identifier = ROOT_STRUCTURE_ID if level == 0 else FIRST_ID + order
        # As in Allen's data, the root has unionize records without being a member of that set.
        sets = [
            number
            for number, member in (
                (SUMMARY_SET, "s" in marks),
                (PSU_SET, level > 0 and "-" not in marks),
                (DIVISION_SET, "d" in marks),
            )
            if member
        ]
        parent = path[level - 1] if level else None
        path[level:] = [identifier]
        records.append(StructureRecord(identifier, acronym, name, parent, order, color, tuple(sets)))
    return Ontology(tuple(records), dict(STRUCTURE_SETS))
