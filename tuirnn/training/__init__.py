"""Training: from a configuration to a run directory. Needs torch; never imports a screen."""
