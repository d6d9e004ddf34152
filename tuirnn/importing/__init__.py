"""Networks trained elsewhere: weights under other names become a run that can be exported and evaluated."""
