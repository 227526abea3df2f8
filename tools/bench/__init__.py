"""What `tools.benchmark` and `tools.fidelity` share, and their parts.

- `cases`: consoles, songs and clips that are measured
- `side`: what either side must do; `ours` and `peer_side` do it
- `losses`: losses and distances between mixes, by one measure for either side
- `kept_searches`: whole searches that were run, in a file
- `peer`: the harness over grafx
- `speed`: the parts of `tools.benchmark`
- `fidelity`: the parts of `tools.fidelity`
"""
