"""Revision 0008: replaced unionize tables, remarks, and the source of divisors."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO unionize_revision VALUES (1, 101, 'injection', 2, 2, 5, 'old', 0.1, 'replaced by hand')",
    "UPDATE unionize_coverage SET remark = 'checked by hand' WHERE part = 'injection'",
    "UPDATE dataset_member SET divisor_source = 'list' WHERE experiment_id = 101",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT row_count, remark FROM unionize_revision WHERE id = 1": [(5, "replaced by hand")],
    "SELECT remark FROM unionize_coverage ORDER BY part": [("checked by hand",), (None,)],
    "SELECT structure FROM measured_structures ORDER BY 1": [("CP",), ("VISp",), ("root",)],
}
NOT_RESTORED: tuple[str, ...] = ()
