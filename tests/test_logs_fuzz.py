"""Files from strangers: whatever bytes a log holds, it is read or refused in one line, soon."""

import contextlib
import io
import json
import shutil
import time

import h5py
import numpy as np
import pandas as pd
import pytest
from mutations import mutated

from coopetition.errors import LogError, UnknownNameError
from coopetition.logs import read_curves

N = 30
SEQUENCES = np.arange(N) * 100
FLIP = np.linspace(0.5, 0.9, N).round(3)
TABLE = pd.DataFrame({"sequences": SEQUENCES, "flip": FLIP, "note": "x"})
SECONDS = 5.0


def _h5():
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as log:
        log["eval_iter"] = SEQUENCES
        log["flip_icl/in_context_acc"] = np.ones((N, 20), dtype=bool)
        log["flip_icl"].create_dataset("loss", data=np.ones((N, 20)), compression="gzip")
    return buffer.getvalue()


def _parquet():
    buffer = io.BytesIO()
    TABLE.set_index("sequences").to_parquet(buffer)
    return buffer.getvalue()


def _events():
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    def record(event):
        data = event.SerializeToString()
        length = len(data).to_bytes(8, "little")
        crc = [masked_crc32c(part).to_bytes(4, "little") for part in (length, data)]
        return length + crc[0] + data + crc[1]

    events = [Event(file_version="brain.Event:2")]
    for step, value in zip(SEQUENCES, FLIP, strict=True):
        entry = Summary.Value(tag="flip", simple_value=value)
        events.append(Event(step=int(step), summary=Summary(value=[entry])))
    return b"".join(map(record, events))


RECORDS = TABLE.to_dict("records")
FILES = {
    "csv": lambda: TABLE.to_csv(index=False).encode(),
    "jsonl": lambda: "\n".join(map(json.dumps, RECORDS)).encode(),
    "json": lambda: json.dumps({"log_history": RECORDS}, indent=1).encode(),
    "parquet": _parquet,
    "hdf5": _h5,
    "tensorboard": _events,
}


def read_or_refuse(path, content):
    path.write_bytes(content)
    begun = time.perf_counter()
    with contextlib.suppress(LogError, UnknownNameError):
        assert all(len(run.curves) for run in read_curves(path))
    assert time.perf_counter() - begun < SECONDS


def fuzz(folder, kind, count):
    if kind == "tensorboard":
        pytest.importorskip("tensorboard")
    content, rng = FILES[kind](), np.random.default_rng(len(kind))
    read_or_refuse(folder / "log", content)
    for _ in range(count):
        read_or_refuse(folder / "log", mutated(content, rng))


@pytest.mark.parametrize("kind", FILES)
def test_damaged_logs_are_read_or_refused(tmp_path, kind):
    fuzz(tmp_path, kind, 400)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_very_many_damaged_logs_are_read_or_refused(tmp_path, kind):
    fuzz(tmp_path, kind, 17_000)


def test_a_link_out_of_an_hdf5_file_is_not_followed(tmp_path):
    secret = tmp_path / "other.h5"
    with h5py.File(secret, "w") as other:
        other["values"] = np.ones((N, 5), dtype=bool)
    path = tmp_path / "log.h5"
    path.write_bytes(_h5())
    with h5py.File(path, "a") as log:
        log["icl/in_context_acc"] = h5py.ExternalLink("other.h5", "/values")
    with pytest.raises(LogError, match="icl/in_context_acc lies in another file"):
        read_curves(path)


def test_sizes_that_a_file_only_declares_are_not_allocated(tmp_path):
    path = tmp_path / "log.h5"
    with h5py.File(path, "w") as log:
        log["eval_iter"] = SEQUENCES
        log.create_dataset(
            "flip_icl/in_context_acc", shape=(N, 10**12), dtype="f8", chunks=(1, 2**20)
        )
    with pytest.raises(LogError, match=r"declares 240,000,000,000,000 bytes and holds 0"):
        read_curves(path)
    shutil.rmtree(tmp_path)
