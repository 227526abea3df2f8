"""The parts of `tools.fidelity`: searches by our configurations and by the peer's rules, by common measures."""
