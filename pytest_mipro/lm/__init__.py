"""Everything about LM calls: which LM, what is asked, what stands before it, what it took.

The only wing that calls an LM, and ``seam.py`` is the only room that touches DSPy's inner parts.
"""
