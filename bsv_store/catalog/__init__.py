"""What is known: experiments, structures, unionize records and where the volumes lie, in SQLite or Postgres."""
