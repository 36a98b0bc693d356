"""Who takes a walk: over whole pictures or in windows, in one process or several, and what is fitted on the way."""
