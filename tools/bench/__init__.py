"""Code that `tools.benchmark` and `tools.fidelity` share, and their parts.

- `machine`: describes the machine and the versions of packages
- `cases`: the consoles, songs and clips to measure
- `recipe`: the number of steps and rounds of a search
- `clock`: the seconds of the stages of a search
- `losses`: losses of a mix against its target, computed alike for both sides
- `side`: the interface of both sides
- `ours`: mixgraph's side
- `peer_side`: the peer's side
- `kept_searches`: a file of the results of whole searches
- `peer`: the harness over grafx
- `speed`: the parts of `tools.benchmark`
- `fidelity`: the parts of `tools.fidelity`
"""
