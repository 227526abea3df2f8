"""The values that the paper prints in its tables, and in the text that goes with them.

"Searching For Music Mixing Graphs: A Pruning Approach" (Lee et al., DAFx 2024), Tables 1, 2, 3, 5 and 6, Section 3.3.
Losses are as printed; they are very probably over the norm of the prediction (see docs/published_code.md).
"""

from __future__ import annotations

from dataclasses import dataclass

ALL = "all"
"""The key of the values over all songs of all data sets."""
DATA_SETS = ("MedleyDB", "MixingSecrets", "Internal")
CHAINS = ("", "g", "sg", "esg", "esgr", "ecsgr", "ecnsgr", "ecnsgdr")
"""The chains of the paper's consoles, in the order of Table 1; "" is the base graph, the sum of the dry tracks."""
TYPES = ("gain_panning", "stereo_imager", "equalizer", "reverb", "compressor", "noisegate", "delay")
"""The processor types in the order of the columns of Table 2."""
TYPE_SIGNS = dict(zip(TYPES, ("g", "s", "e", "r", "c", "n", "d"), strict=True))
PARTS = ("full", "lr", "mid", "side")
PART_SIGNS = dict(zip(PARTS, ("a", "lr", "m", "s"), strict=True))
"""Parts of the match loss, with the subscripts that the paper gives them."""


def _losses(*rows: tuple[float, ...]) -> dict[str, dict[str, float]]:
    return {chain: dict(zip(PARTS, row, strict=True)) for chain, row in zip(CHAINS, rows, strict=True)}


CONSOLES: dict[str, dict[str, dict[str, float]]] = {
    ALL: _losses(
        (19.7, 1.52, 1.46, 74.3),
        (0.689, 0.686, 0.634, 0.752),
        (0.676, 0.671, 0.623, 0.734),
        (0.557, 0.549, 0.493, 0.637),
        (0.481, 0.471, 0.457, 0.523),
        (0.423, 0.407, 0.385, 0.492),
        (0.414, 0.398, 0.375, 0.485),
        (0.409, 0.395, 0.375, 0.469),
    ),
    "MedleyDB": _losses(
        (50.7, 1.45, 1.42, 198.0),
        (0.550, 0.583, 0.485, 0.550),
        (0.541, 0.564, 0.483, 0.553),
        (0.450, 0.453, 0.390, 0.504),
        (0.368, 0.361, 0.360, 0.390),
        (0.315, 0.304, 0.297, 0.356),
        (0.302, 0.288, 0.281, 0.353),
        (0.296, 0.288, 0.284, 0.324),
    ),
    "MixingSecrets": _losses(
        (7.30, 2.16, 2.02, 22.9),
        (0.876, 0.856, 0.819, 0.973),
        (0.847, 0.834, 0.791, 0.928),
        (0.700, 0.698, 0.622, 0.780),
        (0.614, 0.601, 0.579, 0.674),
        (0.558, 0.542, 0.512, 0.637),
        (0.548, 0.532, 0.502, 0.625),
        (0.545, 0.529, 0.502, 0.618),
    ),
    "Internal": _losses(
        (1.12, 0.951, 0.940, 1.63),
        (0.642, 0.619, 0.597, 0.734),
        (0.538, 0.616, 0.595, 0.727),  # as printed; the parts next to it, and Table 1, say 0.638
        (0.522, 0.497, 0.467, 0.626),
        (0.463, 0.451, 0.432, 0.517),
        (0.396, 0.377, 0.347, 0.482),
        (0.393, 0.374, 0.343, 0.480),
        (0.385, 0.369, 0.338, 0.465),
    ),
}
"""Data set -> chain -> part of the match loss: Table 1 (`ALL`) and Table 5."""


@dataclass(frozen=True)
class Pruned:
    """A row of Table 2, 3 or 6: the match loss, the pruning ratio, and the ratio of each type."""

    loss: float
    ratio: float
    ratio_by_type: dict[str, float]


def _pruned(loss: float, ratio: float, *by_type: float) -> Pruned:
    return Pruned(loss, ratio, dict(zip(TYPES, by_type, strict=True)))


Method = tuple[str, float]
"""A sampler and a tolerance."""

METHODS: tuple[Method, ...] = (
    ("brute_force", 0.01),
    ("dry_wet", 0.01),
    ("hybrid", 0.001),
    ("hybrid", 0.01),
    ("hybrid", 0.1),
)
DEFAULT_METHOD: Method = ("hybrid", 0.01)
SAMPLER_NAMES = {"brute_force": "Brute-force", "dry_wet": "Dry/wet", "hybrid": "Hybrid"}
TOLERANCES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Tolerances of Figure 10, which has seven from 0.001 to 0.2, not all of which the paper names."""

PRUNING: dict[str, dict[Method, Pruned]] = {
    ALL: {
        ("brute_force", 0.01): _pruned(0.424, 0.69, 0.54, 0.85, 0.53, 0.76, 0.71, 0.78, 0.69),
        ("dry_wet", 0.01): _pruned(0.420, 0.62, 0.51, 0.84, 0.38, 0.69, 0.66, 0.76, 0.53),
        ("hybrid", 0.001): _pruned(0.411, 0.49, 0.35, 0.76, 0.27, 0.53, 0.57, 0.62, 0.34),
        ("hybrid", 0.01): _pruned(0.422, 0.67, 0.51, 0.86, 0.46, 0.71, 0.71, 0.79, 0.63),
        ("hybrid", 0.1): _pruned(0.499, 0.87, 0.73, 0.94, 0.81, 0.90, 0.85, 0.91, 0.92),
    },
    "MedleyDB": {
        ("brute_force", 0.01): _pruned(0.305, 0.63, 0.35, 0.81, 0.54, 0.77, 0.67, 0.71, 0.53),
        ("dry_wet", 0.01): _pruned(0.302, 0.56, 0.32, 0.79, 0.42, 0.74, 0.57, 0.56, 0.43),
        ("hybrid", 0.001): _pruned(0.295, 0.44, 0.22, 0.73, 0.26, 0.61, 0.50, 0.54, 0.24),
        ("hybrid", 0.01): _pruned(0.302, 0.61, 0.32, 0.81, 0.48, 0.74, 0.69, 0.71, 0.52),
        ("hybrid", 0.1): _pruned(0.375, 0.83, 0.59, 0.93, 0.83, 0.92, 0.80, 0.84, 0.90),
    },
    "MixingSecrets": {
        ("brute_force", 0.01): _pruned(0.566, 0.65, 0.50, 0.82, 0.43, 0.71, 0.61, 0.77, 0.75),
        ("dry_wet", 0.01): _pruned(0.561, 0.57, 0.47, 0.82, 0.22, 0.62, 0.54, 0.74, 0.55),
        ("hybrid", 0.001): _pruned(0.550, 0.43, 0.35, 0.76, 0.13, 0.42, 0.43, 0.55, 0.38),
        ("hybrid", 0.01): _pruned(0.563, 0.62, 0.49, 0.85, 0.34, 0.64, 0.60, 0.79, 0.65),
        ("hybrid", 0.1): _pruned(0.648, 0.84, 0.70, 0.91, 0.75, 0.86, 0.83, 0.93, 0.91),
    },
    "Internal": {
        ("brute_force", 0.01): _pruned(0.402, 0.80, 0.76, 0.92, 0.61, 0.81, 0.85, 0.87, 0.80),
        ("dry_wet", 0.01): _pruned(0.397, 0.74, 0.74, 0.82, 0.49, 0.70, 0.87, 0.86, 0.61),
        ("hybrid", 0.001): _pruned(0.388, 0.59, 0.48, 0.77, 0.40, 0.57, 0.78, 0.77, 0.39),
        ("hybrid", 0.01): _pruned(0.400, 0.77, 0.73, 0.93, 0.56, 0.75, 0.85, 0.86, 0.74),
        ("hybrid", 0.1): _pruned(0.474, 0.93, 0.90, 0.99, 0.84, 0.92, 0.93, 0.95, 0.96),
    },
}
"""Data set -> (sampler, tolerance) -> row: Table 2 (`ALL`) and Table 6, as printed.

The imagers and noisegates of dry/wet have other means over the three data sets, 0.81 and 0.72, than Table 2 says.
"""

FULL_DATA: dict[str, Pruned] = {
    "MedleyDB": _pruned(0.431, 0.63, 0.37, 0.84, 0.44, 0.69, 0.74, 0.77, 0.57),
    "MixingSecrets": _pruned(0.625, 0.64, 0.50, 0.87, 0.33, 0.64, 0.63, 0.80, 0.69),
    "Internal": _pruned(0.434, 0.75, 0.70, 0.87, 0.55, 0.73, 0.85, 0.86, 0.72),
    ALL: _pruned(0.506, 0.69, 0.57, 0.87, 0.45, 0.69, 0.75, 0.82, 0.69),
}
"""Data set -> row of Table 3. The text gives 0.509 where the table gives 0.506."""

MINUTES = {"brute_force": 56.0, "dry_wet": 29.0, "hybrid": 36.0}
"""Minutes of a song's search on an RTX 3090 at a tolerance of 0.01 (Section 3.3)."""

MEAN_STEPS = {"one_by_one": 77.6, "greedy": 17.5, "auto": 11.8}
"""Schedule -> steps, means over the graphs that were found (Appendix C.4); the optimal one has 14 at most."""
RENDERS_A_SECOND = {"one_by_one": 27.8, "greedy": 67.2, "auto": 81.2}
"""Schedule -> graph outputs a second on an RTX 3090; of graphs with 350 to 400 nodes the optimal one is 5.8 times as
fast as one by one (Appendix C.4)."""

SONG_COUNTS = {"MedleyDB": 188, "MixingSecrets": 472, "Internal": 579}
"""Songs of the full data sets (Section 1; the text says 1129 songs together)."""

MEAN_CONSOLE_PROCESSORS, MEAN_PROCESSORS, MEAN_NODES = 247.6, 72.1, 108.5
"""Means over the full data (Section 3.4, Figure 6): processors of consoles, processors and nodes of found ones."""
