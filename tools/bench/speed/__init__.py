"""The parts of `tools.benchmark`: what they measure, the worker processes that they ask, and their reports."""
