"""What the handlers of administration share."""
