"""Everything on disk beside a test: where it is, how it is read and written,
and what it is valid for.
"""
