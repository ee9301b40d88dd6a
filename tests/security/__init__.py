"""One file for each promise of SECURITY.md, with every attack tried."""
