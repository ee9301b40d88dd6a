"""The open store: `Store`, its namespaces, and how stores are created and opened."""
