"""The preview sheet: what it draws, of which photos, and where it puts it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from facesynth.cli.prep.preview import preview

from facesynth import images
from facesynth.errors import InputError, OutputError, PictureError, WrongKindError
from facesynth.labels import CELEBAMASK_HQ, LabelScheme
from facesynth.manifest import Dataset, write_dataset
from facesynth.prep.portraits.draw import draw_portrait
from facesynth.prep.sketches.drawing import draw
from facesynth.prep.sketches.presets import all_sketches, resolve
from facesynth.prep.sketches.preview import GAP, HEADING, make_preview

SIZE = 64


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos, and label maps of the first two with numbers of five digits."""
    root = tmp_path_factory.mktemp("preview")
    for name in ("photos", "labels"):
        (root / name).mkdir()
    for index in range(3):
        portrait = draw_portrait(0, index, size=128, mask_size=128)
        images.write_png(root / "photos" / f"{index}.png", portrait.photo)
        labels = np.zeros((128, 128), np.uint8)
        for part, mask in portrait.parts.items():
            labels[mask] = CELEBAMASK_HQ.classes.index(part)
        if index < 2:
            images.write_png(root / "labels" / f"{index:05d}.png", labels)
    return root


def make_dataset(folders: Path, root: Path) -> Path:
    """A dataset folder of the first two photos."""
    import pandas as pd

    root.mkdir()
    for name in ("photos", "labels"):
        shutil.copytree(folders / name, root / name)
    rows = pd.DataFrame(
        [
            {"id": f"{index:05d}", "split": "train", "celeba_file": "", "width": "128", "height": "128"}
            | {"photo": f"photos/{index}.png", "photo_sha256": "", "labels": f"labels/{index:05d}.png"}
            for index in (0, 1)
        ]
    ).set_index("id", drop=False)
    write_dataset(Dataset(root, rows))
    return root


def cell(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    """The picture at a place of the sheet's first band."""
    top, left = HEADING + row * (SIZE + GAP), GAP + column * (SIZE + GAP)
    return sheet[top : top + SIZE, left : left + SIZE]


def grey(drawing: np.ndarray) -> np.ndarray:
    return np.repeat(drawing[..., None], 3, axis=2)


def test_rows_are_photos_and_columns_are_drawings(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    chosen = [resolve("xdog"), resolve("fxdog:ink")]
    captions = make_preview(folders / "photos", out, sketches=chosen, count=2, size=SIZE)
    assert captions == ["photo", "xdog", "fxdog:ink"]
    sheet = images.read_photo(out)
    assert sheet.shape == (HEADING + 2 * (SIZE + GAP), GAP + 3 * (SIZE + GAP), 3)
    for row in range(2):
        photo = images.resize(images.read_photo(folders / "photos" / f"{row}.png"), (SIZE, SIZE))
        np.testing.assert_array_equal(cell(sheet, row, 0), photo)
        for column, sketch in enumerate(chosen, start=1):
            drawn = draw(photo, sketch).astype(int)
            assert np.abs(cell(sheet, row, column)[..., 0] - drawn).mean() < 2  # but for the rounding of a small photo
    for column in range(3):
        heading = sheet[:HEADING, GAP + column * (SIZE + GAP) :][:, :SIZE]
        assert heading.min() < 120
    assert sheet[HEADING:, :GAP].min() == 255
    assert list(tmp_path.iterdir()) == [out]


def test_drawing_is_of_the_shrunk_luma(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    make_preview(folders / "photos" / "1.png", out, sketches=[resolve("xdog:ink")], size=128)
    sheet = images.read_photo(out)
    expected = draw(images.read_photo(folders / "photos" / "1.png"), resolve("xdog:ink"))
    np.testing.assert_array_equal(sheet[HEADING : HEADING + 128, 2 * GAP + 128 :][:, :128], grey(expected))


def test_everything_that_can_be_drawn_by_default(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    captions = make_preview(folders / "photos", out, count=1, size=SIZE)
    assert captions[1:] == [sketch.name.replace("-", ":") for sketch in all_sketches(labels=False)]
    with_labels = make_preview(folders / "photos", out, count=2, size=SIZE, labels=folders / "labels")
    assert [name for name in with_labels if name not in captions] == ["contours", "contours:pencil", "contours:ink"]
    assert make_preview(folders / "photos", out, count=3, size=SIZE, labels=folders / "labels") == captions


def test_many_columns_go_below(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    captions = make_preview(folders / "photos", out, count=1, size=512)
    sheet = images.read_photo(out)
    assert sheet.shape[1] <= 2048
    band = HEADING + 128 + GAP + 384  # the photo is 128 px wide: it is not made larger
    columns = (sheet.shape[1] - GAP) // (512 + GAP) - 1
    assert sheet.shape[0] == -(-(len(captions) - 1) // columns) * band
    photo = images.read_photo(folders / "photos" / "0.png")
    for top in range(0, sheet.shape[0], band):
        corner = (top + HEADING + 192, GAP + 192)
        np.testing.assert_array_equal(sheet[corner[0] : corner[0] + 128, corner[1] : corner[1] + 128], photo)


def test_dataset_folder_has_its_own_label_maps(folders: Path, tmp_path: Path) -> None:
    data, out = make_dataset(folders, tmp_path / "data"), tmp_path / "sheet.png"
    chosen = [resolve("contours"), resolve("xdog")]
    make_preview(data, out, sketches=chosen, count=9, size=SIZE, background="blank")
    sheet = images.read_photo(out)
    assert sheet.shape[0] == HEADING + 2 * (SIZE + GAP)
    for row in range(2):
        labels = images.read_labels(data / "labels" / f"{row:05d}.png", CELEBAMASK_HQ)
        small = np.zeros((SIZE, SIZE, 3), np.uint8)
        expected = draw(small, resolve("contours"), labels=labels, background="blank")
        np.testing.assert_array_equal(cell(sheet, row, 1), grey(expected))
        assert not labels[:12, :12].any()  # the corner is background
        assert cell(sheet, row, 2)[:5, :5].min() == 255
        assert cell(sheet, row, 2).min() < 200


def test_jpeg_by_its_name(folders: Path, tmp_path: Path) -> None:
    make_preview(folders / "photos", tmp_path / "sheet.png", sketches=[resolve("dodge")], count=1, size=SIZE)
    make_preview(folders / "photos", tmp_path / "sheet.jpg", sketches=[resolve("dodge")], count=1, size=SIZE)
    assert (tmp_path / "sheet.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    png, jpeg = (images.read_photo(tmp_path / f"sheet.{kind}").astype(int) for kind in ("png", "jpg"))
    assert np.abs(png - jpeg).mean() < 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 16}, "size is 16; needed: 32 to 1024 pixels"),
        ({"count": 0}, "count is 0; needed: at least 1 photo"),
        ({"sketches": [resolve("contours")]}, r"contours need a label map, and there is none for .*0\.png; give"),
        ({"background": "blank"}, "a blank background needs a label map, and there is none"),
        ({"labels": Path("nowhere")}, "nowhere does not exist"),
    ],
)
def test_what_is_refused(folders: Path, tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_preview(folders / "photos", tmp_path / "sheet.png", **options)
    assert not list(tmp_path.iterdir())


def test_wrong_places(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sheet\.gif; needed: a name that ends in \.png or \.jpg"):
        make_preview(folders / "photos", tmp_path / "sheet.gif")
    with pytest.raises(InputError, match="does not exist"):
        make_preview(tmp_path / "nothing", tmp_path / "sheet.png")
    with pytest.raises(OutputError, match="cannot write"):
        make_preview(folders / "photos", tmp_path / "no" / "sheet.png", count=1, sketches=[resolve("dodge")])
    with pytest.raises(InputError, match="has its own label maps"):
        make_preview(make_dataset(folders, tmp_path / "data"), tmp_path / "s.png", labels=folders / "labels")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match="not a picture"):
        make_preview(tmp_path / "bad.png", tmp_path / "sheet.png", size=SIZE)
    assert not (tmp_path / "sheet.png").exists()


def draw_of(folders: Path, index: int) -> np.ndarray:
    """The contours of a label map, as a cell of the sheet."""
    labels = images.read_labels(folders / f"labels/{index:05d}.png", CELEBAMASK_HQ)
    return grey(draw(np.zeros((SIZE, SIZE, 3), np.uint8), resolve("contours"), labels=labels))


def test_a_label_map_goes_to_the_photo_of_its_name_before_that_of_its_number(folders: Path, tmp_path: Path) -> None:
    for name in ("photos", "labels"):
        (tmp_path / name).mkdir()
    for name, index in {"1": 0, "001": 1, "2": 2}.items():
        shutil.copy(folders / f"photos/{index}.png", tmp_path / f"photos/{name}.png")
    for name, index in {"1": 0, "001": 1, "00002": 0}.items():
        shutil.copy(folders / f"labels/{index:05d}.png", tmp_path / f"labels/{name}.png")
    options = {"sketches": [resolve("contours")], "labels": tmp_path / "labels", "size": SIZE}
    make_preview(tmp_path / "photos", tmp_path / "sheet.png", **options)
    assert not (draw_of(folders, 0) == draw_of(folders, 1)).all()
    sheet = images.read_photo(tmp_path / "sheet.png")
    for row, index in enumerate((1, 0, 0)):  # 001, 1, 2
        np.testing.assert_array_equal(cell(sheet, row, 1), draw_of(folders, index))
    (tmp_path / "labels/1.png").unlink()
    with pytest.raises(InputError, match=r"there is none for .*/1\.png"):
        make_preview(tmp_path / "photos", tmp_path / "other.png", **options)


def test_label_maps_of_another_scheme(folders: Path, tmp_path: Path) -> None:
    options = {"sketches": [resolve("contours")], "labels": tmp_path, "count": 1, "size": SIZE}
    images.write_png(tmp_path / "0.png", np.full((128, 128), 30, np.uint8))
    with pytest.raises(WrongKindError, match="holds the value 30"):
        make_preview(folders / "photos", tmp_path / "sheet.jpg", **options)
    mine = LabelScheme("mine", tuple(f"class {number}" for number in range(40)))
    assert make_preview(folders / "photos", tmp_path / "sheet.jpg", scheme=mine, **options) == ["photo", "contours"]
    for source, given in (
        (make_dataset(folders, tmp_path / "data"), "scheme"),
        (folders / "photos", "came without label maps"),
    ):
        with pytest.raises(InputError, match=given):
            make_preview(source, tmp_path / "sheet.jpg", scheme=mine)


def test_command(folders: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    out = tmp_path / "sheet.png"
    arguments = [folders / "photos", "--out", out, "--method", "xdog:soft", "--method", "contours", "-n", 1]
    arguments += ["--labels", folders / "labels", "--size", SIZE, "--background", "blank"]
    done = CliRunner().invoke(preview, [str(argument) for argument in arguments], catch_exceptions=False)
    assert (done.exit_code, done.output) == (0, f"sheet in {out}: photo, xdog:soft, contours\n")
    assert images.read_photo(out).shape == (HEADING + SIZE + GAP, GAP + 3 * (SIZE + GAP), 3)
