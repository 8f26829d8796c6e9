"""Models of strangers: a graph that can do more than compute is refused before TensorFlow loads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from bitext.components.shared.errors import DataError
from bitext.components.translation.bulk import executor as bulk
from bitext.components.translation.graph_check import SAVING, check_graph, suspicious_operations
from bitext.components.translation.graph_operations import CALLING, COMPUTING
from bitext.components.translation.search import Search
from bitext.components.translation.translate import main_translate
from bitext.components.translation.translator import LineTranslator
from tests import toy_model
from tests.components.small_export import Export

Text = tf.Tensor
Deed = Callable[[Path, Text], Text]
"""What a malicious graph does with a file of the victim before it returns the text."""


def read_file(secret: Path, text: Text) -> Text:
    return tf.strings.join([text, tf.io.read_file(str(secret))])


def write_file(secret: Path, text: Text) -> Text:
    tf.io.write_file(str(secret), "gone")
    return text


def list_files(secret: Path, text: Text) -> Text:
    return tf.strings.join([text, tf.strings.reduce_join(tf.io.matching_files(f"{secret.parent}/*"))])


def call_python(secret: Path, text: Text) -> Text:
    return tf.ensure_shape(
        tf.py_function(lambda x: (secret.write_text("gone"), x)[1], [text], tf.string), [None]
    )


def call_numpy(secret: Path, text: Text) -> Text:
    deed = lambda x: (secret.write_text("gone"), x)[1]  # noqa: E731
    return tf.ensure_shape(tf.numpy_function(deed, [text], tf.string, stateful=False), [None])


def read_lines(secret: Path, text: Text) -> Text:
    lines = tf.data.TextLineDataset(str(secret)).reduce("", lambda a, b: tf.strings.join([a, b]))
    return tf.strings.join([text, lines])


def cache_dataset(secret: Path, text: Text) -> Text:
    joined = tf.data.Dataset.from_tensors("x").cache(str(secret)).reduce("", lambda a, b: a + b)
    return tf.strings.join([text, joined])


def print_to_file(secret: Path, text: Text) -> Text:
    tf.print("gone", output_stream=f"file://{secret}")
    return text


def save_tensors(secret: Path, text: Text) -> Text:
    tf.raw_ops.SaveV2(prefix=str(secret), tensor_names=["x"], shape_and_slices=[""], tensors=[text])
    return text


def restore_tensors(secret: Path, text: Text) -> Text:
    names, slices = ["x"], [""]
    [x] = tf.raw_ops.RestoreV2(
        prefix=str(secret), tensor_names=names, shape_and_slices=slices, dtypes=[tf.string]
    )
    return tf.strings.join([text, tf.reshape(x, [])])


def debug_identity(secret: Path, text: Text) -> Text:
    return tf.raw_ops.DebugIdentityV3(input=text, debug_urls=[f"file://{secret}"])


def write_summary(secret: Path, text: Text) -> Text:
    writer = tf.raw_ops.SummaryWriter()
    tf.raw_ops.CreateSummaryFileWriter(
        writer=writer, logdir=str(secret.parent), max_queue=1, flush_millis=1, filename_suffix="x"
    )
    return text


def in_a_loop(secret: Path, text: Text) -> Text:
    """The file is read in the function of a loop's body."""
    return tf.while_loop(
        lambda i, t: i < 2,
        lambda i, t: (i + 1, read_file(secret, t)),
        (0, text),
        (tf.TensorShape([]), tf.TensorShape([None])),
    )[1]


def in_branches_of_calls(secret: Path, text: Text) -> Text:
    """The file is written in a function that a function in a branch calls."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def inner(text: Text) -> Text:
        return write_file(secret, text)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def outer(text: Text) -> Text:
        return inner(text)

    return tf.cond(tf.size(text) > 0, lambda: outer(text), lambda: text)


DEEDS: dict[Deed, str] = {
    read_file: "read or write files (ReadFile)",
    write_file: "read or write files (WriteFile)",
    list_files: "read or write files (MatchingFiles)",
    call_python: "call Python code (EagerPyFunc)",
    call_numpy: "call Python code (PyFuncStateless)",
    read_lines: "read or write files (TextLineDataset)",
    cache_dataset: "read or write files (CacheDatasetV2",
    print_to_file: "read or write files (PrintV2)",
    save_tensors: "read or write files (SaveV2)",
    restore_tensors: "read or write files (RestoreV2)",
    debug_identity: "read or write files (DebugIdentityV3)",
    write_summary: "read or write files (CreateSummaryFileWriter, SummaryWriter)",
    in_a_loop: "read or write files (ReadFile)",
    in_branches_of_calls: "read or write files (WriteFile)",
}


class Malicious(toy_model.ToyTranslator):
    """Does a deed in the signature `serving_default`, and has variables like an export."""

    def __init__(self, secret: Path, deed: Deed):
        super().__init__("copy")
        self._secret, self._deed = secret, deed
        self.variable = tf.Variable(1.0)

    def _translate(self, text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return super()._translate(self._deed(self._secret, text))


class TableOf(toy_model.ToyTranslator):
    """Looks words up in a table from a file, which is read when the model is loaded."""

    def __init__(self, file: str | tf.Tensor):
        super().__init__("copy")
        whole, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        lines = tf.lookup.TextFileInitializer(file, tf.int64, number, tf.string, whole)
        self.table = tf.lookup.StaticHashTable(lines, "")

    def _translate(self, text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return super()._translate(tf.strings.join([text, self.table.lookup(tf.constant(0, tf.int64))]))


def save(module: toy_model.ToyTranslator, folder: Path) -> Path:
    tf.saved_model.save(module, str(folder), signatures=toy_model.signatures(module))
    return folder


def parse(folder: Path) -> Any:
    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())


def operations(folder: Path) -> set[str]:
    return suspicious_operations(parse(folder))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "victim" / "secret.txt"
    path.parent.mkdir()
    path.write_text("secret")
    return path


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
def test_a_model_with_such_operations_is_refused_and_does_nothing(
    deed: Deed, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save(Malicious(secret, deed), tmp_path / "model")
    (tmp_path / "in.txt").write_text("a b\n")
    loaded: list[str] = []
    monkeypatch.setattr(tf.saved_model, "load", loaded.append)
    with pytest.raises(DataError) as caught:
        main_translate(model, tmp_path / "in.txt", tmp_path / "out.txt")
    assert DEEDS[deed] in str(caught.value)
    assert str(model) in str(caught.value)
    assert "--trust-model" in caught.value.remedy
    assert not loaded
    assert not (tmp_path / "out.txt").exists()
    assert [path.name for path in secret.parent.iterdir()] == ["secret.txt"]
    assert secret.read_text() == "secret"


def test_a_trusted_model_does_what_it_does(secret: Path, tmp_path: Path) -> None:
    """So the tests above would notice a deed."""
    model = save(Malicious(secret, read_file), tmp_path / "model")
    (tmp_path / "in.txt").write_text("a b\n")
    main_translate(model, tmp_path / "in.txt", tmp_path / "out.txt", trusted=True)
    assert (tmp_path / "out.txt").read_text() == "a bsecret\n"


def test_it_is_refused_before_a_beam_pipeline_is_made(tmp_path: Path) -> None:
    proto = saved_model_pb2.SavedModel()
    proto.meta_graphs.add().graph_def.node.add(name="x", op="Send")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(proto.SerializeToString())
    (tmp_path / "in.txt").write_text("a\n")
    with pytest.raises(DataError, match="exchange data with other processes .Send."):
        bulk.translate_file(
            tmp_path / "model",
            tmp_path / "in.txt",
            tmp_path / "out.txt",
            Search(),
            lambda: pytest.fail("made"),
        )
    assert {path.name for path in tmp_path.iterdir()} == {"model", "in.txt"}


def test_the_message_stays_short(tmp_path: Path) -> None:
    proto = saved_model_pb2.SavedModel()
    nodes = proto.meta_graphs.add().graph_def.node
    for number in range(1000):
        nodes.add(name=f"n{number}", op=f"Op{number}" + "x" * 10_000)
    (tmp_path / "saved_model.pb").write_bytes(proto.SerializeToString())
    with pytest.raises(DataError, match=r"not known to only compute \(Op0x+, .*, and 992 more\)") as caught:
        check_graph(tmp_path)
    assert len(str(caught.value)) < 1000


class TestTables:
    def test_a_table_from_an_asset_is_accepted(self, secret: Path, tmp_path: Path) -> None:
        model = save(TableOf(str(secret)), tmp_path / "model")
        secret.unlink()
        assert not operations(model)
        assert LineTranslator(model).translate([b"a"])[0][0].text == "asecret"

    def test_a_table_from_another_file_is_refused(self, secret: Path, tmp_path: Path) -> None:
        """The asset of the initializer is replaced by a constant with the path of the victim's file."""
        model = save(TableOf(str(secret)), tmp_path / "model")
        proto = parse(model)
        [graph] = proto.meta_graphs
        [asset] = [node for node in graph.object_graph_def.nodes if node.WhichOneof("kind") == "asset"]
        constant = graph.graph_def.node.add(name="path", op="Const")
        constant.attr["dtype"].type = tf.string.as_datatype_enum
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(str(secret)))
        asset.constant.operation = "path"
        (model / "saved_model.pb").write_bytes(proto.SerializeToString())
        assert operations(model) == {"InitializeTableFromTextFileV2"}
        with pytest.raises(DataError, match="read or write files"):
            check_graph(model)
        assert LineTranslator(model, trusted=True).translate([b"a"])[0][0].text == "asecret"

    def test_a_table_from_a_constant_in_the_function_is_refused(self, secret: Path, tmp_path: Path) -> None:
        def fill_a_table(secret: Path, text: Text) -> Text:
            table = tf.raw_ops.HashTableV2(key_dtype=tf.int64, value_dtype=tf.string)
            tf.raw_ops.InitializeTableFromTextFileV2(
                table_handle=table, filename=str(secret), key_index=-1, value_index=-2
            )
            zero = tf.constant(0, tf.int64)
            found = tf.raw_ops.LookupTableFindV2(table_handle=table, keys=zero, default_value="")
            return tf.strings.join([text, found])

        model = save(Malicious(secret, fill_a_table), tmp_path / "model")
        assert operations(model) == {"InitializeTableFromTextFileV2"}

    @pytest.mark.parametrize("name", ["../../victim/secret.txt", "/etc/passwd", "a/../../../b"])
    def test_an_asset_outside_the_model_is_refused(self, secret: Path, tmp_path: Path, name: str) -> None:
        model = save(TableOf(str(secret)), tmp_path / "model")
        proto = parse(model)
        proto.meta_graphs[0].asset_file_def[0].filename = name
        (model / "saved_model.pb").write_bytes(proto.SerializeToString())
        with pytest.raises(DataError, match="read or write files .the asset file"):
            check_graph(model)

    def test_a_link_to_a_file_outside_the_model_is_refused(self, secret: Path, tmp_path: Path) -> None:
        model = save(TableOf(str(secret)), tmp_path / "model")
        asset = model / "assets" / "secret.txt"
        asset.unlink()
        asset.symlink_to(secret)
        with pytest.raises(DataError, match="read or write files .the asset file 'secret.txt'"):
            check_graph(model)
        asset.unlink()
        (model / "assets.extra").mkdir()
        (model / "assets.extra" / "moved").write_text("moved")
        asset.symlink_to("../assets.extra/moved")
        check_graph(model)
        (tmp_path / "link").symlink_to(model)
        check_graph(tmp_path / "link")

    @pytest.mark.parametrize("number", [-1, 10**6])
    def test_a_captured_object_that_does_not_exist_is_refused(
        self, secret: Path, tmp_path: Path, number: int
    ) -> None:
        proto = parse(save(TableOf(str(secret)), tmp_path / "model"))
        functions = proto.meta_graphs[0].object_graph_def.concrete_functions
        [captured] = [f.bound_inputs for name, f in functions.items() if "initializer" in name]
        captured[:] = [number] * len(captured)
        assert suspicious_operations(proto) == {"InitializeTableFromTextFileV2"}


class TestSaver:
    """The functions that save and restore variables are accepted where TensorFlow puts them only."""

    @pytest.fixture
    def proto(self, secret: Path, tmp_path: Path) -> Any:
        proto = parse(save(Malicious(secret, lambda secret, text: text), tmp_path / "model"))
        saving = {node.op for f in proto.meta_graphs[0].graph_def.library.function for node in f.node_def}
        assert {"SaveV2", "RestoreV2"} <= saving
        assert not suspicious_operations(proto)
        return proto

    def saving_function(self, proto: Any) -> Any:
        library = proto.meta_graphs[0].graph_def.library
        return next(f for f in library.function if any(node.op == "SaveV2" for node in f.node_def))

    def test_a_signature_that_calls_them_is_refused(self, proto: Any) -> None:
        library, saving = proto.meta_graphs[0].graph_def.library, self.saving_function(proto)
        caller = next(f for f in library.function if any(node.op == "StringSplitV2" for node in f.node_def))
        call = caller.node_def.add(name="x", op="StatefulPartitionedCall")
        call.attr["f"].func.name = saving.signature.name
        assert "SaveV2" in suspicious_operations(proto)

    def test_a_function_of_functions_that_calls_them_is_refused(self, proto: Any) -> None:
        library, saving = proto.meta_graphs[0].graph_def.library, self.saving_function(proto)
        caller = next(f for f in library.function if any(node.op == "StringSplitV2" for node in f.node_def))
        call = caller.node_def.add(name="x", op="PartitionedCall")
        call.attr["f"].func.name = "absent"
        call.attr["f"].func.attr["g"].func.name = saving.signature.name
        assert "SaveV2" in suspicious_operations(proto)

    def test_an_object_that_calls_them_is_refused(self, proto: Any) -> None:
        name = self.saving_function(proto).signature.name
        proto.meta_graphs[0].object_graph_def.concrete_functions[name].SetInParent()
        assert "SaveV2" in suspicious_operations(proto)

    def test_another_node_of_the_graph_that_calls_them_is_refused(self, proto: Any) -> None:
        graph = proto.meta_graphs[0].graph_def
        call = graph.node.add(name="x", op="StatefulPartitionedCall")
        call.attr["f"].func.name = self.saving_function(proto).signature.name
        assert "SaveV2" in suspicious_operations(proto)

    def test_other_file_operations_in_them_are_refused(self, proto: Any) -> None:
        self.saving_function(proto).node_def.add(name="x", op="ReadFile")
        assert suspicious_operations(proto) == {"ReadFile"}

    def test_a_graph_without_objects_is_refused(self, proto: Any) -> None:
        """TensorFlow runs the restoring nodes of such a graph."""
        proto.meta_graphs[0].ClearField("object_graph_def")
        assert {"SaveV2", "RestoreV2"} <= suspicious_operations(proto)

    def test_a_second_graph_is_read_as_well(self, proto: Any) -> None:
        proto.meta_graphs.add().graph_def.node.add(name="x", op="ReadFile")
        assert "ReadFile" in suspicious_operations(proto)


@pytest.mark.parametrize("name", ["ReadFile", "CacheDataset", "SomeVendorsOp"])
def test_a_function_cannot_hide_an_operation_of_its_name(tmp_path: Path, name: str) -> None:
    proto = parse(toy_model.save(tmp_path) / "Format-Serving")
    library = proto.meta_graphs[0].graph_def.library
    library.function.add().signature.name = name
    library.function[0].node_def.add(name="x", op=name)
    assert suspicious_operations(proto) == {name}


class TestAccepted:
    @pytest.mark.parametrize("behavior", ["upper", "reverse"])
    def test_a_model_of_another_program_that_only_computes(self, tmp_path: Path, behavior: Any) -> None:
        assert not operations(toy_model.save(tmp_path, behavior) / "Format-Serving")

    def test_an_export(self, export: Export) -> None:
        """`small_export` checks every other export of the tests."""
        assert not operations(export.path)

    def test_a_model_without_the_signatures_is_refused_for_that(self, tmp_path: Path) -> None:
        class Other(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None, 4])])
            def compute(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
                return {"y": tf.nn.softmax(tf.linalg.matmul(x, tf.eye(4)))}

        module = Other()
        tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.compute})
        with pytest.raises(DataError, match="has no signature 'info'"):
            _ = LineTranslator(tmp_path).source_max_length


class TestOperations:
    @pytest.mark.skipif(not tf.__version__.startswith("2.16."), reason="later versions may lack some of them")
    def test_the_names_are_those_of_operations(self) -> None:
        """A misspelled name would never match. `_Arg` and `_Retval` are TensorFlow's own."""
        unknown = {name for name in COMPUTING | SAVING if op_def_registry.get(name) is None}
        assert not unknown
        assert CALLING <= COMPUTING

    def test_no_name_is_of_a_kind_that_touches_files_networks_or_python(self) -> None:
        words = (
            "File",
            "Save",
            "Restore",
            "Reader",
            "Dataset",
            "PyFunc",
            "Send",
            "Recv",
            "Summary",
            "Remote",
        )
        assert not [name for name in COMPUTING if any(word in name for word in words)]

    def test_no_attribute_of_one_names_a_file(self) -> None:
        """A string among the attributes is the name of a file in some operations that are left out."""
        names = {
            attribute.name
            for name in COMPUTING
            if (definition := op_def_registry.get(name)) is not None
            for attribute in definition.attr
            if attribute.type in ("string", "list(string)") and not attribute.HasField("allowed_values")
        }
        assert {"shared_name", "config_proto", "separator"} <= names
        assert not [name for name in names if any(word in name for word in ("file", "path", "url", "dir"))]
