from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.extras import MissingPackageError
from tinygrad_cnn.io import FileError, load_metadata

GRID = np.arange(24.0).reshape(2, 3, 4)
ARRAYS = {
    "plain": GRID,
    "fortran": np.asfortranarray(GRID),
    "transposed": GRID.transpose(2, 0, 1),
    "strided": GRID[:, ::2, ::-1],
    "broadcast": np.broadcast_to(np.float32(3), (2, 2)),
    "no axes": np.array(2.5),
    "empty": np.zeros((0, 3), np.float32),
    "bool": np.array([[True, False], [False, False]]).T,
    "int64": np.array([-(2**62), 2**62]),
    "float32": np.array([0.1, np.inf, -0.0], np.float32),
    "float64": np.array([0.1, np.nan]),
    "big-endian": np.arange(3, dtype=">f4"),
}


@pytest.mark.parametrize("as_tensors", [False, True])
def test_round_trip(tmp_path, as_tensors):
    path = tmp_path / "all.safetensors"
    tg.save(path, {name: tg.Tensor(array) if as_tensors else array for name, array in ARRAYS.items()})
    loaded = tg.load(path)
    assert list(loaded) == list(ARRAYS)  # in the order of saving
    for name, array in ARRAYS.items():
        assert loaded[name].shape == array.shape
        assert loaded[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(loaded[name].numpy(), array)


def test_tensors_that_were_transposed_by_operations(tmp_path):
    tensor = tg.Tensor(GRID).permute(2, 1, 0)[:, ::2]
    tg.save(tmp_path / "t", {"t": tensor})
    np.testing.assert_array_equal(tg.load(tmp_path / "t")["t"].numpy(), GRID.transpose(2, 1, 0)[:, ::2])


def test_other_programs_read_the_file(tmp_path):
    from safetensors.numpy import load_file

    tg.save(tmp_path / "t", {"b": ARRAYS["fortran"], "a": ARRAYS["int64"]}, {"made by": "ä"})
    loaded = load_file(tmp_path / "t")
    np.testing.assert_array_equal(loaded["b"], GRID)
    np.testing.assert_array_equal(loaded["a"], ARRAYS["int64"])


def test_files_of_other_programs(tmp_path):
    from safetensors.numpy import save_file

    save_file({"x": GRID, "y": np.float16([1.5])}, tmp_path / "t", {"format": "np"})
    loaded = tg.load(tmp_path / "t")
    np.testing.assert_array_equal(loaded["x"].numpy(), GRID)
    assert loaded["y"].dtype == np.float16
    assert load_metadata(tmp_path / "t") == {"format": "np"}


def test_modules(tmp_path):
    one, two = (tg.nn.Sequential(tg.nn.Linear(3, 4), tg.nn.BatchNorm1d(4), tg.nn.Linear(4, 2)) for _ in range(2))
    tg.save(tmp_path / "m", one)
    state = tg.load(tmp_path / "m")
    assert list(state) == list(one.state_dict())
    two.load_state_dict(state)
    for name, tensor in one.state_dict().items():
        np.testing.assert_array_equal(two.state_dict()[name].numpy(), tensor.numpy())


def test_metadata(tmp_path):
    tg.save(tmp_path / "m", {"x": GRID}, {"b": "two", "a": "one"})
    assert list(load_metadata(tmp_path / "m").items()) == [("b", "two"), ("a", "one")]
    tg.save(tmp_path / "m", {"x": GRID})
    assert load_metadata(tmp_path / "m") == {}


def test_files_repeat_byte_by_byte_in_every_process(tmp_path):
    script = (
        "import sys, numpy as np, tinygrad_cnn as tg\n"
        "tg.save(sys.argv[1], {n: np.ones(2) for n in 'qwerty'}, {n: n for n in 'asdfgh'})"
    )
    contents = []
    for hash_seed in "12":
        path = tmp_path / hash_seed
        subprocess.run([sys.executable, "-c", script, path], check=True, env=os.environ | {"PYTHONHASHSEED": hash_seed})
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_an_existing_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "x"
    tg.save(path, {"x": np.zeros(2)})
    tg.save(path, {"x": np.ones(2)})
    assert tg.load(path)["x"].tolist() == [1, 1]

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="No space left"):
        tg.save(path, {"x": np.full(2, 7.0)})
    assert tg.load(path)["x"].tolist() == [1, 1]
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_loading_puts_tensors_on_the_default_device(tmp_path, device_name):
    tg.save(tmp_path / "x", {"x": np.zeros(2)})
    assert tg.load(tmp_path / "x")["x"].device == device_name


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(FileError, match="No such file") as error:
        tg.load(tmp_path / "none")
    assert isinstance(error.value, OSError)
    with pytest.raises(FileError, match="cannot be read"):
        tg.load(tmp_path)
    whole = tmp_path / "whole"
    tg.save(whole, {"x": GRID})
    data = whole.read_bytes()
    for wrong in (b"", b"PK\x03\x04 a zip archive", data[:-1], data + b"!", data[:20], b"\x80" * 100):
        (tmp_path / "damaged").write_bytes(wrong)
        for read in (tg.load, load_metadata):
            with pytest.raises(FileError, match="is damaged, or no safetensors file"):
                read(tmp_path / "damaged")


def test_element_types_that_do_not_exist_here(tmp_path):
    header = b'{"x":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}     '
    (tmp_path / "bf16").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(tg.DTypeError, match=r"(?s)BF16.*float32 where the file was made"):
        tg.load(tmp_path / "bf16")


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(FileError, match=r"(?s)No such file or directory.*make the folder"):
        tg.save(tmp_path / "none" / "x", {"x": GRID})
    with pytest.raises(tg.DTypeError, match="give it a name"):
        tg.save(path, tg.Tensor([1.0]))  # type: ignore[arg-type]
    with pytest.raises(tg.DTypeError, match="text"):
        tg.save(path, {0: GRID})  # type: ignore[dict-item]
    with pytest.raises(tg.DTypeError, match="text"):
        tg.save(path, {"x": GRID}, {"epoch": 3})  # type: ignore[dict-item]
    with pytest.raises(tg.DTypeError, match="no rectangular block"):
        tg.save(path, {"x": "text"})
    with pytest.raises(tg.GraphError, match="symbolic"):
        tg.save(path, {"x": tg.symbol((2,))})
    with pytest.raises(tg.ArgumentError, match="__metadata__"):
        tg.save(path, {"__metadata__": GRID})
    assert not path.exists()


def test_missing_safetensors(tmp_path, monkeypatch):
    tg.save(tmp_path / "x", {"x": GRID})
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (lambda: tg.load(tmp_path / "x"), lambda: tg.save(tmp_path / "x", {"x": GRID})):
        with pytest.raises(MissingPackageError, match=r'pip install "tinygrad_cnn\[data\]"'):
            call()
