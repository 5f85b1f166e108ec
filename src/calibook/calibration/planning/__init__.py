"""Plans of the standard procedures: which files, conditions and constants, and what it will need."""
