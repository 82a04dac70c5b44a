"""Write malicious files; each ``Writer`` returns the file or folder to load."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inference.conftest import Forms, describe, tiny_network, write_checkpoint
from safetensors.torch import load_file, save_file

Writer = Callable[[Path, Forms], Path]


class Touch:
    """An object whose pickle creates a file when loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


class Big:
    """An object whose pickle fills the memory when loaded, through a constructor that torch allows."""

    def __reduce__(self) -> Any:
        return bytearray, (4_000_000_000,)


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes], method: int) -> Path:
    """A checkpoint with changed entries."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
        for member in old.infolist():
            new.writestr(zipfile.ZipInfo(member.filename), change(member.filename, old.read(member)), method)
    return target


def with_checkpoint(**changes: Any) -> Writer:
    return lambda folder, _: write_checkpoint(folder / "x.ckpt", tiny_network(), **changes)


def with_weights(change: Callable[[dict[str, Any]], None]) -> Writer:
    def write(folder: Path, _: Forms) -> Path:
        network = tiny_network()
        weights: dict[str, Any] = {f"network.{k}": v for k, v in network.state_dict().items()}
        change(weights)
        torch.save({"state_dict": weights, "mfer": describe(network)}, folder / "x.ckpt")
        return folder / "x.ckpt"

    return write


def first_weight(weights: dict[str, Any]) -> str:
    return next(name for name, value in weights.items() if value.dim() == 4)


def pickled(thing: Callable[[Path], Any], zipped: bool) -> Writer:
    def write(folder: Path, _: Forms) -> Path:
        path = folder / "x.ckpt"
        if zipped:
            torch.save({"state_dict": {}, "mfer": thing(folder / "created")}, path)
        else:
            path.write_bytes(pickle.dumps({"state_dict": {}, "mfer": thing(folder / "created")}))
        return path

    return write


def zip_bomb(folder: Path, forms: Forms) -> Path:
    zeros = bytes(200_000_000)
    return rewritten(
        forms.checkpoint,
        folder / "x.ckpt",
        lambda name, data: zeros if name.endswith("/data/0") else data,
        zipfile.ZIP_DEFLATED,
    )


def lying_storage(folder: Path, _: Forms) -> Path:
    """A pickle that claims a hundred million numbers for a storage of 200."""
    honest, network = folder / "honest.ckpt", tiny_network()
    weights = {f"network.{k}": v for k, v in network.state_dict().items()}
    weights["network.extra"] = torch.zeros(200)
    torch.save({"state_dict": weights, "mfer": describe(network)}, honest)
    huge = b"J" + (100_000_000).to_bytes(4, "little")

    def change(name: str, data: bytes) -> bytes:
        return data.replace(b"K\xc8", huge) if name.endswith("data.pkl") else data

    return rewritten(honest, folder / "x.ckpt", change, zipfile.ZIP_STORED)


def cut(what: str, name: str = "") -> Writer:
    def write(folder: Path, forms: Forms) -> Path:
        target = copied(what, folder, forms)
        file = target / name if name else target
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        return target

    return write


def copied(what: str, folder: Path, forms: Forms) -> Path:
    source = getattr(forms, what)
    target = folder / source.name
    (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    return target


def exported(change: Callable[[Path], None]) -> Writer:
    """A changed safetensors export without its checksum, which an attacker would also remove."""

    def write(folder: Path, forms: Forms) -> Path:
        target = copied("safetensors", folder, forms)
        config = json.loads((target / "config.json").read_text())
        (target / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "sha256"}))
        change(target)
        return target

    return write


def configured(change: Callable[[dict[str, Any]], None]) -> Writer:
    def apply(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))

    return exported(apply)


def options(**values: Any) -> Writer:
    return configured(lambda c: c["network"]["backbone"]["options"].update(values))


def tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Writer:
    def apply(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors.new")
        (folder / "model.safetensors.new").replace(folder / "model.safetensors")

    return exported(apply)


def header(change: Callable[[bytes], bytes]) -> Writer:
    """The list of names and shapes of a safetensors file, changed."""

    def apply(folder: Path) -> None:
        path = folder / "model.safetensors"
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        head = change(data[8 : 8 + length])
        path.write_bytes(len(head).to_bytes(8, "little") + head + data[8 + length :])

    return exported(apply)


def overlapping(head: bytes) -> bytes:
    entries = json.loads(head)
    names = [n for n in entries if n != "__metadata__"]
    entries[names[1]]["data_offsets"] = entries[names[0]]["data_offsets"]
    return json.dumps(entries).encode()


def claims(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes((1 << 60).to_bytes(8, "little") + path.read_bytes()[8:])


def linked(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("/dev/zero")


def enormous_config(folder: Path) -> None:
    with (folder / "config.json").open("r+b") as file:
        file.truncate(3 << 30)  # a sparse file: nothing on the disk


def graph(change: Callable[[Any], None]) -> Writer:
    """A changed ONNX export without its checksum, which an attacker would also remove."""

    def write(folder: Path, forms: Forms) -> Path:
        import onnx

        proto = onnx.load(str(forms.onnx / "model.onnx"))
        del proto.metadata_props[next(i for i, p in enumerate(proto.metadata_props) if p.key.endswith(".sha256"))]
        change(proto)
        path = folder / "x.onnx"
        path.write_bytes(proto.SerializeToString())
        return path

    return write


def notes(**values: Any) -> Writer:
    def change(proto: Any) -> None:
        for entry in proto.metadata_props:
            if entry.key == "mfer_lightning":
                entry.value = json.dumps({**json.loads(entry.value), **values})

    return graph(change)


def beside(location: str) -> Writer:
    def change(proto: Any) -> None:
        import onnx

        tensor = max(proto.graph.initializer, key=lambda t: len(t.raw_data))
        onnx.external_data_helper.set_external_data(tensor, location)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField("raw_data")

    return graph(change)


def not_finite(proto: Any) -> None:
    from onnx import numpy_helper

    tensor = next(t for t in proto.graph.initializer if t.data_type == 1 and len(t.dims) == 4)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[3] = np.nan
    tensor.raw_data = values.tobytes()


def without_softmax(proto: Any) -> None:
    node = next(n for n in proto.graph.node if "probabilities" in n.output)
    node.op_type = "Identity"
    del node.attribute[:]


def memory_bomb(proto: Any) -> None:
    """A graph that needs forty gigabytes for each face, which is known only when it runs."""
    from onnx import helper, numpy_helper

    last = next(n for n in proto.graph.node if "probabilities" in n.output)
    last.output[0] = "honest"
    proto.graph.initializer.append(numpy_helper.from_array(np.array([10_000_000_000], np.int64), "evil_n"))
    one = numpy_helper.from_array(np.ones(1, np.float32))
    proto.graph.node.extend(
        [
            helper.make_node("Shape", [proto.graph.input[0].name], ["evil_faces"], start=0, end=1),
            helper.make_node("Mul", ["evil_n", "evil_faces"], ["evil_numbers"]),
            helper.make_node("ConstantOfShape", ["evil_numbers"], ["evil_huge"], value=one),
            helper.make_node("ReduceMean", ["evil_huge"], ["evil_mean"], keepdims=0),
            helper.make_node("Mul", ["honest", "evil_mean"], ["probabilities"]),
        ]
    )


def branching(proto: Any) -> None:
    from onnx import helper

    empty = helper.make_graph([], "g", [], [])
    proto.graph.node.append(helper.make_node("If", ["c"], [], then_branch=empty, else_branch=empty))


def own_function(proto: Any) -> None:
    from onnx import helper

    proto.functions.append(helper.make_function("evil", "F", ["x"], ["x"], [], []))


def nan(weights: dict[str, Any]) -> None:
    weights[first_weight(weights)].view(-1)[0] = float("nan")
