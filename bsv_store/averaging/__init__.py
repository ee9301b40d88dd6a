"""Averages of volumes: grouping, rules, the kernel, and the recipe that describes one average."""
