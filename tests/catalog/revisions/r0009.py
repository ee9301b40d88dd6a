"""Revision 0009: the origin of annotations; injected hemispheres that are not known."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO annotation VALUES (2, 100, 'CCFv3-2017', 'volumes/annotation-100.h5', 700, 'a2', '0123456789abcdef',"
    " 'a3', 670, 100, 'derived', '2024-05-23 12:00:00.000000', 'allen', 25,"
    " '36ed7e196bc41a850071246ed1d182f6331157df3a51b1145144848874025ad3')",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT spacing_um, origin, derived_from_um FROM annotation WHERE id = 2": [(100, "allen", 25)],
    "SELECT id, injection_ml, injected_hemisphere FROM experiment WHERE id < 105 ORDER BY id": [
        (101, 8500, "right"),
        (102, 3000, "left"),
        (103, None, None),
        (104, 8500, None),
    ],
}
NOT_RESTORED = ("experiment.injection_ml", "experiment.injected_hemisphere", "experiment.hemisphere_source")
