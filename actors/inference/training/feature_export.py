"""A feature export as the actors wrote it (feature_export.ts): checked, read, and cut to the rows to train on.

Files of the folder, little-endian: features.f32 (rows x features, row-major, NaN = missing), labels.u8 (0, 1, 255 =
not labelled), times.f64 (event time, microseconds), weights.f32 (optional, one a row), ids.u32 (two words a row), and
meta.json, which names them with their SHA-256.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

UNLABELLED = 255
FORMAT = 1


class ExportError(Exception):
    """The export cannot be trained on; the message says why. Make the export again."""


@dataclass
class FeatureExport:
    """Labelled rows in order of time: features (n, f) float32, labels (n,) 0 or 1, times (n,), weights or None."""

    features: np.ndarray
    labels: np.ndarray
    times: np.ndarray
    weights: np.ndarray | None
    names: list[str]
    data_sha256: str
    source: str


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def _meta(folder: Path) -> dict:
    path = folder / "meta.json"
    if not path.is_file():
        raise ExportError(f"{path} is missing: not a feature export, or one that was not finished")
    meta = json.loads(path.read_text())
    if meta.get("format") != FORMAT:
        raise ExportError(f"{path}: format {meta.get('format')}, this program reads {FORMAT}")
    for name, expected in sorted(meta["files"].items()):
        file = folder / name
        if not file.is_file() or file.stat().st_size != expected["bytes"] or _sha256(file) != expected["sha256"]:
            raise ExportError(f"{file} is not the file that meta.json describes")
    return meta


def _check(features: np.ndarray, names: list[str]) -> None:
    infinite = np.isinf(features).any(axis=0)
    if infinite.any():
        found = ", ".join(names[i] for i in np.flatnonzero(infinite)[:5])
        raise ExportError(f"infinite values in {found}: a missing value is NaN, and nothing else is infinite")


def read_export(folder: Path, from_us: float, to_us: float) -> FeatureExport:
    """Reads the labelled rows with event time in [from_us, to_us), sorted by time (stable)."""
    meta = _meta(folder)
    names = list(meta["feature_names"])
    rows = int(meta["rows"])
    labels = np.fromfile(folder / "labels.u8", dtype="u1")
    times = np.fromfile(folder / "times.f64", dtype="<f8")
    if len(labels) != rows or len(times) != rows:
        raise ExportError(f"{folder}: {rows} rows by meta.json, {len(labels)} labels, {len(times)} times")
    if not np.isin(labels, (0, 1, UNLABELLED)).all():
        raise ExportError(f"{folder / 'labels.u8'}: a label that is none of 0, 1, {UNLABELLED}")
    take = np.flatnonzero((labels != UNLABELLED) & (times >= from_us) & (times < to_us))
    take = take[np.argsort(times[take], kind="stable")]
    positives = int(labels[take].sum())
    if positives == 0 or positives == len(take):
        raise ExportError(f"{folder}: {len(take)} labelled rows with {positives} positives: both kinds are needed")
    matrix = np.memmap(folder / "features.f32", dtype="<f4", mode="r", shape=(rows, len(names)))
    features = np.ascontiguousarray(matrix[take])
    _check(features, names)
    weights = None
    if "weights.f32" in meta["files"]:
        weights = np.fromfile(folder / "weights.f32", dtype="<f4")[take]
    return FeatureExport(
        features, labels[take], times[take], weights, names, meta["data_sha256"], meta.get("source", "")
    )
