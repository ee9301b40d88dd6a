"""The database: experiments, structures, unionize records, and the files of volumes, in SQLite or Postgres."""
