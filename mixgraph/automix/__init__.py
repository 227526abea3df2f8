"""Mixes of songs that have none: graphs that a network proposes for dry tracks, after a reference or after nothing.

- `checks`: what is unusual about tracks that are to be mixed, and about a reference, in words.
- `proposals`: graphs from the network: the likely one, and others that are drawn.
- `words`: what tells proposals apart.
- `write`: a proposal as a folder with its settings, its mix and its page.
"""

from mixgraph.automix.checks import Reference, odd_tracks, read_reference_mix
from mixgraph.automix.proposals import Proposal, propose
from mixgraph.automix.words import Heard, hear, tell_apart
from mixgraph.automix.write import PROPOSAL, PROPOSALS, write_proposal

__all__ = [
    "PROPOSAL",
    "PROPOSALS",
    "Heard",
    "Proposal",
    "Reference",
    "hear",
    "odd_tracks",
    "propose",
    "read_reference_mix",
    "tell_apart",
    "write_proposal",
]
