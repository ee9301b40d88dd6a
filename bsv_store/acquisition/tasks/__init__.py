"""How each kind of object is downloaded, checked and stored: unionize tables, volumes, the annotation."""
