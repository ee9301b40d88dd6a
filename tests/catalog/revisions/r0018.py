"""Revision 0018: the laterality index and the share of the injection outside the primary structure."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO experiment VALUES (119, 'mouse-119', 5, 385, NULL, NULL, 'M', 0.119, 8000, 1500, 8500, 1.0,"
    " 'right', 'coordinate', NULL, NULL, NULL, 'csv', FALSE)",
    "INSERT INTO seal VALUES ('experiment', '119', '8fbb9400ebacc4740f8ebfbb50089d68')",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT experiment_id, injection_outside_primary, laterality_index FROM experiments"
    " WHERE experiment_id IN (101, 119) ORDER BY 1": [(101, 1.0, None), (119, None, None)],
}
NOT_RESTORED: tuple[str, ...] = ()
