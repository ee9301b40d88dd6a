"""Wire and file formats: readers of bytes or paths into checked values, and writers of files for other programs.

No database, no network. Every reader takes ``what``, the name of the file or reply, for its errors, and raises
`FormatError` (or its subclasses `EnvelopeError` and `FrameError`) for any deviation from the format.
"""
