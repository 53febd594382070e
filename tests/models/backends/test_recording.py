"""Recordings: kept as they come, never asked for twice, refused where they are another model's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.grammars import space_grammar
from airtune.models import Completion, ModelError, Request, load_model
from airtune.models.backends.recording import read_recording
from airtune.models.backends.replay import RecordingModel, ReplayModel

GRAMMAR = space_grammar(ConfigurationSpace({"a": (1, 9), "b": (0.0, 1.0)}))


def ask(seed: int) -> Request:
    return Request("Tune:", GRAMMAR, seed)


class Counting:
    """A model that counts what it is asked, and fails from some request on."""

    def __init__(self, until: int = 10**9) -> None:
        self._model = load_model("scripted")
        self.name, self.dialect = self._model.name, self._model.dialect
        self.asked: list[int] = []
        self.until = until

    def manifest(self) -> dict[str, Any]:
        return self._model.manifest()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        done: list[Completion] = []
        for request in requests:
            if len(self.asked) >= self.until:
                error = ModelError("no more")
                error.answered = list(zip(requests, done, strict=False))
                raise error
            self.asked.append(request.seed)
            done += self._model.generate([request])
        return done


def test_what_is_recorded_is_not_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    first = RecordingModel(Counting(), file).generate([ask(1), ask(2)])
    counting = Counting()
    model = RecordingModel(counting, file)
    assert model.generate([ask(2), ask(3), ask(1), ask(3)])[::2] == [first[1], first[0]]
    assert counting.asked == [3]
    assert len(read_recording(file)) == 3


def test_a_batch_that_fails_keeps_what_was_answered(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    with pytest.raises(ModelError, match="no more"):
        RecordingModel(Counting(until=2), file).generate([ask(seed) for seed in range(5)])
    counting = Counting()
    RecordingModel(counting, file).generate([ask(seed) for seed in range(5)])
    assert counting.asked == [2, 3, 4]


def test_a_writer_that_was_killed(tmp_path: Path) -> None:
    """Half a line at the end is cut off; half a line elsewhere is damage, and said."""
    file = tmp_path / "answers.jsonl"
    RecordingModel(Counting(), file).generate([ask(1), ask(2)])
    whole = file.read_text()
    file.write_text(whole[:-40])
    with pytest.raises(ModelError, match="cannot read"):
        read_recording(file)
    counting = Counting()
    RecordingModel(counting, file).generate([ask(1), ask(2)])
    assert counting.asked == [2]
    assert file.read_text() == whole
    file.write_text(whole.replace('"seed"', '"se', 1))
    with pytest.raises(ModelError, match="cannot read"):
        RecordingModel(Counting(), file)


def test_several_writers_of_one_file(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    one, two = RecordingModel(Counting(), file), RecordingModel(Counting(), file)
    one.generate([ask(1)])
    two.generate([ask(2)])
    one.generate([ask(3)])
    text = file.read_text()
    file.write_text(text + text.splitlines(keepends=True)[-1])  # the same answer twice is no harm
    replay = load_model(file, "replay")
    assert replay.generate([ask(1), ask(2), ask(3)]) == load_model("scripted").generate(
        [ask(1), ask(2), ask(3)]
    )


def test_another_model_s_recording_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    RecordingModel(Counting(), file).generate([ask(1)])
    with pytest.raises(ModelError, match="of another model: its settings differs"):
        load_model("scripted", record=file, context=5000)
    with pytest.raises(ModelError, match=r"dialect 'chat', not of 'pocket'"):
        load_model(file, "replay", dialect="pocket")


def test_a_replay_presents_itself_as_the_recorded_model(tmp_path: Path) -> None:
    model = load_model("scripted", record=tmp_path / "answers.jsonl")
    model.generate([ask(1)])
    replay = load_model(tmp_path / "answers.jsonl", "replay")
    assert (replay.name, replay.manifest()) == ("scripted", model.manifest())


def test_all_of_a_completion_comes_back(tmp_path: Path) -> None:
    text = GRAMMAR.encode({"a": 1, "b": 0.5})
    odd = Completion(
        text, None, None, "stop", None, None, {"answer": "x\u2028\ud800é", "usage": {"cost": 0.1}}
    )
    even = Completion(text, (1, 2), (-0.1, -1e-300), "length", 3, 4)

    class Fixed(Counting):
        def generate(self, requests: Sequence[Request]) -> list[Completion]:
            return [odd if request.seed % 2 else even for request in requests]

    RecordingModel(Fixed(), tmp_path / "answers.jsonl").generate([ask(1), ask(2)])
    assert load_model(tmp_path / "answers.jsonl", "replay").generate([ask(1), ask(2)]) == [odd, even]


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be written"):
        RecordingModel(Counting(), tmp_path / "nowhere" / "answers.jsonl")
    with pytest.raises(ModelError, match="cannot read"):
        RecordingModel(Counting(), tmp_path)


MODEL = {"kind": "model", "model": "m", "dialect": "d", "format": ""}


@pytest.mark.parametrize("line", [{"kind": "model"}, [1], "x", {"prompt": 1}, {**MODEL, "manifest": 3}])
def test_lines_that_are_no_records(tmp_path: Path, line: Any) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text(json.dumps(line) + "\n")
    with pytest.raises(ModelError, match="record 0"):
        load_model(file, "replay")


def test_records_without_a_model_still_replay() -> None:
    entry = {"prompt": "Tune:", "grammar_hash": GRAMMAR.hash, "seed": 1, "temperature": 1.0, "text": "t"}
    replay = ReplayModel([entry], dialect=load_model("scripted").dialect)
    (answer,) = replay.generate([ask(1)])
    assert answer == Completion("t", None, None, "stop", None, None)
    assert replay.manifest()["backend"] == "replay"
    with pytest.raises(ModelError, match="not recorded"):
        replay.generate([replace(ask(1), temperature=0.5)])


def test_a_recording_that_is_moved_away_meanwhile(tmp_path: Path) -> None:
    """Bugs: what follows has no model's line, so that another model may add to it; what was moved gets lost."""
    file, moved = tmp_path / "answers.jsonl", tmp_path / "moved.jsonl"
    model = RecordingModel(Counting(), file)
    model.generate([ask(1)])
    file.rename(moved)
    model.generate([ask(2)])
    model.generate([ask(3)])
    for path, answers in ((moved, 1), (file, 2)):
        found = read_recording(path)
        assert len(found) == answers
        assert found.model is not None


def test_a_recording_that_is_replaced_by_another_file(tmp_path: Path) -> None:
    """Bug: answers are added to whatever is there."""
    file, other = tmp_path / "answers.jsonl", tmp_path / "notes"
    model = RecordingModel(Counting(), file)
    other.write_text("notes\n")
    other.replace(file)
    with pytest.raises(ModelError, match="was replaced by another file"):
        model.generate([ask(1)])
    assert file.read_text() == "notes\n"


def test_an_objective_that_goes_to_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: the answers after that were in another file, in that folder."""
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    model = RecordingModel(Counting(), "answers.jsonl")
    model.generate([ask(1)])
    monkeypatch.chdir(tmp_path / "folder")
    model.generate([ask(2)])
    assert len(read_recording(tmp_path / "answers.jsonl")) == 2
