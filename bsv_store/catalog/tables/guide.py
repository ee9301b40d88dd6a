"""The guide to SQL, ``docs/sql.md``, generated from this module and from the views."""

from __future__ import annotations

from dataclasses import dataclass

from bsv_store.catalog.tables.views import schema_markdown


@dataclass(frozen=True, slots=True)
class ExampleQuery:
    """An example query; tests run each on both databases."""

    question: str
    statement: str


EXAMPLES: tuple[ExampleQuery, ...] = (
    ExampleQuery(
        "Which structures were injected most often, in wild-type mice?",
        """\
SELECT primary_structure, count(*) AS experiments
FROM experiments
WHERE transgenic_line IS NULL AND NOT withdrawn
GROUP BY primary_structure
ORDER BY experiments DESC, primary_structure
LIMIT 10""",
    ),
    ExampleQuery(
        "Which experiments were injected in VISp or anything inside it?",
        """\
SELECT e.experiment_id, e.primary_structure, e.transgenic_line, e.injection_volume
FROM experiments AS e
JOIN structure_ancestor AS a ON a.descendant_id = e.primary_structure_id
JOIN structure AS s ON s.id = a.ancestor_id
WHERE s.acronym = 'VISp' AND NOT e.withdrawn
ORDER BY e.experiment_id""",
    ),
    ExampleQuery(
        "Which experiments project to the caudoputamen (CP) in the injected hemisphere, the strongest first?",
        """\
SELECT p.experiment_id, e.primary_structure, p.normalized_projection_volume
FROM projections AS p
JOIN experiments AS e ON e.experiment_id = p.experiment_id
WHERE p.structure = 'CP' AND p.side = 'ipsilateral' AND p.normalized_projection_volume > 0.1
ORDER BY p.normalized_projection_volume DESC
LIMIT 20""",
    ),
    ExampleQuery(
        "To which summary structures does one experiment project?",
        """\
SELECT p.structure, p.side, p.projection_volume, p.projection_density
FROM projections AS p
JOIN structure_set_member AS m ON m.structure_id = p.structure_id AND m.structure_set_id = 167587189
WHERE p.experiment_id = 158314987 AND p.side <> 'both'
ORDER BY p.projection_volume DESC
LIMIT 10""",
    ),
    ExampleQuery(
        "How much of each injection lies in its primary structure?",
        """\
SELECT e.experiment_id, e.primary_structure, i.projection_volume / e.injection_volume AS share
FROM experiments AS e
JOIN injection_summary AS i
    ON i.experiment_id = e.experiment_id AND i.structure_id = e.primary_structure_id AND i.hemisphere = 'both'
WHERE e.injection_volume > 0
ORDER BY share, e.experiment_id
LIMIT 20""",
    ),
    ExampleQuery(
        "Which experiments have no unionize table in the store? (For the others, a missing row means no signal.)",
        """\
SELECT e.experiment_id, e.primary_structure
FROM experiments AS e
LEFT JOIN unionize_coverage AS c ON c.experiment_id = e.experiment_id AND c.part = 'projection'
WHERE c.experiment_id IS NULL AND NOT e.withdrawn
ORDER BY e.experiment_id""",
    ),
)

_HEAD = """\
# The catalog in SQL

Generated from `bsv_store/catalog/tables/guide.py` and `bsv_store/catalog/tables/views.py`; to update it:
`python -m bsv_store.catalog.tables.guide > docs/sql.md`.

```
bsv-store sql "SELECT ..." [--param NAME=VALUE] [--format table|csv|json]
```

or, in Python, `store.sql("SELECT ... WHERE experiment_id = :id", {"id": 158314987})`, which returns a DataFrame. Both
are strictly read-only: the database itself refuses to write, and queries can call only functions that compute from
their arguments, such as `count`, `round` or `lower`. The same text works on SQLite and on Postgres. The result is
limited in rows (`--limit`), time (`--timeout`) and memory (`--max-bytes`). On SQLite, a query of more than 20 s starts
again on a private copy in the folder for temporary files (`TMPDIR`), so that it does not block others that write.

Before you add values up, note that rows of a structure already contain those of all structures inside it, that
hemisphere `both` is the sum of `left` and `right`, and that a missing row means "no signal" only for experiments in
`unionize_coverage`. Acronyms are case-sensitive, and many start with the same letters (VISp, VISpm): never match them
by prefix, use `structure_ancestor`.
"""

_POSTGRES = """\
## Other accounts and BI tools on Postgres

`bsv-store db grant --apply` creates a role that can read the catalog of this store and nothing else, and prints its
name: `bsv_store_reader_` followed by the first digits of the store's id. Without `--apply`, the command prints the SQL
statements. `bsv-store sql` and `store.sql` then run queries as this role. Without the role, queries run as the store's
own account; if that is a superuser, they are refused unless `--allow-superuser` is given.

To connect a BI tool (such as Metabase, Superset, Grafana or Tableau), create an account for it on the server, and make
it a member of the role:

```
psql -c "CREATE ROLE bi_tool LOGIN PASSWORD '...' CONNECTION LIMIT 5"
psql -c "ALTER ROLE bi_tool SET statement_timeout = '60s'"
psql -c "ALTER ROLE bi_tool SET default_transaction_read_only = on"
bsv-store db grant --reader bi_tool --apply
```

The tool connects to the store's database as `bi_tool`. The descriptions below are stored as comments on the views and
columns, and most tools show them. Tables and views added by later versions of bsv-store are readable too. To revoke the
access, run `DROP ROLE bi_tool`.
"""

_DATASETTE = """\
## Browsing with Datasette

A store on SQLite can be browsed in a web browser with [Datasette](https://datasette.io), which opens it read-only:

```
pip install datasette
datasette serve /path/to/store/catalog.db --setting sql_time_limit_ms 10000
```

It prints the address, by default http://127.0.0.1:8001; the views are at `/catalog/experiments` and so on.

Writers wait while a query runs, so browse a copy of a store that is in heavy use. To make a consistent copy:

```
sqlite3 "file:/path/to/store/catalog.db?mode=ro" ".backup catalog-copy.db"
```
"""


def sql_guide() -> str:
    """The contents of ``docs/sql.md``."""
    examples = "\n\n".join(f"**{each.question}**\n\n```sql\n{each.statement}\n```" for each in EXAMPLES)
    return "\n".join([_HEAD, f"## Examples\n\n{examples}\n", _POSTGRES, _DATASETTE, schema_markdown()])


if __name__ == "__main__":
    import sys

    sys.stdout.write(sql_guide())
