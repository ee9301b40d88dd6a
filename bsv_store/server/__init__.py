"""A read-only web application over one store (extra ``server``): a mirror of the Allen API, data and pages.

It uses the public names of the library, and never writes to the store.
"""
