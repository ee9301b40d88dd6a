"""Revision 0005: in which state of the catalog a version was known to answer its recipe; triggers count the states."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO dataset_answer VALUES (1, 0, '0.1')",
    "UPDATE structure SET name = 'Caudoputamen' WHERE id = 672",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT change_count, release FROM dataset_answer WHERE version_id = 1": [(0, "0.1")],
    "SELECT count(*) > 0 FROM catalog_change": [(True,)],
}
NOT_RESTORED: tuple[str, ...] = ()
