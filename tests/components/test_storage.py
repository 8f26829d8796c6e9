"""Remote files: what `storage` does with an S3 server, and its errors."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import pytest

from bitext.components.shared import addresses, files, reading, storage
from bitext.components.shared.errors import ConfigError, EnvironmentFault
from tests.object_store import bucket, s3_address

__all__ = ["bucket", "s3_address"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two files, one in a subfolder."""
    (tmp_path / "local" / "Split-train").mkdir(parents=True)
    (tmp_path / "local" / "a b.txt").write_bytes(b"one")
    (tmp_path / "local" / "Split-train" / "x#y?[1].gz").write_bytes(b"two" * 1000)
    return tmp_path / "local"


def test_a_local_path_is_a_plain_path() -> None:
    assert type(storage.path("data/x")) is type(Path())
    assert not storage.is_remote("data/x")


def test_what_is_uploaded_is_downloaded_with_the_same_digest(
    folder: Path, bucket: str, tmp_path: Path
) -> None:
    target = storage.path(f"{bucket}/root/x")
    storage.upload(folder, target)
    assert [file.relative_to(target).as_posix() for file in storage.files_below(target)] == [
        "Split-train/x#y?[1].gz",
        "a b.txt",
    ]
    assert files.folder_digest(target) == files.folder_digest(folder)
    assert files.tree_size(target) == files.tree_size(folder) == 3003
    storage.download(target, tmp_path / "copy")
    assert files.folder_digest(tmp_path / "copy") == files.folder_digest(folder)
    storage.download(target, tmp_path / "part", ["Split-train"])
    assert [path.name for path in storage.files_below(tmp_path / "part")] == ["x#y?[1].gz"]


def test_an_upload_replaces_what_an_earlier_one_left(folder: Path, bucket: str) -> None:
    target = storage.path(f"{bucket}/root/x")
    (target / "left.txt").write_bytes(b"")
    storage.upload(folder, target)
    assert files.folder_digest(target) == files.folder_digest(folder)


def test_a_folder_is_moved_and_removed(folder: Path, bucket: str) -> None:
    source, target = storage.path(f"{bucket}/x"), storage.path(f"{bucket}/.moved/x")
    storage.upload(folder, source)
    storage.upload(folder, storage.path(f"{bucket}/xy"))
    storage.move(source, target)
    assert not source.is_dir()
    assert files.folder_digest(target) == files.folder_digest(folder)
    storage.remove(target)
    storage.remove(target)
    assert not target.is_dir()
    assert storage.path(f"{bucket}/xy").is_dir()


def test_of_several_processes_one_creates_a_file(bucket: str) -> None:
    file, created = storage.path(f"{bucket}/lock"), []
    threads = [
        threading.Thread(target=lambda n=n: created.append((storage.create(file, str(n).encode()), n)))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [winner] = [number for is_created, number in created if is_created]
    assert file.read_bytes() == str(winner).encode()


def test_patterns_match_as_those_of_local_files(folder: Path, bucket: str) -> None:
    storage.upload(folder, storage.path(f"{bucket}/data"))
    assert reading.matching_files(f"{bucket}/data/*.txt") == [f"{bucket}/data/a b.txt"]
    assert reading.matching_files(f"{bucket}/data/**/*.gz") == [f"{bucket}/data/Split-train/x#y?[1].gz"]
    assert reading.matching_files(f"{bucket}/none/*") == []
    assert b"".join(reading.read_chunks(f"{bucket}/data/a b.txt", 2)) == b"one"


def test_the_fingerprint_follows_the_content(bucket: str) -> None:
    file = storage.path(f"{bucket}/a")
    file.write_bytes(b"1")
    before = storage.fingerprint(str(file))
    file.write_bytes(b"1")
    assert storage.fingerprint(str(file)) == before
    file.write_bytes(b"2")
    assert storage.fingerprint(str(file)) != before


def test_a_path_can_be_sent_to_a_worker(bucket: str) -> None:
    file = storage.path(f"{bucket}/a")
    pickle.loads(pickle.dumps(file)).write_bytes(b"1")
    assert file.read_bytes() == b"1"


def test_a_listing_shows_what_another_process_has_written(bucket: str) -> None:
    first, second = storage.path(f"{bucket}/x"), storage.path(f"{bucket}/x")
    assert list(first.glob("*")) == []
    (second / "a").write_bytes(b"1")
    assert [file.name for file in first.glob("*")] == ["a"]


@pytest.mark.parametrize(
    ("address", "message", "remedy"),
    [
        ("nowhere://a/b", "nowhere:// is no known file system", "use a local path or s3://"),
        ("abfs://a/b", "the package for abfs:// is not installed", "pip install 'bitext[azure]'"),
        ("gs://a/b", "the package for gs:// is not installed", "pip install 'bitext[gcs]'"),
    ],
)
def test_an_unknown_file_system_and_a_missing_package(address: str, message: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        storage.path(address)
    assert remedy in caught.value.remedy


def test_a_server_that_does_not_answer_is_a_fault(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(EnvironmentFault, match="Could not connect to the endpoint URL") as caught:
        storage.matching(f"{bucket}/*")
    assert "check the address, the network and the credentials" in caught.value.remedy


def test_a_bucket_that_does_not_exist_is_a_fault(bucket: str, folder: Path) -> None:
    with pytest.raises((EnvironmentFault, FileNotFoundError), match="bucket"):
        storage.upload(folder, storage.path(f"{bucket}x/y"))


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("s3://bucket/pipelines/a b%20#ü", ""),
        ("s3://bucket", ""),
        ("s3://bucket/x/", ""),
        ("hdfs://ann@host:8020/x", ""),
        ("abfs://container@account.dfs.core.windows.net/x", ""),
        ("s3://KEY:SECRET@bucket/x", "has a password"),
        ("S3://bucket/x", "which is written s3://"),
        ("s3://", "names no bucket"),
        ("s3://bucket/x*", "the character *"),
        ("s3://bucket/a[1]", "the character [ ]"),
        ("s3://bucket//x", "has a part that is empty"),
        ("s3://bucket/a/../b", "has a part that is empty"),
    ],
)
def test_addresses_of_folders(address: str, problem: str) -> None:
    found = addresses.folder_problem(address)
    assert problem in found
    assert bool(found) == bool(problem)
    assert "SECRET" not in found


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="has a password") as caught:
        storage.path("s3://KEY:SECRET@bucket/x")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("name", ["a b%20ü", "a#b", "x.y/z"])
def test_a_folder_with_any_name(name: str, folder: Path, bucket: str) -> None:
    root = storage.path(f"{bucket}/{name}")
    storage.upload(folder, root / "n" / "1")
    assert [str(path) for path in (root / "n").glob("*")] == [f"{bucket}/{name}/n/1"]
    storage.move(root / "n" / "1", root / "n" / "2")
    assert files.folder_digest(root / "n" / "2") == files.folder_digest(folder)
    storage.remove(root)
    assert storage.files_below(storage.path(bucket)) == []


def test_a_file_that_is_replaced_all_the_time_is_read_whole(bucket: str) -> None:
    file, stop = storage.path(f"{bucket}/lease"), threading.Event()
    contents = [bytes([letter]) * 1000 for letter in b"abc"]
    file.write_bytes(contents[0])

    def replace() -> None:
        own = storage.path(str(file))
        while not stop.is_set():
            for content in contents:
                own.write_bytes(content)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        assert all(storage.read(file) in contents for _ in range(100))
    finally:
        stop.set()
        thread.join()
