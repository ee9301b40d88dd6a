"""Revision 0017: the link between a database and the folder of its store."""

STATEMENTS: tuple[str, ...] = ()
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT count(*) FROM store_link WHERE moved_to IS NOT NULL": [(0,)],
}
NOT_RESTORED: tuple[str, ...] = ()
