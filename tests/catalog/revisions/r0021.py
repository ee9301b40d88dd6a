"""Revision 0021: the weights of members."""

STATEMENTS: tuple[str, ...] = ("UPDATE dataset_member SET weight = 0.1 WHERE experiment_id = 101",)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT experiment_id, weight FROM dataset_member WHERE weight IS NOT NULL ORDER BY 1": [(101, 0.1)],
}
NOT_RESTORED: tuple[str, ...] = ()
