"""Sketch filters against the formula's own results, their properties, and parameters that are refused."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from facesynth import images
from facesynth.errors import InputError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.prep.portraits.draw import draw_portrait
from facesynth.prep.sketches.drawing import draw, draw_all, luma, read_grey
from facesynth.prep.sketches.methods import canny, contours, dodge, fxdog, sobel, xdog
from facesynth.prep.sketches.presets import all_sketches, resolve

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOLDEN = Path(__file__).parents[2] / "data" / "sketches.npz"
FILTERS = pytest.mark.parametrize("filter_", [dodge, xdog, fxdog, sobel])
GREY = np.random.default_rng(3).random((24, 30))


@pytest.mark.parametrize(
    ("name", "filter_"),
    [
        ("dodge_sigma4", lambda grey: dodge(grey, sigma=4)),
        ("dodge_sigma10", lambda grey: dodge(grey, sigma=10)),
        ("xdog_0", lambda grey: xdog(grey, sigma=1.4, k=1.6, p=20, epsilon=0.7, phi=10)),
        ("xdog_1", lambda grey: xdog(grey, sigma=0.8, k=1.6, p=10, epsilon=0.5, phi=5)),
        ("xdog_2", lambda grey: xdog(grey, sigma=2.0, k=1.6, p=30, epsilon=0.6, phi=3)),
    ],
)
def test_agreement_with_the_golden_results(name: str, filter_: Callable[..., NDArray[np.float32]]) -> None:
    with np.load(GOLDEN) as golden:
        expected = golden[name]
    difference = np.abs(filter_(luma(astronaut()))[40:168, 160:288] - expected)
    print(f"{name}: differs by {difference.mean():.1e} in the mean, {difference.max():.1e} at worst")
    assert expected.std() > 0.05
    assert difference.mean() <= 5e-5
    assert difference.max() <= 2e-3


def test_luma_of_pure_colours() -> None:
    photo = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]]], np.uint8)
    np.testing.assert_allclose(luma(photo), [[0.299, 0.587, 0.114, 1, 0]], atol=1e-6)


@FILTERS
@pytest.mark.parametrize("level", [0.0, 0.02, 0.3, 1.0])
def test_even_picture_gives_an_even_drawing(filter_: Callable[..., NDArray[np.float32]], level: float) -> None:
    drawing = filter_(np.full((20, 30), level))
    assert drawing.dtype == np.float32
    assert drawing.shape == (20, 30)
    assert np.ptp(drawing) < 1e-5
    if filter_ in (dodge, sobel):
        np.testing.assert_allclose(drawing, 1, atol=1e-5)
    else:
        np.testing.assert_allclose(drawing, 1 + math.tanh(min(2 * (level - 0.15), 0)), atol=1e-5)


@FILTERS
@pytest.mark.parametrize("sigma", [0.01, 0.5, 5.0, 100.0, 1e9])
def test_drawing_is_from_black_to_white(filter_: Callable[..., NDArray[np.float32]], sigma: float) -> None:
    for grey in (GREY, GREY.round(), np.zeros_like(GREY), GREY * (GREY > 0.8)):
        drawing = filter_(grey, sigma=sigma)
        assert np.isfinite(drawing).all()
        assert drawing.min() >= 0
        assert drawing.max() <= 1


def test_a_very_wide_blur_is_the_mean() -> None:
    np.testing.assert_allclose(dodge(GREY, sigma=1e9), np.minimum(GREY / GREY.mean(), 1), atol=0.03)


def test_dark_line_on_light_paper_stays() -> None:
    grey = np.full((40, 40), 0.9)
    grey[:, 19:21] = 0.1
    for drawing in (dodge(grey), xdog(grey), fxdog(grey)):
        assert drawing[:, 19:21].max() < 0.5
        assert drawing[:, :10].min() > 0.99


def test_one_pixel() -> None:
    for filter_ in (dodge, xdog, fxdog, sobel):
        assert filter_(np.ones((1, 1))).tolist() == [[1.0]]
    assert contours(np.ones((1, 1), np.uint8)).tolist() == [[1.0]]


@pytest.mark.slow
@pytest.mark.parametrize("number", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    ("filter_", "name"),
    [
        (dodge, "sigma"),
        (dodge, "strength"),
        (xdog, "sigma"),
        (xdog, "phi"),
        (xdog, "k"),
        (xdog, "p"),
        (xdog, "epsilon"),
        (fxdog, "sigma_tensor"),
        (fxdog, "sigma_flow"),
        (sobel, "sigma"),
        (sobel, "strength"),
    ],
)
def test_parameters_out_of_range(filter_: Callable[..., NDArray[np.float32]], name: str, number: float) -> None:
    if (name == "epsilon" and math.isfinite(number)) or (name, number) == ("p", 0):
        assert np.isfinite(filter_(GREY, **{name: number})).all()
    else:
        with pytest.raises(InputError, match=f"^{name} is {number}; needed"):
            filter_(GREY, **{name: number})


def test_k_must_be_more_than_1() -> None:
    with pytest.raises(InputError, match=r"k is 1\.0; needed"):
        xdog(GREY, k=1.0)


@FILTERS
@pytest.mark.parametrize("grey", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_what_is_no_grey_picture(filter_: Callable[..., NDArray[np.float32]], grey: NDArray) -> None:
    with pytest.raises(InputError, match=r"needed: \(H, W\) float in \[0, 1\]"):
        filter_(grey)


@pytest.mark.parametrize("photo", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)])
def test_what_is_no_photo(photo: NDArray) -> None:
    with pytest.raises(InputError, match=r"needed: \(H, W, 3\) uint8"):
        luma(photo)


def test_blur_mirrors_the_border_without_its_edge_pixel() -> None:
    at = np.arange(-8, 9)
    kernel = np.exp(-(at**2) / (2 * 1.5**2))
    blurred = GREY
    for axis in (0, 1):
        width = [(8, 8) if axis == other else (0, 0) for other in (0, 1)]
        padded = np.pad(blurred, width, mode="reflect")
        blurred = np.apply_along_axis(np.convolve, axis, padded, kernel / kernel.sum(), "valid")
    np.testing.assert_allclose(dodge(GREY, sigma=1.5), np.minimum(GREY / blurred, 1), atol=2e-3)


# ------------------------------------------------------------------------------------------------- sobel and contours


def test_sobel_of_a_ramp() -> None:
    grey = np.tile(np.linspace(0, 1, 101), (20, 1))
    drawing = sobel(grey, strength=2)
    np.testing.assert_allclose(drawing[:, 10:-10], 1 - 2 * 8 * 0.01, atol=1e-4)
    np.testing.assert_allclose(sobel(grey, strength=1, scale=2), drawing, atol=1e-6)


def halves(size: int = 40) -> NDArray[np.uint8]:
    labels = np.zeros((size, size), np.uint8)
    labels[:, size // 2 :] = 1
    return labels


@pytest.mark.parametrize("width", [1.0, 2.0, 3.0, 8.0])
def test_contour_is_as_wide_as_asked_for(width: float) -> None:
    drawing = contours(halves(), width=width)
    np.testing.assert_allclose((1 - drawing).sum(axis=1), width, atol=0.1)
    np.testing.assert_allclose(drawing[:, : 20 - math.ceil(width)], 1)


def test_contour_of_a_disc_is_round_and_has_no_stairs() -> None:
    y, x = np.mgrid[:101, :101] - 50
    radius = np.hypot(x, y)
    drawing = contours((radius < 30.2).astype(np.uint8), width=2)
    assert drawing[radius < 26].min() == drawing[radius > 34].min() == 1
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    ray = np.arange(24, 37, 0.25)
    across = [(50 + ray * part(angle)).astype(np.float32) for part in (np.cos, np.sin) for angle in angles]
    ink = 1 - cv2.remap(drawing, *np.array(across).reshape(2, 720, -1), cv2.INTER_LINEAR)
    middle = (ink * ray).sum(axis=1) / ink.sum(axis=1)
    assert np.abs(middle - 30).max() < 0.5
    assert middle.std() < 0.2


def test_contours_only_where_two_classes_meet() -> None:
    assert contours(np.full((9, 9), 7, np.uint8)).min() == 1
    three = halves()
    three[:10] = 18
    drawing = contours(three)
    assert drawing[10:, 5:15][3:].min() == 1
    assert drawing[9:11].max() < 0.35  # along all of the third class's border
    assert drawing[20:, 19:21].max() < 0.2


@pytest.mark.parametrize("name", ["width", "smoothing"])
def test_contours_refuse_and_survive(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} is 0; needed: a number more than 0"):
        contours(halves(), **{name: 0})
    assert contours(halves(), **{name: 1e9}).min() >= 0
    with pytest.raises(InputError, match="needed: \\(H, W\\) uint8 class ids"):
        contours(halves().astype(np.int64), **{name: 1})


# ------------------------------------------------------------------------------------------------------------- drawing


def portrait(size: int, index: int = 3) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A portrait and its label map of 512 px."""
    drawn = draw_portrait(0, index, size=size)
    labels = np.zeros((512, 512), np.uint8)
    for name, mask in drawn.parts.items():
        labels[mask] = CELEBAMASK_HQ.classes.index(name)
    return drawn.photo, labels


@pytest.fixture(scope="module")
def at_sizes() -> dict[int, dict[str, NDArray[np.float64]]]:
    """One portrait in every way, drawn at three sizes and then brought to one."""
    found = {}
    for size in (256, 512, 1024):
        photo, labels = portrait(size)
        drawings = draw_all(photo, all_sketches(labels=True), labels=labels)
        found[size] = {name: images.resize(drawing / 255, (256, 256)) for name, drawing in drawings.items()}
        assert {drawing.shape for drawing in drawings.values()} == {(size, size)}
    return found


NAMES = [sketch.name for sketch in all_sketches(labels=True)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("canny")])
def test_a_photo_of_any_size_gives_nearly_the_same_edges(
    at_sizes: dict[int, dict[str, NDArray[np.float64]]], name: str
) -> None:
    """A line of Canny's is there or not, and lies on whole pixels: most of one drawing's lines have one of the other beside."""
    lines = [at_sizes[size][name] < 0.8 for size in (256, 512, 1024)]
    for one in lines:
        for other in lines:
            distance = cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            assert (distance[one] <= 2).mean() > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("canny")])
def test_a_photo_of_any_size_gives_the_same_drawing(
    at_sizes: dict[int, dict[str, NDArray[np.float64]]], name: str
) -> None:
    small, middle, large = (at_sizes[size][name] for size in (256, 512, 1024))
    assert middle.std() > 0.05
    for one, other, alike, apart in ((small, middle, 0.93, 0.02), (middle, large, 0.98, 0.011)):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > alike
        assert np.abs(one - other).mean() < apart
        assert abs(one.mean() - other.mean()) < 0.006


@pytest.mark.parametrize("spec", ["dodge", "xdog", "fxdog", "sobel"])
def test_drawing_is_the_filter_with_scaled_lengths(spec: str) -> None:
    photo = astronaut()[:256, 96:224]  # 128 px wide: a quarter of what lengths are given for
    given = dict(resolve(spec).parameters)
    for name in ("sigma", "sigma_tensor", "sigma_flow"):
        if name in given:
            given[name] /= 4
    if spec == "sobel":
        given["scale"] = 0.25
    expected = {"dodge": dodge, "xdog": xdog, "fxdog": fxdog, "sobel": sobel}[spec](luma(photo), **given)
    drawing = draw(photo, resolve(spec))
    assert drawing.dtype == np.uint8
    assert np.abs(drawing - 255.0 * expected).max() <= 0.51
    np.testing.assert_array_equal(draw(luma(photo), resolve(spec)), drawing)


def test_together_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, labels = portrait(128)
    chosen = all_sketches(labels=True)
    apart = {sketch.name: draw(photo, sketch, labels=labels) for sketch in chosen}
    made = []
    monkeypatch.setattr("facesynth.prep.sketches.drawing.luma", lambda photo: made.append("luma") or luma(photo))
    together = draw_all(photo, chosen, labels=labels)
    assert list(together) == [sketch.name for sketch in chosen]
    assert made == ["luma"]
    for name, drawing in together.items():
        np.testing.assert_array_equal(drawing, apart[name])


def test_contours_need_no_photo_and_take_its_size() -> None:
    _, labels = portrait(64)
    alone = draw(None, resolve("contours"), labels=labels)
    assert alone.shape == labels.shape
    for size in ((128, 128), (700, 700)):
        fitted = draw(np.zeros((*size, 3), np.uint8), resolve("contours"), labels=labels)
        assert fitted.shape == size
        small = [images.resize(drawing / 255, (64, 64)) for drawing in (alone, fitted)]
        assert np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1] > 0.97


def test_blank_background_keeps_the_outline_and_nothing_outside() -> None:
    photo, labels = portrait(512)
    noise = np.random.default_rng(1).integers(0, 60, photo.shape, np.uint8)
    noisy = np.where((labels == 0)[..., None], noise, photo)
    for spec in ("xdog", "fxdog", "dodge"):
        kept = draw(noisy, resolve(spec), labels=labels)
        blank = draw(noisy, resolve(spec), labels=labels, background="blank")
        distance = cv2.distanceTransform((labels == 0).astype(np.uint8), cv2.DIST_L2, 5)
        assert kept[distance > 6].mean() < 240
        assert blank[distance > 5].min() == 255
        np.testing.assert_array_equal(blank[distance <= 3], kept[distance <= 3])
        assert (blank >= kept).all()
        assert blank[(distance > 0) & (distance <= 3)].min() < 100


def test_blank_without_a_person_is_paper_and_with_nothing_else_changes_nothing() -> None:
    photo, _ = portrait(128)
    nobody, everybody = np.zeros((32, 32), np.uint8), np.ones((32, 32), np.uint8)
    assert draw(photo, resolve("xdog"), labels=nobody, background="blank").min() == 255
    kept = draw(photo, resolve("xdog"))
    assert kept.min() < 100
    np.testing.assert_array_equal(draw(photo, resolve("xdog"), labels=everybody, background="blank"), kept)


@pytest.mark.parametrize(
    ("photo", "spec", "options", "message"),
    [
        (None, "xdog:ink", {}, "xdog-ink is drawn from the photo; give photo"),
        (np.zeros((4, 4, 3), np.uint8), "contours", {}, "contours is drawn from the label map; give labels"),
        (np.zeros((4, 4, 3), np.uint8), "xdog", {"background": "blank"}, "a blank background needs the label map"),
        (
            np.zeros((4, 4, 3), np.uint8),
            "xdog",
            {"background": "white"},
            "background is 'white'; needed: keep or blank",
        ),
        (np.zeros((4, 4), np.uint8), "xdog", {}, r"photo is a uint8 array of shape \(4, 4\)"),
        (np.zeros((4, 4, 3), np.uint8), "xdog", {"labels": np.zeros((4, 4))}, "labels is a float64 array"),
    ],
)
def test_what_cannot_be_drawn(photo: NDArray | None, spec: str, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw(photo, resolve(spec), **options)


# ------------------------------------------------------------------------------------------------------------- reading


def test_read_grey_rounds_nothing(tmp_path: Path) -> None:
    photo = images.resize(astronaut(), (1024, 1024))
    path = tmp_path / "photo.jpg"
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=90)
    path.write_bytes(buffer.getvalue())
    decoded = np.asarray(Image.open(path)).astype(float) @ [0.299, 0.587, 0.114] / 255
    halved = decoded.reshape(512, 2, 512, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(read_grey(path), decoded, atol=1e-6)
    np.testing.assert_allclose(read_grey(path, size=512), halved, atol=1e-6)
    assert read_grey(path, size=2000).shape == (1024, 1024)
    drawing, expected = xdog(read_grey(path, size=512)), xdog(halved)
    assert np.abs(drawing - expected).max() < 2e-3
    assert np.abs(drawing - expected).mean() < 5e-5


def test_read_grey_keeps_proportions_and_turns_upright(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.full((40, 90, 3), 128, np.uint8)).save(path, exif=exif)
    assert read_grey(path).shape == (90, 40)
    assert read_grey(path, size=45).shape == (45, 20)


# ------------------------------------------------------------------------------------------------------------------ canny


def step(size: int, high: float = 1.0) -> np.ndarray:
    """Dark on the left, ``high`` on the right of the middle."""
    grey = np.zeros((size, size), np.float32)
    grey[:, size // 2 :] = high
    return grey


@pytest.mark.parametrize("width", [1.0, 3.0, 5.0])
def test_canny_draws_a_step_as_one_line_of_its_width(width: float) -> None:
    row = canny(step(64), sigma=2.0, width=width)[32]
    assert row.min() == 0
    assert (1 - row).sum() == pytest.approx(width)
    assert abs(float((1 - row) @ np.arange(64)) / width - 31.5) <= 1


def test_canny_begins_a_line_at_high_and_continues_it_down_to_low() -> None:
    fading = (
        step(64) * np.linspace(0.5, 0.05, 64, dtype=np.float32)[:, None]
    )  # 0.4 of these is the gradient times sigma
    drawn = canny(fading, low=0.08, high=0.16, width=1.0).min(axis=1) == 0
    assert drawn[:40].all()
    assert not drawn[48:].any()
    assert not (canny(fading[30:], low=0.08, high=0.16, width=1.0) < 1).any()


@pytest.mark.parametrize("high", [0.5, 0.3])
def test_canny_finds_the_same_edges_at_every_size(high: float) -> None:
    small, large = (
        canny(cv2.GaussianBlur(step(size, high), (0, 0), size / 64), sigma=size / 64, width=size / 32).mean()
        for size in (128, 512)
    )
    assert small == pytest.approx(large, abs=0.005)
    assert small < 1
