"""Before money is spent: is a task ready, and what will optimising it take?"""
