"""Why a track went as it did: traces of it, what went wrong first, and pages that show it."""
