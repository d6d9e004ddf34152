"""One file a screen: each tab, the form for a new run, and the small dialogs."""
