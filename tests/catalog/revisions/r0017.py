"""Revision 0017: the link between a database and the folder of its store."""

STATEMENTS: tuple[str, ...] = ("INSERT INTO store_link (id, folder, moved_to) VALUES (1, NULL, NULL)",)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT id, moved_to FROM store_link": [(1, None)],
}
NOT_RESTORED: tuple[str, ...] = ()
