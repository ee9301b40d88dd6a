"""Revision 0010: the sex of experiments is M, F or null."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO experiment VALUES (105, 'mouse-105', 5, 385, NULL, NULL, 'F', 0.105, 8100, 1500, 3000, 1.0,"
    " 'left', 'coordinate', NULL, NULL, NULL, 'api', FALSE)",
    "INSERT INTO experiment_injection_structure VALUES (105, 385)",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT id, sex FROM experiment WHERE id < 105 ORDER BY id": [(101, "M"), (102, "M"), (103, "F"), (104, None)],
    "SELECT sex FROM experiment WHERE id = 105": [("F",)],
}
NOT_RESTORED = ("experiment.sex",)
