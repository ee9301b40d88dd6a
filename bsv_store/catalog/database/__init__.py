"""The catalog's tables: connections and transactions, schema versions, models, bulk loading."""
