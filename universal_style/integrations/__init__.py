"""Places where users already are: each folder here plugs the package into another program."""
