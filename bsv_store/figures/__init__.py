"""Drawing: figures from arrays and tables, with Matplotlib (extra ``plot``)."""
