"""Revision 0004: the annotation."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO annotation VALUES (1, 25, 'CCFv3-2017', 'volumes/annotation-25.h5', 7000, 'a1', '8899aabbccddeeff',"
    " '36ed7e196bc41a850071246ed1d182f6331157df3a51b1145144848874025ad3', 672, 1000, 'http://download',"
    " '2024-05-21 12:00:00.000000')",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    # Recognized by its hash since revision 0009.
    "SELECT spacing_um, origin, derived_from_um FROM annotation WHERE id = 1": [(25, "allen", None)],
}
NOT_RESTORED: tuple[str, ...] = ()
