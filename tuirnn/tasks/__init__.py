"""Tasks: sources -> splits -> numpy batches. No torch here."""
