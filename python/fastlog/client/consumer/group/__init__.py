"""Membership in consumer groups: the classic protocol with its assignors, and that of KIP-848."""
