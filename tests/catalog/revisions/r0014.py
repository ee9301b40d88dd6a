"""Revision 0014: the last verification of each object."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO verification (object_key, depth, content_hash, outcome, verified_at) VALUES"
    " ('volume/projection_density/100/1', 'deep', '0123', 'intact', '2024-05-28 12:00:00.000000')",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT object_key, depth, outcome FROM verification": [("volume/projection_density/100/1", "deep", "intact")],
}
NOT_RESTORED: tuple[str, ...] = ()
