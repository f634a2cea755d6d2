"""Access rules (ACLs): what they are, which of them decides, and where they are kept."""
