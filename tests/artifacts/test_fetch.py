"""A predictor from a URL: fetched once, verified, kept by its digest, and refused with the reason."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

import tiny_predictor
from hosted import hosted
from tradewind.artifacts import download, predictor
from tradewind.artifacts.predictor import Predictors
from tradewind.errors import InvalidPredictor, UsageError


@pytest.fixture
def own(tmp_path: Path) -> predictor.Artifact:
    """A predictor of one's own, in a folder that can be served."""
    return predictor.read(tiny_predictor.write(tmp_path / "site" / "own", steepness=2.0))


def test_it_is_fetched_once_and_then_read_from_where_it_is_kept(tmp_path: Path, own: predictor.Artifact) -> None:
    cache = tmp_path / "cache"
    with hosted(tmp_path / "site") as site:
        url = f"{site.url}/own/predictor.onnx"
        found = predictor.fetch(url, own.digest, cache)
        assert (found.digest, found.profiles) == (own.digest, own.profiles)
        assert site.asked == ["/own/predictor.onnx", "/own/manifest.json"]
    assert predictor.fetch(url, own.digest.removeprefix("sha256:"), cache) == found, "the site is gone"
    assert [entry.name for entry in cache.iterdir()] == [own.digest.removeprefix("sha256:")]


def test_what_is_kept_is_verified_and_fetched_again_where_it_is_broken(tmp_path: Path, own: predictor.Artifact) -> None:
    cache = tmp_path / "cache"
    with hosted(tmp_path / "site") as site:
        url = f"{site.url}/own/predictor.onnx"
        kept = predictor.fetch(url, own.digest, cache)
        (kept.folder / predictor.GRAPH).write_bytes(b"torn")
        assert predictor.kept(own.digest, cache) is None
        assert predictor.fetch(url, own.digest, cache) == kept
        assert site.asked.count("/own/predictor.onnx") == 2


def test_the_file_may_have_any_name(tmp_path: Path, own: predictor.Artifact) -> None:
    (own.folder / predictor.GRAPH).rename(own.folder / "v7.onnx")
    with hosted(tmp_path / "site") as site:
        found = predictor.fetch(f"{site.url}/own/v7.onnx", own.digest, tmp_path / "cache")
    assert found.graph == own.graph


def test_what_is_not_what_was_meant_is_refused_and_not_kept(tmp_path: Path, own: predictor.Artifact) -> None:
    cache = tmp_path / "cache"
    with hosted(tmp_path / "site") as site:
        url = f"{site.url}/own/predictor.onnx"
        with pytest.raises(InvalidPredictor, match=f"is `{own.digest}`, not `sha256:0{{64}}`"):
            predictor.fetch(url, "0" * 64, cache)
        with pytest.raises(UsageError, match="answered 404"):
            predictor.fetch(url + ".gz", own.digest, cache)
        manifest = json.loads((own.folder / predictor.MANIFEST).read_text())
        (own.folder / predictor.MANIFEST).write_text(json.dumps({**manifest, "digest": "sha256:1"}))
        with pytest.raises(InvalidPredictor, match="its manifest says `sha256:1`"):
            predictor.fetch(url, own.digest, cache)
        (own.folder / predictor.MANIFEST).unlink()
        with pytest.raises(UsageError, match=r"manifest\.json cannot be fetched"):
            predictor.fetch(url, own.digest, cache)
    assert list(cache.glob("*")) == []


def test_a_file_that_is_too_large_is_left_alone(tmp_path: Path, own: predictor.Artifact) -> None:
    with hosted(tmp_path / "site") as site, pytest.raises(UsageError, match="larger than 1000 bytes"):
        download.fetch(f"{site.url}/own/predictor.onnx", 1000)


def test_a_redirect_leads_to_no_file_of_ours(tmp_path: Path, own: predictor.Artifact) -> None:
    redirects = {"/moved": "/own/predictor.onnx", "/passwd": "file:///etc/passwd", "/ftp": "ftp://127.0.0.1/a"}
    with hosted(tmp_path / "site", redirects) as site:
        assert download.fetch(f"{site.url}/moved", 1 << 20) == own.graph[: 1 << 20]
        for path in ("/passwd", "/ftp"):
            with pytest.raises(UsageError, match="cannot be fetched"):
                download.fetch(site.url + path, 1 << 20)
    with pytest.raises(UsageError, match="unknown url type"):
        download.fetch("file:///etc/passwd", 1 << 20)


def test_the_url_of_another_reaches_neither_this_machine_nor_its_metadata(tmp_path: Path, own: predictor.Artifact) -> None:
    with hosted(tmp_path / "site") as site, pytest.raises(UsageError, match=r"127\.0\.0\.1 is not a place"):
        predictor.fetch(f"{site.url}/own/predictor.onnx", own.digest, tmp_path / "cache", download.beyond_this_machine)
    for near in ("127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1"):
        assert not download.beyond_this_machine(ip_address(near)), near
    for far in ("10.0.0.1", "192.0.2.1", "2001:db8::1"):
        assert download.beyond_this_machine(ip_address(far)), far


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that gives one answer, whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/a"
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", b"nonsense\r\n\r\n", b""],
    ids=["torn", "nonsense", "silence"],
)
def test_an_answer_that_breaks_off_is_a_reason(answer: bytes) -> None:
    with answering(answer) as url, pytest.raises(UsageError, match="cannot be fetched"):
        download.fetch(url, 1 << 20)


def test_predictors_are_named_by_digest(tmp_path: Path, own: predictor.Artifact) -> None:
    default = predictor.read(tiny_predictor.write(tmp_path / "default"))
    all_of_them = Predictors(default, {own.digest: own, default.digest: default})
    assert all_of_them.named(default.digest) is default
    assert all_of_them.named(own.digest) is own
    assert all_of_them.named("sha256:0") is None
    assert all_of_them.graphs == [default.graph, own.graph]
