"""The mutation score of the modules whose wrong values would be silent: ``make mutation``.

`targets` lists the modules with the tests that guard them, `mutations` makes the mutants of a module, and `session`
tries them in forks of a running pytest. survivors.toml explains why each mutant that no test notices is harmless.
"""
