"""Revision 0013: the record of who changed the store."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO activity (at, action, subject, details, user_name, database_role, host, release) VALUES"
    " ('2024-05-27 12:00:00.000000', 'tagged', 'visual@1', '{\"tag\": \"figure-1\"}', 'anna', NULL, 'lab', '0.1')",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT action, subject, user_name FROM activity WHERE user_name = 'anna'": [("tagged", "visual@1", "anna")],
}
NOT_RESTORED: tuple[str, ...] = ()
