"""The coordinator of transactions of one broker, with a stand-in for the leader's side of markers."""
