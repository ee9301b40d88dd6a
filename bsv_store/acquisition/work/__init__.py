"""Downloads that many processes share: claims in the database, worker threads, a common limit on connections."""
