"""What clients can make the broker keep is bounded here, and what happens when memory runs out."""
