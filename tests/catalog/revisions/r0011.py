"""Revision 0011: imported dataset versions, also with the fingerprint of one that was computed here."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO dataset_version VALUES (2, 1, 2, '{\"grouping\": {\"by\": \"all\"}}', 'f1', 2, 'c2',"
    " 'datasets/imported.h5', 6001, 's2', 100, 1, 1, '2024-05-24 12:00:00.000000', 'carl', 'bsv-store 0.1',"
    " '2024-05-25 12:00:00.000000', 'anna', '2024-05-26 12:00:00.000000', 'ben')",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT number, standing, trusted_by FROM dataset_versions ORDER BY number": [
        (1, "computed", None),
        (2, "imported, trusted", "ben"),
    ],
}
NOT_RESTORED: tuple[str, ...] = ()
