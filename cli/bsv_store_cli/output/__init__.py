"""How commands print: tables, JSON, CSV, messages and progress."""
