"""Raw files as the data acquisition writes them, read back with EXtra-data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from extra_data import RunDirectory
from extra_data.reader import FileAccess
from extra_data.validation import FileValidator

from calibook.detectors.jungfrau import JUNGFRAU
from calibook.runs.raw_writer import RunPart, raw_file_writer, write_control_file
from calibook.runs.xtdf import xtdf_groups

SMALL = replace(JUNGFRAU, module_shape=(8, 16))
# One frame per entry, as AGIPD, LPD and DSSC.
XTDF = replace(
    SMALL,
    frames_in_train=False,
    index_group="image",
    raw_source="{karabo_id}/DET/{module}CH0:xtdf",
    image_keys={"data": "u2"},
    frame_keys={"cellId": "u2"},
)
ID = "TST_XAD_JF1M"
SOURCE = f"{ID}/DET/JNGFR02:daqOutput"


def part(trains: int, **changes) -> RunPart:
    ids = 100 + 2 * np.arange(trains, dtype="u8")
    stamps = 1_700_000_000_000_000_000 + 200_000_000 * np.arange(trains, dtype="u8")
    return replace(RunPart(7, 1, ids, stamps, proposal=900508, sample="a crystal"), **changes)


def frames(trains: int, per_train: int, seed: int = 0) -> tuple[dict, dict]:
    rng = np.random.default_rng(seed)
    shape = (trains, per_train)
    images = {
        name: rng.integers(0, 200, (*shape, *SMALL.module_shape)).astype(dtype)
        for name, dtype in SMALL.image_keys.items()
    }
    values = {name: rng.integers(0, 16, shape).astype(dtype) for name, dtype in SMALL.frame_keys.items()}
    return images, values


def write(folder: Path, per_train: int | np.ndarray, trains: int, blocks: list[slice]) -> tuple[dict, dict]:
    """A file with as many entries as the blocks cover."""
    n_frames = int(np.max(per_train))
    images, values = frames(blocks[-1].stop, n_frames)
    with raw_file_writer(folder, SMALL, ID, 2, part(trains), per_train) as writer:
        for block in blocks:
            writer.append(
                {name: array[block] for name, array in images.items()},
                {name: array[block] for name, array in values.items()},
            )
    return images, values


def no_problems(path: Path) -> bool:
    file = FileAccess(path)
    problems = FileValidator(file).run_checks()
    file.close()
    return not problems


def test_extra_data_reads_what_was_written_in_blocks(tmp_path):
    images, values = write(tmp_path, 4, 5, [slice(0, 2), slice(2, 5)])
    path = tmp_path / "RAW-R0007-JNGFR02-S00001.h5"
    assert no_problems(path)
    run = RunDirectory(tmp_path)
    assert run.train_ids == [100, 102, 104, 106, 108]
    assert run.train_timestamps()[1] == np.datetime64("2023-11-14T22:13:20.2")
    for name, array in (images | values).items():
        key = run[SOURCE, f"data.{name}"]
        assert key.dtype == array.dtype
        np.testing.assert_array_equal(key.ndarray(), array)
    np.testing.assert_array_equal(run[SOURCE, "data.trainId"].ndarray(), run.train_ids)
    facts = run.run_metadata()
    assert (facts["proposalNumber"], facts["runNumber"], facts["sequenceNumber"]) == (900508, 7, 1)
    assert (facts["sample"], facts["creationDate"]) == ("a crystal", "20231114T221320Z")


def test_layout_is_that_of_the_data_acquisition(tmp_path):
    write(tmp_path, 4, 3, [slice(0, 3)])
    with h5py.File(tmp_path / "RAW-R0007-JNGFR02-S00001.h5") as f:
        group = f[f"INSTRUMENT/{SOURCE}/data"]
        assert sorted(group) == [
            "adc",
            "bunchId",
            "frameNumber",
            "gain",
            "memoryCell",
            "timestamp",
            "trainId",
        ]
        assert group["adc"].chunks == (1, 4, 8, 16)
        for dataset in group.values():
            assert dataset.compression is None
            assert dataset.maxshape == (None, *dataset.shape[1:])


def test_train_without_data_has_the_running_offset(tmp_path):
    images, _ = write(tmp_path, np.array([4, 0, 4]), 3, [slice(0, 2)])
    path = tmp_path / "RAW-R0007-JNGFR02-S00001.h5"
    assert no_problems(path)
    with h5py.File(path) as f:
        assert f[f"INDEX/{SOURCE}/data/first"][()].tolist() == [0, 1, 1]
        assert f[f"INDEX/{SOURCE}/data/count"][()].tolist() == [1, 0, 1]
    run = RunDirectory(tmp_path)
    adc = run[SOURCE, "data.adc"]
    assert adc.train_id_coordinates().tolist() == [100, 104]
    np.testing.assert_array_equal(adc.ndarray(), images["adc"])


def test_detector_with_frames_as_entries(tmp_path):
    images = np.arange(5 * 128, dtype="u2").reshape(5, 8, 16)
    cells = np.arange(5, dtype="u2")[:, None]
    with raw_file_writer(tmp_path, XTDF, ID, 0, part(3), np.array([2, 0, 3])) as writer:
        writer.append({"data": images}, {"cellId": cells})
    run = RunDirectory(tmp_path)
    data = run[f"{ID}/DET/0CH0:xtdf", "image.data"]
    assert data.data_counts(labelled=False).tolist() == [2, 0, 3]
    np.testing.assert_array_equal(data.ndarray(), images)
    np.testing.assert_array_equal(run[f"{ID}/DET/0CH0:xtdf", "image.cellId"].ndarray(), cells)
    np.testing.assert_array_equal(data.train_id_coordinates(), run[data.source, "image.trainId"].ndarray())


def test_groups_with_one_entry_per_train(tmp_path):
    images, counts = np.zeros((5, 8, 16), "u2"), np.array([2, 0, 3])
    groups = xtdf_groups(part(3).train_ids, counts, 0, 416)
    with raw_file_writer(tmp_path, XTDF, ID, 0, part(3), counts, groups) as writer:
        writer.append({"data": images}, {"cellId": np.zeros((5, 1), "u2")})
    assert no_problems(tmp_path / "RAW-R0007-JNGFR00-S00001.h5")
    source = RunDirectory(tmp_path)[f"{ID}/DET/0CH0:xtdf"]
    assert source.index_groups == {"image", "header", "detector", "trailer"}
    # A module that sent nothing sent no header.
    assert source["header.trainId"].ndarray().tolist() == [100, 104]
    assert source["header.trainId"].train_id_coordinates().tolist() == [100, 104]
    assert source["header.pulseCount"].ndarray().tolist() == [2, 3]
    assert source["header.magicNumberBegin"].ndarray().shape == (2, 8)
    assert source["detector.data"].ndarray().shape == (2, 416)
    assert source["trailer.checksum"].dtype == "i1"


def test_groups_need_an_entry_for_each_train(tmp_path):
    groups = xtdf_groups(part(2).train_ids, np.array([1, 1]), 0, 416)
    with (
        pytest.raises(ValueError, match="2 entries for 3 trains"),
        raw_file_writer(tmp_path, XTDF, ID, 0, part(3), np.array([1, 1, 1]), groups),
    ):
        pass


def test_a_sequence_for_which_a_module_sent_nothing(tmp_path):
    with raw_file_writer(tmp_path, SMALL, ID, 2, part(3), np.zeros(3)):
        pass
    assert no_problems(tmp_path / "RAW-R0007-JNGFR02-S00001.h5")
    assert RunDirectory(tmp_path)[SOURCE, "data.adc"].data_counts(labelled=False).tolist() == [0, 0, 0]


def test_same_arguments_give_the_same_bytes(tmp_path):
    write(tmp_path / "a", 4, 5, [slice(0, 5)])
    write(tmp_path / "b", 4, 5, [slice(0, 1), slice(1, 5)])
    values = {"gainMode": "dynamic", "a.b": np.float32(1)}
    for folder in ("a", "b"):
        write_control_file(tmp_path / folder, SMALL, ID, part(5), values)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 2
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_unfinished_file_does_not_appear(tmp_path):
    with pytest.raises(ValueError, match="2 entries written, the index promises 3"):
        write(tmp_path, 4, 3, [slice(0, 2)])
    with pytest.raises(RuntimeError), raw_file_writer(tmp_path, SMALL, ID, 2, part(3), 4):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_wrong_blocks_are_refused(tmp_path):
    images, values = frames(3, 4)
    wrong = [
        (images | {"adc": images["adc"].astype("i4")}, "adc: expected uint16 .* got int32"),
        (images | {"gain": images["gain"][:, :2]}, r"gain: expected uint8 of shape .* \(3, 2, 8, 16\)"),
        ({"adc": images["adc"]}, "expected data for .*gain"),
    ]
    for block, message in wrong:
        with (
            pytest.raises(ValueError, match=message),
            raw_file_writer(tmp_path, SMALL, ID, 2, part(3), 4) as writer,
        ):
            writer.append(block, values)
    with pytest.raises(ValueError, match="promises 2 entries, more"):
        write(tmp_path, 4, 2, [slice(0, 3)])
    with pytest.raises(ValueError, match="same number of frames in all trains"):
        write(tmp_path, np.array([4, 3]), 2, [slice(0, 2)])


def test_trains_have_to_increase():
    with pytest.raises(ValueError, match="strictly increasing"):
        part(3, train_ids=np.array([1, 1, 2]))
    with pytest.raises(ValueError, match="3 train IDs but timestamps"):
        part(3, timestamps_ns=np.zeros(2, "u8"))


def test_control_values_in_every_train_and_at_the_start(tmp_path):
    values = {
        "gainMode": "dynamic",
        "highVoltage": np.array([180], "u4"),
        "exposureTime": np.float32(1e-5),
        "dataStorage.enable": True,
    }
    path = write_control_file(tmp_path, SMALL, ID, part(3), values)
    assert path.name == "RAW-R0007-JNGFRCTRL00-S00001.h5"
    assert no_problems(path)
    control = RunDirectory(tmp_path)[f"{ID}/DET/CONTROL"]
    assert control["gainMode"].ndarray().tolist() == ["dynamic"] * 3
    assert control["highVoltage"].ndarray().tolist() == [[180]] * 3
    assert control.run_value("gainMode") == "dynamic"
    assert control.run_value("exposureTime") == np.float32(1e-5)
    assert control["dataStorage.enable"].dtype == "u1"
    assert control["highVoltage.timestamp"].ndarray().tolist() == part(3).timestamps_ns.tolist()
