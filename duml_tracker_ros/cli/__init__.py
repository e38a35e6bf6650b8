"""The `duml-tracker` command line: track, eval, train, bench, export, info."""
