"""Formats of others: DOT, OpenLineage, HTML for notebooks, rows and columns for analysis. Knows how they are written,
not what an artifact is."""
