"""Revision 0016: the history of the schema."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO schema_history (at, action, from_revision, to_revision, user_name, database_role, host, release)"
    " VALUES ('2024-05-28 12:00:00.000000', 'upgraded', '0015', '0016', 'anna', NULL, 'lab', '0.1')",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT action, from_revision, to_revision FROM schema_history WHERE user_name = 'anna'": [
        ("upgraded", "0015", "0016")
    ],
}
NOT_RESTORED: tuple[str, ...] = ()
