"""Revision 0006: other names of the criteria of saved selections."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO named_selection VALUES (2, 'visual', 2,"
    " '{\"injected_hemisphere\":\"right\",\"radius_um\":400}', NULL, 'ben', '2024-05-22 12:00:00.000000')",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT selection FROM named_selection WHERE id = 2": [('{"injected_hemisphere":"right","radius_um":400}',)],
}
NOT_RESTORED: tuple[str, ...] = ()
