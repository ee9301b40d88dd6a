"""The command ``bsv-store``: parse, call one library function, print."""
