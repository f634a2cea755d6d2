"""Known weaknesses of brokers and clients, one test for each: what others were found to do is tried here."""
