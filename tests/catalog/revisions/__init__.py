"""Small stores of every past revision of the schema: one module for each, ``r0001`` to the newest.

A module has the rows that a store could have since its revision, as SQL text that never changes:

STATEMENTS : tuple of str
    Inserts, in the schema of the revision. The text is the same for both databases; X'..' is a blob. Times are UTC.
    Rows of tables to which later releases add rows (``activity``, ``schema_history``) have no id.
AT_HEAD : dict of str to list of tuple
    Queries on the upgraded store, with the rows that they must return.
NOT_RESTORED : tuple of str
    Columns (``table.column``) that its own upgrade changes and its downgrade does not restore.
"""
