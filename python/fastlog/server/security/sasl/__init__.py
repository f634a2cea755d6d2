"""SASL's mechanisms, each without socket and clock."""
