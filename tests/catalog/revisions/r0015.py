"""Revision 0015: the use of volumes, and a count of the removed rows of ``catalog_change``."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO volume_use (volume_id, used_on) SELECT min(id), '2024-05-28' FROM volume",
    "DELETE FROM catalog_change WHERE id = (SELECT min(id) FROM catalog_change)",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT count(*) FROM volume_use": [(1,)],
    "SELECT changes FROM catalog_change_base": [(1,)],
}
NOT_RESTORED: tuple[str, ...] = ()
