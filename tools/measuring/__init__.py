"""What `tools/fidelity.py` measures: searches by our configurations and by the peer's rules, by common measures."""
