"""Revision 0001: the ontology, experiments, unionize rows, a volume and a dataset version."""

STORE_ID = "0f0e0d0c-0b0a-4908-8706-050403020100"

STATEMENTS: tuple[str, ...] = (
    f"INSERT INTO store_info VALUES (1, '{STORE_ID}', 1, '2024-05-17 12:00:00.000000', '0.1')",
    "INSERT INTO source_snapshot VALUES (1, 'structures', 'api', 'http://api', '2020-07-01',"
    " '2024-05-17 12:00:00.000000', 'aa', 4, 4, 0, 0)",
    "INSERT INTO source_snapshot VALUES (2, 'unionizes', 'api', 'http://api', NULL,"
    " '2024-05-17 13:00:00.000000', 'bb', 4, 4, 0, 0)",
    "INSERT INTO source_snapshot VALUES (3, 'experiments', 'api', 'http://api', '2020-07-01',"
    " '2024-05-17 12:30:00.000000', 'cc', 1, 1, 0, 0)",
    "INSERT INTO claim VALUES ('volume/data_mask/100/101', 'host 1', 1, '2024-05-17 12:00:00.000000',"
    " '2024-05-17 12:10:00.000000')",
    "INSERT INTO structure VALUES (997, 'root', 'root', NULL, 0, 0, '/997/', 'FFFFFF', FALSE)",
    "INSERT INTO structure VALUES (385, 'VISp', 'Primary visual area', 997, 1, 1, '/997/385/', '08858C', FALSE)",
    "INSERT INTO structure VALUES (672, 'CP', 'Caudoputamen', 997, 1, 2, '/997/672/', '98D6F9', FALSE)",
    "INSERT INTO structure VALUES (304325711, 'retina', 'retina', 997, 1, 3, '/997/304325711/', '7F2E7E', FALSE)",
    "INSERT INTO structure_ancestor VALUES (997, 997, 0), (385, 385, 0), (385, 997, 1), (672, 672, 0), (672, 997, 1),"
    " (304325711, 304325711, 0), (304325711, 997, 1)",
    "INSERT INTO structure_set VALUES (184527634, NULL)",
    "INSERT INTO structure_set_member VALUES (184527634, 385), (184527634, 672)",
    "INSERT INTO transgenic_line VALUES (1, 'Rbp4-Cre_KL100', 177838435, 'driver', NULL, '031125-UCD')",
    # Injected on the right, as the unionize rows of the root say.
    "INSERT INTO experiment VALUES (101, 'mouse-101', 5, 385, NULL, 'C57BL/6J', 'M', 0.101, 8000, 1500, 8500, 1.0,"
    " 'right', 'unionize', 0.0, 0.101, NULL, 'api', FALSE)",
    # The sex of revision 0010 is M.
    "INSERT INTO experiment VALUES (102, 'mouse-102', 5, 385, 'Rbp4-Cre_KL100', NULL, 'male', 0.102, 8100, 1500, 3000,"
    " 1.0, 'left', 'coordinate', NULL, NULL, NULL, 'csv', FALSE)",
    # Since revision 0009, a coordinate of 0 is unknown, and so are the hemispheres of this and the next.
    "INSERT INTO experiment VALUES (103, 'mouse-103', 5, 672, NULL, NULL, 'F', 0.103, 8200, 1500, 0, 1.0,"
    " 'left', 'coordinate', NULL, NULL, NULL, 'csv', TRUE)",
    "INSERT INTO experiment VALUES (104, 'mouse-104', 31, 304325711, NULL, NULL, NULL, 0.104, 8300, 1500, 8500, 1.0,"
    " 'right', 'coordinate', NULL, NULL, NULL, 'api', FALSE)",
    "INSERT INTO experiment_line VALUES (102, 1)",
    "INSERT INTO experiment_injection_structure VALUES (101, 385), (102, 385), (103, 672), (104, 304325711)",
    "INSERT INTO experiment_revision VALUES (1, 101, 'api', 'dd', '{}')",
    "INSERT INTO snapshot_member VALUES (3, 1)",
    "INSERT INTO unionize VALUES (101, 997, 2, TRUE, 11, 5.0, 4.0, 3.0, 2.0, 0.5, 0.25, 0.125, 0.2, 0.101, 1.0, 0.75,"
    " 8000, 1500, 8500)",
    "INSERT INTO unionize VALUES (101, 997, 3, TRUE, 12, 5.0, 4.0, 3.0, 2.0, 0.5, 0.25, 0.125, 0.2, 0.101, 1.0, 0.75,"
    " 8000, 1500, 8500)",
    "INSERT INTO unionize VALUES (101, 672, 1, FALSE, 13, 5.0, 4.0, 3.0, 2.0, 0.5, 0.25, 0.125, 0.2, 0.3, 2.97, 0.75,"
    " 8000, 1500, 3000)",
    "INSERT INTO unionize_coverage (experiment_id, part, snapshot_id, row_count, content_sha256) VALUES (101,"
    " 'injection', 2, 2, '49006dfba78543f0ba0ae0d9d2c7701d1ca49d9280145c80d53d171dc68a72f3')",
    "INSERT INTO unionize_coverage (experiment_id, part, snapshot_id, row_count, content_sha256) VALUES (101,"
    " 'projection', 2, 1, 'f38ce977718782e292a522962fb126038e050e277bfd25c186474c1931612a1a')",
    "INSERT INTO volume VALUES (1, 101, 'projection_density', 100, 132, 80, 114, 'volumes/one.h5', 5000, 'ee',"
    " '0011223344556677', 'ff', 'sparse', 10, 512, 1024, 3, 'http://api', '2024-05-17 14:00:00.000000')",
    "INSERT INTO dataset VALUES (1, 'visual', '2024-05-17 15:00:00.000000', 'anna', 1)",
    'INSERT INTO dataset_version VALUES (1, 1, 1, \'{"grouping": {"axis": "AP", "by": "coordinate"}}\', \'f1\', 2,'
    " 'c1', 'datasets/visual.h5', 6000, 's1', 100, 1, 1, '2024-05-17 15:00:00.000000', 'anna', 'bsv-store 0.1')",
    "INSERT INTO dataset_group (version_id, number, label, lower, upper, center, member_count) VALUES"
    " (1, 0, 'AP', 7000, 9000, 8000, 1)",
    "INSERT INTO dataset_member (version_id, experiment_id, group_number, left_out_reason, array_sha256, divisor,"
    " injected_hemisphere) VALUES (1, 101, 0, NULL, 'ff', 0.101, 'right')",
    "INSERT INTO dataset_tag VALUES (1, 'figure-1', 1, '2024-05-17 16:00:00.000000', 'anna')",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT acronym FROM structure ORDER BY id": [("VISp",), ("CP",), ("root",), ("retina",)],
    "SELECT path, value_count FROM volume": [("volumes/one.h5", 10)],
    "SELECT name, number, standing FROM dataset_versions WHERE number = 1": [("visual", 1, "computed")],
    "SELECT experiment_id, primary_structure FROM experiments WHERE experiment_id < 105 ORDER BY 1": [
        (101, "VISp"),
        (102, "VISp"),
        (103, "CP"),
        (104, "retina"),
    ],
}
NOT_RESTORED: tuple[str, ...] = ()
