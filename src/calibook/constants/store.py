"""The store: a folder of constant files, with an index to find them."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from calibook.constants import frozen as frozen_files
from calibook.constants import index, matching, rebuild, units
from calibook.constants.entry import Condition, Constant, checked_conditions, checked_dims
from calibook.constants.file import content_hash, folder_of, identity, load_checked, storable, write_file
from calibook.constants.names import checked_name, checked_text, utc_text
from calibook.errors import BadParameter, ConstantDamaged
from calibook.files import part_path, put_in_place

Conditions = Mapping[str, float | str]
Moment = datetime | str


def default_folder() -> Path:
    """CALIBOOK_STORE, or a folder of the user's data folder."""
    if given := os.environ.get("CALIBOOK_STORE"):
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_data_dir("calibook", appauthor=False)) / "constants"


class Store:
    """Calibration constants that never change once they are put.

    Any number of threads and processes may use a store at once. A store that
    does not exist yet holds nothing; the first `put` creates it. A path where
    there can't be a folder raises BadParameter.
    """

    def __init__(self, folder: Path | str | None = None):
        self.folder = Path(folder or default_folder()).expanduser().absolute()
        for place in (self.folder, *self.folder.parents):
            if place.exists() and not place.is_dir():
                raise BadParameter(f"store={str(self.folder)!r}: {place} is no folder")
        self._index = index.Index(self.folder)

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    @property
    def exists(self) -> bool:
        """True if something was put into it.

        Raises ConstantDamaged if there are constant files without an index.
        """
        if self._index.ready():
            return True
        # The index is made before the first file, so files alone mean that it was lost.
        if (self.folder / "xfel" / "cal").is_dir() and not self._index.ready():
            raise ConstantDamaged(
                f"{self.folder} has constants but no index; make it anew: calibook constants reindex"
            )
        return False

    def put(
        self,
        array: np.ndarray,
        *,
        calibration: str,
        pdu: str,
        detector_type: str,
        conditions: Sequence[Condition],
        begin: Moment,
        end: Moment | None = None,
        dims: Sequence[str],
        description: str = "",
        raw_location: str = "",
    ) -> Constant:
        """Add a constant; the entry that is there already if the same was put before.

        array: numbers of up to 64 bits, axes as in `dims`; stored as given
        begin, end: validity; text without time zone is UTC. Not valid at `end`.
        The same means: array, dims, unit, calibration, conditions, begin, end.
        Raises BadParameter for names, conditions, times or arrays that can't be.
        """
        array = storable(array)
        dims = checked_dims(dims, array.shape)
        draft = Constant(
            id=0,
            calibration=checked_name("calibration", calibration),
            pdu=checked_name("pdu", pdu),
            detector_type=checked_name("detector_type", detector_type),
            begin=utc_text("begin", begin),
            end=None if end is None else utc_text("end", end),
            store=str(self.folder),
            path="",
            dataset=f"/{pdu}/{calibration}/0",
            blake3=content_hash(array, dims),
            dims=dims,
            shape=array.shape,
            dtype=array.dtype.str,
            conditions=checked_conditions(conditions),
            description=checked_text("description", description),
            raw_location=checked_text("raw_location", raw_location),
        )
        if draft.end is not None and draft.end <= draft.begin:
            raise BadParameter(f"end={draft.end} must be after begin={draft.begin}")
        known = self._same(draft)
        if known is not None and known.file.exists():
            return known
        return self._add(known or draft, array)

    def _same(self, draft: Constant) -> Constant | None:
        found = self._select(identity=identity(draft))
        return found[0] if found else None

    def _add(self, draft: Constant, array: np.ndarray) -> Constant:
        """Write the file under a hidden name, then give it its name and index it in one go."""
        if not self.exists:
            with self._index.writing():
                pass
        folder = self.folder / folder_of(draft.detector_type, draft.pdu)
        folder.mkdir(parents=True, exist_ok=True)
        part = part_path(folder / "cal")
        try:
            write_file(part, draft, array)
            with self._index.writing() as db:
                return self._enter(db, draft, part)
        finally:
            part.unlink(missing_ok=True)

    def _enter(self, db: sqlite3.Connection, draft: Constant, part: Path) -> Constant:
        known = index.select(db, self.folder, identity=identity(draft))
        if known:
            if not known[0].file.exists():  # somebody removed it: the same content heals the store
                put_in_place(part, known[0].file)
            return known[0]
        left = rebuild.unindexed_like(db, self.folder, draft)
        if left is None:
            left = replace(draft, path=self._free_path(db, draft))
            put_in_place(part, left.file)
        return index.insert(db, left)

    def _free_path(self, db: sqlite3.Connection, draft: Constant) -> str:
        """A file name that carries the time of injection, later than any other in the unit's folder.

        Under the write lock no other process can take the same name.
        """
        folder = folder_of(draft.detector_type, draft.pdu)
        micros = time.time_ns() // 1000
        taken = [rebuild.injected_micros(p.name) for p in (self.folder / folder).glob("cal.*.h5")]
        micros = max([micros, *(t + 1 for t in taken)])
        return (folder / f"cal.{micros // 1_000_000}.{micros % 1_000_000:06d}.h5").as_posix()

    def _select(self, **where: str | int | None) -> list[Constant]:
        if not self.exists:
            return []
        with self._index.reading() as db:
            return index.select(db, self.folder, **where)

    def entries(
        self,
        calibration: str | None = None,
        pdu: str | None = None,
        detector_type: str | None = None,
        *,
        frozen: str = "",
    ) -> list[Constant]:
        """All entries, or those of a calibration, unit, detector type or frozen set, by id."""
        found = self._select(calibration=calibration, pdu=pdu, detector_type=detector_type)
        if not frozen:
            return found
        inside = frozen_files.members(self.folder, frozen)
        return [c for c in found if inside.get(c.path) == c.blake3]

    def get(self, id: int) -> Constant:
        """The entry with this id; BadParameter if there is none."""
        found = self._select(id=id)
        if not found:
            raise BadParameter(
                f"there is no constant {id} in the store {self.folder}; see calibook constants list"
            )
        return found[0]

    def find(
        self,
        *,
        pdu: str,
        calibration: str,
        conditions: Conditions,
        at: Moment,
        strategy: str = "closest",
        frozen: str = "",
    ) -> Constant | None:
        """The constant for a unit, a full set of conditions and a moment, or None.

        conditions: {name: number or text}; the names must be exactly those stored
        strategy: "closest" (nearest begin, before or after) or "prior" (latest begin before)
        frozen: look only in this frozen set
        """
        strategy = matching.checked_strategy(strategy)
        asked, moment = matching.checked_asked(conditions), utc_text("at", at)
        candidates = self.entries(calibration, pdu, frozen=frozen)
        return matching.choose(candidates, asked, moment, strategy)

    def why_not(
        self,
        *,
        pdu: str,
        calibration: str,
        conditions: Conditions,
        at: Moment,
        strategy: str = "closest",
        frozen: str = "",
    ) -> str:
        """Why `find` with the same arguments gives None, in words; empty if it finds one."""
        strategy = matching.checked_strategy(strategy)
        asked, moment = matching.checked_asked(conditions), utc_text("at", at)
        constants = self.entries(frozen=frozen)
        reason = matching.why_none(constants, pdu, calibration, asked, moment, strategy)
        where = f"store {self.folder}" + (f", frozen set {frozen!r}" if frozen else "")
        return f"{where}: {reason}" if reason else ""

    def load(self, constant: Constant) -> np.ndarray:
        """The array as stored, axes `constant.dims`; ConstantDamaged if it is not what was put."""
        return load_checked(replace(constant, store=str(self.folder)))

    def freeze(self, name: str, ids: Iterable[int] | None = None) -> None:
        """Make a named set of constants (all there are without `ids`) that never changes."""
        chosen = self._select() if ids is None else [self.get(i) for i in ids]
        if not chosen:
            raise BadParameter(f"frozen set {name!r} would be empty")
        with self._index.writing():
            frozen_files.freeze(self.folder, name, chosen)

    def frozen_sets(self) -> dict[str, list[int]]:
        """{name: ids} of the frozen sets."""
        return {name: [c.id for c in self.entries(frozen=name)] for name in frozen_files.names(self.folder)}

    def verify(self) -> list[str]:
        """Read every file and frozen set; what is wrong, one text each."""
        problems = []
        constants = self._select()
        for constant in constants:
            try:
                load_checked(constant)
            except ConstantDamaged as error:
                problems.append(str(error))
        known = {c.path: c.blake3 for c in constants}
        for name in frozen_files.names(self.folder):
            try:
                inside = frozen_files.members(self.folder, name)
            except ConstantDamaged as error:
                problems.append(str(error))
                continue
            lost = [path for path, sha in inside.items() if known.get(path) != sha]
            problems += [f"frozen set {name!r}: {path} is not in the store as it was frozen" for path in lost]
        return problems

    def assign(self, detector: str, karabo_da: str, pdu: str, begin: Moment) -> units.Assignment:
        """Note that from `begin` on the unit `pdu` sits at a position of a detector (karabo-id)."""
        with self._index.writing():
            return units.assign(self.folder, detector, karabo_da, pdu, begin)

    def assignments(self) -> list[units.Assignment]:
        """All that was noted by `assign`, by detector, position and time."""
        return units.assignments(self.folder)

    def unit_of(self, detector: str, karabo_da: str, at: Moment) -> str:
        """The unit at a position at a moment; e.g. FXE_XAD_JF1M_JNGFR01 if none was assigned."""
        return units.unit_of(self.folder, detector, karabo_da, at)

    def rebuild_index(self) -> list[str]:
        """Make the index anew from the files; what could not be taken in, one text each.

        Ids stay as they are if the index can be read. If it is lost, ids are
        given in the order in which the constants were put.
        """
        return rebuild.rebuild_index(self._index)
