"""A store on a server: its catalog and files are copied into a local cache when they are needed."""
