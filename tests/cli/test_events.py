"""``events``: the log in sentences."""

import io
import json
import os
from pathlib import Path
import re
import signal
import subprocess
import sys

import pytest

from given import file, version
from golden.samples import SAMPLES
import runicorn_es as rn
from runicorn_es.events import AliasSet, Event
from runicorn_es.log.record import blank_payload
from runicorn_es.telling import describe_event

SENTENCES = {
    "store": "the store was created, in format 1",
    "batch": "ada@lab (process 4711) appended a batch",
    "run": "run 20250901_103015_abc123 of project vision, resnet50 started",
    "run-end": "run 20250901_103015_abc123 ended as finished",
    "version": "resnet50-model:v3 was logged by run 20250901_103015_abc123: model, 2 files, 4.0 KB, 1 reference",
    "file": "file weights/model.pth, 4.0 KB",
    "reference": "reference s3://bucket/data, 139.7 GB",
    "metadata": 'metadata of resnet50-model:v3 is {"val_acc":0.95}',
    "tags": "tags of resnet50-model:v3 are imagenet, resnet",
    "description": "description of resnet50-model:v3 is größer",
    "alias": "production of resnet50-model moved from v2 to v3 (better)",
    "unalias": "production of resnet50-model was removed from v3 (withdrawn)",
    "use": "run 20250901_103015_abc123 used resnet50-model:v3, asked for as resnet50-model:production",
    "delete": "resnet50-model:v1 was deleted (too large)",
    "restore": "resnet50-model:v1 was restored (needed again)",
    "purge": "resnet50-model:v1 was purged, 2 records blanked (request 17)",
    "purge-run": "what run 20250901_103015_abc123 recorded of itself was purged (request 17)",
    "purged": "nothing is left of what was purged; 3 blobs went with it, 120.6 KB",
    "protect": "production is protected (agreed)",
    "pack": "5 blobs of 976.6 KB went into packs, where they take 120.6 KB",
    "reclaim": "5 blobs of no version were removed, 120.6 KB",
    "retention": "retention of type:model: keep last 3",
    "key": "the signing key was replaced; from the next record on it is runicorn-es/aa+01234567+AQ==",
    "recovery": (
        "a torn tail of 56 bytes behind offset 1234 of 00000000000000000000.seg was moved to quarantine, as "
        "00000000000000000000-1234-1.bin"
    ),
}


def tag_of(event: Event) -> str:
    return event.__struct_config__.tag


@pytest.mark.parametrize("event", SAMPLES, ids=tag_of)
def test_every_event_has_its_sentence(event):
    assert describe_event(event) == SENTENCES[tag_of(event)]


def test_no_kind_of_event_is_without_a_sentence():
    assert {kind.__struct_config__.tag for kind in Event.__args__} == set(SENTENCES)


def test_a_sentence_cannot_rewrite_the_screen():
    assert describe_event(AliasSet("m", "best", 1, None, "\x1b[2J")) == r"best of m points to v1 (\x1b[2J)"


def test_a_line_says_which_record_when_who_and_what(cli, store):
    version(store, aliases=["production"])

    lines = cli("events").lines()

    who = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  \S+@\S+"
    assert re.fullmatch(rf"     0  {who}  the store was created, in format 1", lines[0])
    assert re.fullmatch(rf"     1  {who}  file model.pth, 7 B", lines[1])
    assert re.fullmatch(rf"     2  {who}  m:v1 was logged: model, 1 file, 7 B", lines[2])
    assert re.fullmatch(rf"     2  {who}  production of m points to v1", lines[3])


def test_the_files_of_a_page_are_one_line_and_the_references_too(cli, store, tmp_path):
    for number in range(20):
        file(tmp_path / "tree" / str(number))
    artifact = rn.Artifact("d", "dataset").add_dir(tmp_path / "tree")
    store.log_artifact(artifact.add_reference("s3://b/1").add_reference("s3://b/2"))

    said = [line.split("  ")[-1] for line in cli("events", "--after", "0").lines()]

    assert said == [
        "20 files of d:v1",
        "2 references of d:v1",
        "d:v1 was logged: dataset, 20 files, 140 B, 2 references",
    ]


def test_after_a_record_only_later_ones_are_shown_with_who_wrote_them(cli, store):
    version(store)
    everything = cli("events").lines()
    for after in range(len(everything)):
        assert cli("events", "--after", str(after)).lines() == everything[after + 1 :]


def test_who_wrote_a_record_is_known_also_in_the_middle_of_a_batch(cli, store):
    artifact = rn.Artifact("m", "model", metadata={"n": 1}).add_file(file(store.layout.root.parent / "f"))
    store.log_artifact(artifact, key="job-1")
    for record in (1, 2, 3):
        [line, *_] = [json.loads(line) for line in cli("events", "--json", "--after", str(record - 1)).lines()]
        assert (line["index"], line["pid"], line["key"]) == (record, os.getpid(), "job-1")


def test_a_blanked_record_is_said_to_be_so(cli, store):
    version(store, b"secret")
    segment = store.layout.segment(0)
    with store.reading() as view:
        record = view.record(1)
    content = bytearray(segment.read_bytes())
    begin = record.offset + record.size_bytes - len(record.payload)
    content[begin : begin + len(record.payload)] = blank_payload(len(record.payload))
    segment.write_bytes(content)

    assert cli("events", "--after", "0").lines()[0].endswith("what stood here of m:v1 was blanked")
    assert [json.loads(line)["index"] for line in cli("events", "--after", "0", "--json").lines()] == [2]


def test_in_json_texts_that_hold_json_are_objects_and_digests_are_spelled_out(cli, root):
    with rn.init("p", storage=root, config={"lr": 0.1}) as run:
        source = file(root.parent / "f")
        run.log_artifact(rn.Artifact("m", "model", metadata={"acc": 1}).add_file(source))

    events = {line["kind"]: line["event"] for line in map(json.loads, cli("events", "--json").lines())}

    assert events["run"]["config"] == {"lr": 0.1}
    assert events["metadata"]["metadata"] == {"acc": 1}
    assert re.fullmatch(r"blake3:[0-9a-f]{64}", events["file"]["digest"])
    assert re.fullmatch(r"[0-9a-f]{32}", events["store"]["store_id"])


def test_follow_shows_what_is_appended_until_it_is_interrupted(store, root):
    command = [Path(sys.executable).with_name("runicorn"), "events", "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert isinstance(following.stdout, io.TextIOBase)
        assert "the store was created" in following.stdout.readline()
        version(store)
        assert "file model.pth" in following.stdout.readline()
        assert "m:v1 was logged" in following.stdout.readline()
        following.send_signal(signal.SIGINT)
        _, complaints = following.communicate(timeout=30)
    assert (following.returncode, complaints) == (130, "")
