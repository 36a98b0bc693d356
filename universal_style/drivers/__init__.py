"""Who takes a walk: over whole pictures, and what is fitted on the way."""
