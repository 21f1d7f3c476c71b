"""The photos of a manifest without conditions, for training generators: a manifest in, (S, S, 3) uint8 photos out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import get_worker_info

from facesynth import images
from facesynth.errors import DatasetError, PictureError
from facesynth.files import inside, sha256
from facesynth.model.data.columns import photo_column
from facesynth.model.data.order import Pick
from facesynth.model.data.pairs import CACHE_BYTES
from facesynth.model.data.tensors import BACKGROUND, square_at

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from facesynth.manifest import Dataset


class Photos(TorchDataset[tuple[int, "NDArray[np.uint8]"]]):
    """The photos of one split of a dataset; conditions are ignored.

    An item is (index, photo), the photo being an (S, S, 3) uint8 RGB array. Indexed by an int, a photo is only padded to a
    square and resized. Indexed by a :class:`~facesynth.model.data.order.Pick`, it is also augmented as for training.

    Parameters
    ----------
    dataset : Dataset
    split : str
        train, val or test.
    size : int
        Height and width of the photos, pixels.
    flip : bool
        Mirror training photos with probability 1/2.
    seed : int
        Seed of the mirroring.

    Raises
    ------
    DatasetError
        If the split is empty; on indexing, if a photo is bad. The message names its id.
    """

    def __init__(self, dataset: Dataset, split: str, size: int, *, flip: bool = False, seed: int = 0) -> None:
        rows = dataset.with_columns("photo", split=split)
        self.ids: list[str] = rows["id"].tolist()
        self.root = dataset.root
        self.photos: list[Path] = [dataset.root / path for path in rows[photo_column(rows, size)]]
        self.digest = sha256(rows[["id", "photo_sha256"]].to_csv(index=False).encode())
        """Identifies the set of photos."""
        self.size, self.flip, self.seed = size, flip, seed
        self._bytes_needed = len(self.ids) * 3 * size**2
        self.cached = self._bytes_needed <= CACHE_BYTES
        """Whether a single process keeps all photos in memory."""
        self._cache: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: int | Pick) -> tuple[int, NDArray[np.uint8]]:
        if isinstance(key, Pick):
            photo = self._photo(key.pair)
            is_flipped = self.flip and np.random.default_rng([self.seed, key.draw, key.pair]).random() < 0.5
            return key.pair, photo[:, ::-1].copy() if is_flipped else photo
        if not 0 <= key < len(self):
            raise IndexError(f"photo {key} of {len(self)}")
        return key, self._photo(key)

    def _photo(self, index: int) -> NDArray[np.uint8]:
        if index in self._cache:
            return self._cache[index]
        try:
            inside(self.root, self.photos[index].relative_to(self.root))
            photo = square_at(images.read_photo(self.photos[index]), BACKGROUND["photo"], self.size)
        except (PictureError, DatasetError) as error:
            raise DatasetError(f"id {self.ids[index]}: {error}") from error
        worker = get_worker_info()
        if self._bytes_needed * (worker.num_workers if worker else 1) <= CACHE_BYTES:
            self._cache[index] = photo
        return photo
