"""Who may use the server, and how much: host names, tokens, limits, security headers, the access log."""
