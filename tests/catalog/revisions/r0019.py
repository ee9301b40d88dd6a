"""Revision 0019: tokens of clients of a server."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO access_token (id, name, sha256, scopes, created_at, created_by, expires_at, revoked_at) VALUES"
    " (1, 'laptop-anna', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 'read,sql',"
    " '2024-06-01 12:00:00.000000', 'anna', '2034-06-01 12:00:00.000000', NULL)",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT id, name, scopes, created_by, revoked_at FROM access_token": [(1, "laptop-anna", "read,sql", "anna", None)],
}
NOT_RESTORED: tuple[str, ...] = ()
