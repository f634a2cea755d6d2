"""Who may come in and do what: TLS, SASL, access rules. Nothing is imported where nobody asks for it."""
