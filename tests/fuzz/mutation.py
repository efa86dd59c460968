"""Texts that were good once: cut, repeated, spliced, and with words that mean something where they do not belong."""

from collections.abc import Sequence

from hypothesis import strategies as st


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Draw a seed after a few changes, of lines or of anything."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 5))):
        data = _mutated_lines(draw, data) if draw(st.booleans()) else _mutated_bytes(draw, data, seeds, words)
    return data


def _mutated_lines(draw: st.DrawFn, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at = draw(st.integers(0, len(lines) - 1))
    match draw(st.sampled_from(["drop", "repeat", "move", "indent", "dedent"])):
        case "drop":
            del lines[at]
        case "repeat":
            lines.insert(at, lines[at])
        case "move":
            line = lines.pop(at)
            lines.insert(draw(st.integers(0, len(lines))), line)
        case "indent":
            lines[at] = b"  " + lines[at]
        case _:
            lines[at] = lines[at].removeprefix(b"  ")
    return b"\n".join(lines)


def _mutated_bytes(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    start = draw(st.integers(0, len(data)))
    end = min(len(data), start + draw(st.integers(0, 20)))
    match draw(st.sampled_from(["word", "word", "cut", "repeat", "splice", "noise"])):
        case "word":
            middle = draw(st.sampled_from(words))
        case "cut":
            middle = b""
        case "repeat":
            middle = data[start:end] * draw(st.integers(2, 40))
        case "splice":
            other = draw(st.sampled_from(seeds))
            begin = draw(st.integers(0, len(other)))
            middle = other[begin : begin + draw(st.integers(0, 80))]
        case _:
            middle = draw(st.binary(max_size=8) | st.text(max_size=6).map(lambda text: text.encode("utf-8", "replace")))
    return data[:start] + middle + data[end:]
