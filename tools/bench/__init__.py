"""What `tools.benchmark` and `tools.fidelity` share, and their parts.

- `machine`: what measurements belong to: the machine, and the versions of what ran
- `cases`: consoles, songs and clips that are measured
- `recipe`: how many steps and rounds a search has
- `clock`: the seconds of the stages of a search
- `losses`: how far a mix is from its target, by one measure for either side
- `side`: what either side must do
- `ours`: mixgraph's side
- `peer_side`: the peer's side
- `kept_searches`: a file of whole searches that were run
- `peer`: the harness over grafx
- `speed`: the parts of `tools.benchmark`
- `fidelity`: the parts of `tools.fidelity`
"""
