"""What Sphinx needs to turn executed notebooks into a report: used inside the Sphinx process only."""
