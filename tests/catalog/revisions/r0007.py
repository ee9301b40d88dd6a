"""Revision 0007: hashes of the blocks of volumes."""

STATEMENTS: tuple[str, ...] = ("INSERT INTO volume_block_hashes VALUES (1, X'00112233445566778899aabbccddeeff')",)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT hashes FROM volume_block_hashes WHERE volume_id = 1": [
        (bytes.fromhex("00112233445566778899aabbccddeeff"),)
    ],
}
NOT_RESTORED: tuple[str, ...] = ()
