"""How a solution behaves: it is run against a broker while things are done to it, and then judged by what happened."""
