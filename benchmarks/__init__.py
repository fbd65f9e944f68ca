"""Side by side with dspy.MIPROv2 and dspy.Evaluate: ``python -m benchmarks --help``."""
