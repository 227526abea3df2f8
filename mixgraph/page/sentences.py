"""What was done to a track or a subgroup, in a plain sentence."""

from __future__ import annotations

from collections.abc import Sequence

from mixgraph.processors.readings import Decay, Gains, Number, Reading, Response, Taps
from mixgraph.report.readings import decay_seconds, octave_levels_db
from mixgraph.report.settings import NodeSettings

_EQUAL_DB, _CLEAR_DB, _LOUD_TAPS_DB = 0.5, 1.5, 6.0


def sentence(chain: Sequence[NodeSettings]) -> str:
    """Describes a chain: `6 dB louder on the right, echoes at 71 and 113 ms`; `left as it is` without processors."""
    parts = [part for node in chain for part in _parts(node)]
    return ", ".join(parts) or "left as it is"


def _parts(node: NodeSettings) -> list[str]:
    name = node.processor.name
    picture = next((reading for reading in node.readings if not isinstance(reading, Number)), None)
    match picture:
        case Gains(names=("left", "right"), levels_db=(left, right)):
            return _panning(left, right)
        case Gains():
            return [f"{n} {level:+.1f} dB" for n, level in zip(picture.names, picture.levels_db, strict=True)]
        case Response():
            return _tone(picture)
        case Taps():
            return [_echoes(picture)]
        case Decay():
            seconds = decay_seconds(picture).get(1000, 0.0)
            return [f"reverb of {seconds:.1f} s at 1 kHz" if seconds < 20 else "a long reverb"]
    numbers = [reading for reading in node.readings if isinstance(reading, Number)]
    return [_dynamics(name, node.name, numbers)]


def _panning(left: float, right: float) -> list[str]:
    parts = []
    if abs(right - left) >= _EQUAL_DB:
        parts.append(f"{abs(right - left):.0f} dB louder on the {'right' if right > left else 'left'}")
    mean = (left + right) / 2
    if abs(mean) >= _EQUAL_DB:
        parts.append(f"{abs(mean):.0f} dB {'up' if mean > 0 else 'down'}")
    return parts or ["level kept"]


def _tone(response: Response) -> list[str]:
    octaves = octave_levels_db(response)
    if not octaves:
        return []
    low, high = min(octaves, key=octaves.__getitem__), max(octaves, key=octaves.__getitem__)
    parts = []
    if octaves[high] >= _CLEAR_DB:
        parts.append(f"{octaves[high]:.0f} dB more around {_hz(high)}")
    if octaves[low] <= -_CLEAR_DB:
        parts.append(f"{-octaves[low]:.0f} dB less around {_hz(low)}")
    return parts or ["tone slightly shaped"]


def _echoes(taps: Taps) -> str:
    loudest = max(taps.levels_db)
    times = [ms for ms, db in zip(taps.ms, taps.levels_db, strict=True) if db >= loudest - _LOUD_TAPS_DB]
    shown = sorted(set(map(round, times)))[:3]
    listed = " and ".join(filter(None, (", ".join(map(str, shown[:-1])), str(shown[-1]))))
    return f"echoes at {listed} ms"


def _dynamics(name: str, label: str, numbers: Sequence[Reading]) -> str:
    verb = "gated" if "gate" in name else "compressed" if "compressor" in name else label
    kept = [n.value_text for n in numbers if isinstance(n, Number) and n.key == "ratio"]
    return f"{verb} {kept[0]}" if kept else verb


def _hz(hertz: int) -> str:
    return f"{hertz} Hz" if hertz < 1000 else f"{hertz // 1000} kHz"
