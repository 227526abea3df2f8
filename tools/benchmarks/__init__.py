"""What `tools.benchmark` is made of: cases, the two sides, their worker processes, parts, and reports."""
