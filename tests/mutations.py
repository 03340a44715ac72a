"""Changes to files such as a broken disk, a careless editor or an attacker makes."""

import json

PIECES = (
    *(b"[" * 3000, b"{" * 500, b'{"a":' * 2000, b"1e999", b"9" * 400, b"nan", b"\0", b"\xff\xfe"),
    *(b",,,,", b'"', b"\n", b"-1", b"true", b"null", b"[[]]", b"\xed\xa0\x80"),
)
VALUES = (
    *(None, True, -1, 0, 1.5, 10**400, 2**63, 1e308, -1e308, 1e-320, "", "x", "../x", "=1+1"),
    *([], {}, [[]], [1, 2], {"a": 1}, ["x"] * 100, [[[[[[1]]]]]]),
)


def mutated(content, rng):
    """Bytes with a few changes: flipped, cut, repeated, or replaced by pieces that hurt."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, len(data) + 1))
        kind = rng.integers(5)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del data[at : at + int(rng.integers(1, 20))]
        elif kind == 2:
            data[at:at] = PIECES[int(rng.integers(len(PIECES)))]
        elif kind == 3:
            data[at : at + 8] = rng.bytes(8)
        else:
            data[at:at] = data[at : at + int(rng.integers(1, 60))]
    return bytes(data) if rng.random() < 0.9 else bytes(data[: int(rng.integers(len(data) + 1))])


def mutated_json(content, rng):
    """JSON in which one value, somewhere, is another or gone; the rest is as it was."""
    tree = json.loads(content)
    part, inside = tree, True
    while inside:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        key = keys[int(rng.integers(len(keys)))]
        inside = isinstance(part[key], dict | list) and part[key] and rng.random() < 0.9
        if inside:
            part = part[key]
    if rng.random() < 0.15:
        del part[key]
    else:
        part[key] = VALUES[int(rng.integers(len(VALUES)))]
    return json.dumps(tree).encode()
