"""TensorBoard's event files, ``events.out.tfevents.*``, as tables of their scalars.

tensorboard's own loader reads the records (extra ``coopetition[tensorboard]``). Its accumulator is
not used: it thins long logs, decides on its own which points a restart replaces, and takes a
damaged record for the end of the file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..curves.curve import EVALUATORS
from ..errors import LogError
from ..files import foreign_parser
from .columns import Columns, recognised

if TYPE_CHECKING:
    import pandas as pd

PATTERN = "*tfevents*"
STEP = "step"
MARK = b"brain.Event:"  # in the first record of every event file
_HEADER, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")  # a record: length, crc, data, crc
_SHOWN = 20  # tags named in a message


def event_files(folder: Path) -> tuple[Path, ...]:
    """The event files in a folder, in the order they were begun (their names hold the time)."""
    return tuple(sorted(path for path in folder.glob(PATTERN) if path.is_file()))


def checksum(files: Sequence[Path]) -> str:
    """SHA-256 of the files, one after another."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def read_events(files: Sequence[Path], columns: Columns | None) -> pd.DataFrame:
    """The scalars of one run as a wide table, a column a tag, with ``sequences`` and ``step``.

    Rows stand in the order they were written, which shows restarts; the scalars of one step share a
    row. Steps are taken for sequences unless ``columns`` say otherwise, as ``sequences=step*32``
    does; the table's ``attrs["notes"]`` say so.
    """
    import pandas as pd

    where = files[0] if len(files) == 1 else files[0].parent
    if importlib.util.find_spec("tensorboard") is None:
        raise LogError(
            f"{where} is a TensorBoard log, and tensorboard is not installed: pip install "
            "'coopetition[tensorboard]', or export its scalars as CSV"
        )
    notes: list[str] = []
    rows: dict[tuple[int, int], dict[str, float]] = {}  # by step and how often it came before
    written: dict[tuple[str, int], int] = {}
    others: set[str] = set()
    for file in files:
        with foreign_parser(file, "event file"):
            scalars = list(_scalars(file, notes, others))
        for tag, step, value in scalars:
            again = written.get((tag, step), 0)
            written[tag, step] = again + 1
            rows.setdefault((step, again), {})[tag] = value
    tags = list(dict.fromkeys(tag for tag, _ in written))
    if not tags:
        only = f"only {', '.join(sorted(others))}" if others else "nothing was written yet"
        raise LogError(f"{where} has no scalars ({only}); log accuracies with add_scalar")
    for tag in tags:
        counts = {step: count for (t, step), count in written.items() if t == tag}
        step, count = next(iter(counts.items()))
        if len(counts) == 1 and count > 2:
            raise LogError(
                f"{where}: all {count} events of {tag} have step {step}, which says nothing of "
                "training; log them with global_step, as in add_scalar(tag, value, global_step)"
            )
    named = columns is not None and bool(columns.curves or columns.tidy)
    if not named and not any(recognised(tag) for tag in tags):
        raise LogError(
            f"{where}: no tag is named after an evaluator ({', '.join(EVALUATORS)}); the tags are "
            f"{', '.join(tags[:_SHOWN])}; say which hold the accuracies: --columns "
            "flip=TAG,icl=TAG,sequences=step*BATCH_SIZE"
        )
    steps = [float(step) for step, _ in rows]
    table = pd.DataFrame(list(rows.values()), columns=tags)
    if "sequences" not in tags:
        table["sequences"] = steps
        if columns is None or columns.sequences == "sequences":
            notes.append(
                "the events' steps were taken for sequences; if they count optimizer steps, say "
                "--columns sequences=step*BATCH_SIZE"
            )
    if columns is not None:  # they may name ``step``
        if STEP in tags:
            notes.append("tag 'step' was not read: the events' own steps are")
        table[STEP] = steps
    table.attrs["notes"] = notes
    return table


def _scalars(file: Path, notes: list[str], others: set[str]) -> Iterator[tuple[str, int, float]]:
    """Tag, step and value of every scalar; kinds of other entries are added to ``others``."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
    from tensorboard.util import tensor_util

    kinds: dict[str, str] = {}  # by tag: only its first entry has the kind
    read = 0
    for event in LegacyEventFileLoader(str(file)).Load():
        read += 1
        for entry in event.summary.value:
            kind = kinds.setdefault(entry.tag, entry.metadata.plugin_data.plugin_name)
            if entry.HasField("simple_value"):
                yield entry.tag, int(event.step), float(entry.simple_value)
            elif kind == "scalars" and entry.HasField("tensor"):
                yield entry.tag, int(event.step), float(tensor_util.make_ndarray(entry.tensor))
            else:
                others.add(kind or str(entry.WhichOneof("value")))
    _check_read(file, read, notes)


def _check_read(file: Path, read: int, notes: list[str]) -> None:
    """Refuse a damaged file; note a last record cut short: the loader ends at either in silence."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    frame = _HEADER.size + _CHECKSUM.size
    size, whole, at = file.stat().st_size, 0, 0
    with file.open("rb") as stream:
        while at + frame <= size:
            stream.seek(at)
            header = stream.read(_HEADER.size)
            (crc,) = _CHECKSUM.unpack(stream.read(_CHECKSUM.size))
            end = at + frame + _HEADER.unpack(header)[0] + _CHECKSUM.size
            if end > size and crc == masked_crc32c(header):
                break  # an honest length that reaches beyond the end: cut short
            whole, at = whole + 1, end
    if read < whole:
        raise LogError(
            f"{file} is damaged at record {read + 1}; restore it, or move it away to read the "
            "run's other event files"
        )
    if at < size:
        notes.append(f"{file.name}: the last record is cut short and was left out")
