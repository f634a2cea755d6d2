"""Consumer groups of the consumer protocol (KIP-848): the broker assigns, members follow step by step."""
