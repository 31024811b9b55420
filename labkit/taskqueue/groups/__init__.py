"""Groups as the broker knows them, labkit's and others': of which kind they are, in what state, and how far."""
