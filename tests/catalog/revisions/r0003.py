"""Revision 0003: checks of dataset versions; the axes of the groups that there were."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO dataset_check VALUES (1, 1, '2024-05-20 12:00:00.000000', 'anna', 'bsv-store 0.1', 'identical',"
    " 'intact', 0.0, 0, FALSE, NULL)",
    "UPDATE dataset_member SET data_mask_sha256 = 'dm' WHERE experiment_id = 101",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT axis, second_axis FROM dataset_group WHERE version_id = 1": [("AP", None)],
    "SELECT outcome, largest_difference FROM dataset_check WHERE id = 1": [("identical", 0.0)],
}
NOT_RESTORED: tuple[str, ...] = ()
