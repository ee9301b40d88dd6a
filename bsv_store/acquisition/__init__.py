"""Acquisition of data: downloads from the Allen API, single files, and caches of other programs.

Operations, one module each; the methods of `bsv_store.store.store.Store` call them:

- ``sync``: structures, experiments and unionize tables from the Allen API
- ``fetch``: volumes from the Allen API
- ``annotation``: the annotation, from Allen's file server or from a file
- ``ingest_files``: structures, experiments and unionize tables from files
- ``adopt``: cache folders of Brain Street View and AllenSDK
- ``plan``: estimated size and duration of a download
- ``fill``: several downloads as one plan

What they share:

- ``tasks``: how each kind of object is downloaded, checked and stored
- ``work``: how processes share downloads, so that each object is downloaded once
- ``presence``: which experiments are known, and which of their data the store has
"""
