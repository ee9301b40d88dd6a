"""Routes under ``/v1``: the protocol of mirrors, and a JSON API for pages, people and other languages."""
