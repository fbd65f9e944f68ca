"""Optimisers, a folder or a file each; the registry that finds them by name; fitting, their use."""
