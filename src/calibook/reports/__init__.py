"""Executed notebooks and quality figures to a report: PDF, HTML and a verdict in JSON."""
