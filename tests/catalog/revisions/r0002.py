"""Revision 0002: saved selections and the exclusion list."""

STATEMENTS: tuple[str, ...] = (
    # The names of criteria that revision 0006 renames.
    "INSERT INTO named_selection VALUES (1, 'visual', 1,"
    ' \'{"hemisphere":"left","measure":"projection_volume","radius":500}\', \'for figure 1\', \'anna\','
    " '2024-05-18 12:00:00.000000')",
    "INSERT INTO exclusion VALUES (1, 102, 'bad section', 'anna', '2024-05-18 12:00:00.000000', NULL, NULL)",
    "INSERT INTO exclusion VALUES (2, 103, 'bad', 'anna', '2024-05-18 12:00:00.000000', 'ben',"
    " '2024-05-19 12:00:00.000000')",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT selection FROM named_selection WHERE id = 1": [
        ('{"injected_hemisphere":"left","radius_um":500,"target_measure":"projection_volume"}',)
    ],
    "SELECT experiment_id, lifted_by FROM exclusion WHERE id < 3 ORDER BY id": [(102, None), (103, "ben")],
}
NOT_RESTORED: tuple[str, ...] = ()
