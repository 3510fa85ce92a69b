"""The engine store with real ONNX Runtime engines: signatures, swaps, roll-back, locks, a disk that is full."""

import datetime
import json
import multiprocessing
import os
import resource
import signal
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

import engines
from engines.errors import BuildError, StoreError
from engines.golden import load_golden
from engines.load import load_engine
from engines.manifest import load_manifest, write_manifest
from engines.store.entry import this_machine
from engines.store.folder import ENTRY, MANIFEST, SIGNATURE, EngineStore, Stored, verify
from engines.store.keys import KeyRing
from engines.store.offer import Offer, offer_onnx

GATE = Path(engines.__file__).parent / "models" / "gate.yaml"


def offered(store: EngineStore, **changed: Any) -> Stored:
    return offer_onnx(store, replace(Offer(GATE, runs=3), **changed))


def golden(path: Path, labels: list[int], seed: int = 0) -> Path:
    pictures = np.random.default_rng(seed).normal(size=(len(labels), 3, 144, 192)).astype(np.float32)
    np.savez(path, pictures=pictures, labels=np.array(labels))
    return path


def answers(pictures: Any) -> list[int]:
    """What the gate says of the pictures."""
    engine = load_engine(GATE)
    said = []
    for picture in pictures:
        engine.input[0] = picture
        engine.run()
        said.append(int(engine.scores.argmax()))
    return said


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in root.rglob("*")
        if p.is_file() and "locks" not in p.parts
    }


def test_an_engine_is_stored_signed_activated_and_loaded_by_name(store: EngineStore) -> None:
    stored = offered(store)
    assert store.active_id("twin-gate") is None
    store.activate(stored.id)
    path = store.active("twin-gate")
    assert path == store.root / "entries" / stored.id / MANIFEST
    engine = load_engine(path)
    plain = load_engine(GATE)
    picture = np.random.default_rng(1).normal(size=plain.input.shape).astype(np.float32)
    for each in (engine, plain):
        each.input[:] = picture
        each.run()
    assert np.array_equal(engine.scores, plain.scores)
    entry = verify(path.parent, store.keys)
    assert entry.measured.latency_p50_ms > 0 and entry.target == this_machine("onnxruntime")


def test_the_key_names_everything_that_makes_an_engine_this_one(store: EngineStore, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("schema: 1\n")
    first, again, planned = offered(store), offered(store), offered(store, plan=plan)
    assert first.entry.key == again.entry.key and first.id != again.id
    assert planned.entry.key != first.entry.key


def test_the_private_key_is_private_and_never_said(store: EngineStore) -> None:
    path = store.keys.private_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = path.read_text().splitlines()[1]
    stored = offered(store)
    assert all(secret.encode() not in content for content in tree(store.root).values())
    assert secret not in repr(store.keys.signer()) and stored.id not in secret
    with pytest.raises(StoreError, match="there is a signing key already"):
        store.keys.create()
    path.chmod(0o640)
    with pytest.raises(StoreError, match=r"mode 0640.*expected 0600"):
        store.keys.signer()


def test_without_keys_nothing_is_stored_and_no_key_is_made(tmp_path: Path) -> None:
    store = EngineStore(tmp_path / "store", KeyRing(tmp_path / "keys"))
    with pytest.raises(StoreError, match="edge engines store keys create"):
        offered(store)
    assert not (tmp_path / "keys").exists() and tree(tmp_path) == {}


@pytest.mark.parametrize("file", [ENTRY, SIGNATURE, MANIFEST, "gate.onnx"])
@pytest.mark.parametrize("damage", ["changed", "truncated", "gone", "empty"])
def test_a_damaged_entry_is_refused_with_a_word_what_to_do(
    store: EngineStore, file: str, damage: str
) -> None:
    stored = offered(store)
    store.activate(stored.id)
    path = stored.folder / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"changed": bytes(content), "truncated": bytes(content[:-9]), "empty": b""}[damage])
    with pytest.raises(StoreError, match=r"again|rollback"):
        store.active("twin-gate")
    if file != ENTRY or damage != "gone":
        with pytest.raises(StoreError):
            load_engine(stored.folder / MANIFEST)


def test_a_signature_of_a_key_that_is_not_trusted_is_refused(store: EngineStore, tmp_path: Path) -> None:
    stored = offered(store)
    key = store.keys.signer().id
    store.keys.distrust(key)
    with pytest.raises(StoreError, match=f"key {key}, which is not trusted here .*keys trust {key}.pub"):
        load_engine(stored.folder / MANIFEST)
    foreign = KeyRing(tmp_path / "foreign")
    other = foreign.create()
    seal = json.loads((stored.folder / SIGNATURE).read_text())
    (stored.folder / SIGNATURE).write_text(json.dumps({**seal, "key": other}))
    store.keys.trust(foreign.trusted_folder / f"{other}.pub")
    with pytest.raises(StoreError, match="not of this content"):
        load_engine(stored.folder / MANIFEST)


def test_a_public_key_travels_to_the_line(store: EngineStore, tmp_path: Path) -> None:
    stored = offered(store)
    line = EngineStore(store.root, KeyRing(tmp_path / "line-keys"))
    with pytest.raises(StoreError, match="trusted: none"):
        line.activate(stored.id)
    key = store.keys.signer().id
    assert line.keys.trust(store.keys.trusted_folder / f"{key}.pub") == key
    line.activate(stored.id)
    assert line.active("twin-gate").is_file()
    with pytest.raises(StoreError, match="cannot be read"):
        line.keys.signer()  # a line that trusts need not be able to sign


def test_foreign_key_files_are_refused(store: EngineStore, tmp_path: Path) -> None:
    rsa = generate_private_key(65537, 2048)
    path = tmp_path / "rsa.pub"
    pem, kind = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(rsa.public_key().public_bytes(pem, kind))
    with pytest.raises(StoreError, match="no Ed25519 key"):
        store.keys.trust(path)
    path.write_text("nothing")
    with pytest.raises(StoreError, match="no public key"):
        store.keys.trust(path)
    with pytest.raises(StoreError, match="is not trusted here"):
        store.keys.distrust("0" * 16)
    store.keys.private_path.write_text("nothing")
    with pytest.raises(StoreError, match="is no private key"):
        store.keys.signer()


def test_another_device_or_release_is_refused(store: EngineStore) -> None:
    stored = offered(store)
    here = this_machine("onnxruntime")
    orin = here.model_copy(update={"gpu": "Orin", "sm": "8.7", "version": "10.3.0"})
    with pytest.raises(
        StoreError, match=r"version: built for '.*', here '10\.3\.0'; gpu: built for '', here 'Orin'"
    ):
        store.activate(stored.id, orin)


def test_roll_back_goes_step_by_step_past_what_does_not_verify(store: EngineStore) -> None:
    first, second, third = (offered(store) for _ in range(3))
    for stored in (first, second, third):
        store.activate(stored.id)
    (second.folder / "gate.onnx").write_bytes(b"damaged")
    assert store.rollback("twin-gate").id == first.id == store.active_id("twin-gate")
    with pytest.raises(StoreError, match="nothing to roll back to"):
        store.rollback("twin-gate")
    assert store.active_id("twin-gate") == first.id
    with pytest.raises(StoreError, match="no other engine was active before"):
        store.rollback("unknown")


def test_a_worse_engine_is_not_activated_by_accident(store: EngineStore, tmp_path: Path) -> None:
    path = golden(tmp_path / "g.npz", [0] * 8)
    right = answers(load_golden(path).pictures)
    good = load_golden(golden(path, right))
    better = offered(store, golden=good)
    assert better.entry.measured.golden_accuracy == 1.0 and better.entry.measured.golden_parts == 8
    store.activate(better.id)
    draft = better.entry.model_copy(
        update={"measured": better.entry.measured.model_copy(update={"golden_accuracy": 0.875})}
    )
    files = {name: (better.folder / name).read_bytes() for name in better.entry.files}
    fields = draft.model_dump(by_alias=True, exclude={"key", "files"})
    from engines.store.entry import Draft

    worse = store.add(Draft(**fields), files, store.keys.signer())
    with pytest.raises(StoreError, match=r"87\.50% of the golden set, the active engine has 100\.00%"):
        store.activate(worse.id)
    assert store.active_id("twin-gate") == better.id
    store.activate(worse.id, even_if_worse=True)
    assert store.active_id("twin-gate") == worse.id


def test_garbage_collection_keeps_what_may_be_needed(store: EngineStore) -> None:
    stored = [offered(store) for _ in range(6)]
    for item in stored[1:5]:
        store.activate(item.id)
    stale = store.root / "staging" / "left-by-a-crash"
    stale.mkdir()
    removed = store.collect(keep=2)
    assert removed == [stored[0].id, stored[1].id]  # never active and older; active too long ago
    assert [item.id for item in store.entries()] == [item.id for item in stored[2:]]
    assert store.active("twin-gate").is_file() and not stale.exists()


def test_two_builders_of_one_engine_do_not_meet(store: EngineStore) -> None:
    stored = offered(store)
    with store.building(stored.entry.key):
        with pytest.raises(StoreError, match="another process is at it"):
            offered(store)
        with store.building("f" * 64):  # another engine may be built meanwhile
            pass
        with pytest.raises(StoreError, match="another process is at it"):
            store.collect()
        store.activate(stored.id)  # and what is there goes on serving
    assert len(store.entries()) == 1


def _fill_disk(root: Path, limit: int, result: Any) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        offered(EngineStore(root))
        result.put("stored")
    except StoreError as error:
        result.put(str(error))


@pytest.mark.parametrize("limit", [100, 100_000])
def test_a_full_disk_leaves_nothing_half(store: EngineStore, limit: int) -> None:
    """The kernel refuses to write more than ``limit`` bytes to a file: of the first, or of the model."""
    kept = offered(store)
    store.activate(kept.id)
    before = tree(store.root)
    context = multiprocessing.get_context("fork")
    result = context.Queue()
    process = context.Process(target=_fill_disk, args=(store.root, limit, result))
    process.start()
    said = result.get(timeout=60)
    process.join()
    assert "no room for" in said and "what is active stays" in said
    assert tree(store.root) == before and not list(store.root.glob("staging/*"))
    assert store.active("twin-gate").is_file()


def test_a_store_that_may_not_be_written_says_so(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    keys = KeyRing(tmp_path / "keys")
    keys.create()
    with pytest.raises(StoreError, match="EDGE_STORE"):
        offered(EngineStore(path / "below", keys))


def test_a_tensorrt_engine_outside_the_store_is_refused(tmp_path: Path) -> None:
    manifest = load_manifest(GATE)
    (tmp_path / manifest.file).write_bytes(manifest.model_path.read_bytes())
    precision = manifest.precision.model_copy(update={"scheme": "tensorrt"})
    write_manifest(manifest.model_copy(update={"precision": precision}), tmp_path / "gate.yaml")
    with pytest.raises(BuildError, match="outside the engine store"):
        load_engine(tmp_path / "gate.yaml")


def test_ambiguous_and_unknown_ids_are_refused(store: EngineStore) -> None:
    stored = offered(store)
    offered(store)
    assert store.find(stored.id).id == stored.id
    with pytest.raises(StoreError, match="give more of its id"):
        store.find("twin-gate-")
    with pytest.raises(StoreError, match="expected one entry"):
        store.find("nothing")
    with pytest.raises(StoreError, match=r"no active engine of this name .*active: none"):
        store.active("twin-gate")


def test_links_are_swapped_and_never_absent(store: EngineStore) -> None:
    """A reader that looks all the time while the engine is swapped never finds none."""
    first, second = offered(store), offered(store)
    store.activate(first.id)
    context = multiprocessing.get_context("fork")
    stop, missing = context.Event(), context.Value("i", 0)

    def look() -> None:
        while not stop.is_set():
            if store.active_id("twin-gate") not in (first.id, second.id):
                missing.value += 1

    reader = context.Process(target=look)
    reader.start()
    for stored in [second, first] * 10:
        store.activate(stored.id)
    stop.set()
    reader.join()
    assert missing.value == 0


def test_the_time_of_making_is_utc(store: EngineStore) -> None:
    created = offered(store).entry.created
    assert created.utcoffset() == datetime.timedelta(0)
    assert os.access(store.keys.trusted_folder, os.R_OK)
