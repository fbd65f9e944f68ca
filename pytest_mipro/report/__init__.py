"""Views of what a run found."""
