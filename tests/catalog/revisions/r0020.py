"""Revision 0020: the average template."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO template VALUES (1, 25, 'CCFv3-2017', 'volumes/template/25um/template.h5', 7000, 't1',"
    " '8899aabbccddeeff', 't2', 'uint16', 'http://download', '2024-06-02 12:00:00.000000')",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT spacing_um, dtype, array_sha256, source FROM template WHERE id = 1": [
        (25, "uint16", "t2", "http://download")
    ],
}
NOT_RESTORED: tuple[str, ...] = ()
