"""`tuirnn serve`: the dashboard behind a port of this machine, for a browser."""
