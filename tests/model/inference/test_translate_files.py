from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facesynth import images
from facesynth.errors import DatasetError, InputError, OutputError, PictureError, WrongKindError
from facesynth.model.checkpoints import native
from facesynth.model.data.style_colours import measure_colours
from facesynth.model.inference.parser import Parser
from facesynth.model.inference.record import RECORD
from facesynth.model.inference.sources import find_sources
from facesynth.model.inference.styles import Styling
from facesynth.model.inference.translate_files import SHEET, Writing, translate_files
from facesynth.model.inference.translator import Translator

from ...runs import assert_near, cell_of, save_model, small_disk, small_model
from ...trees import contents, leftovers, pictures, times
from ..recipe import normal


@pytest.fixture
def translator(seg) -> Translator:
    return Translator.from_checkpoint(seg, device="cpu")


@pytest.fixture(scope="module")
def spatial(tmp_path_factory) -> Path:
    """A checkpoint with a spatial path whose maps are not zero."""
    path = tmp_path_factory.mktemp("spatial") / "model.safetensors"
    saved = native.load(save_model(path, spatial_resolutions=(8, 16)))
    tensors = {
        name: 0.5 * normal(name, *value.shape) if name.startswith("spatial.heads") else value
        for name, value in saved.model_state().items()
    }
    native.save(path, "model", tensors, config=saved.config, task=saved.task, scheme=saved.scheme, info={})
    return path


@pytest.fixture
def label_maps(faces) -> list[Path]:
    return sorted((faces / "labels").iterdir())


def translate(inputs, model, out, *, sheet=False, samples=0, seed=0, **options):
    paths, styling, writing = [Path(path) for path in inputs], Styling(samples=samples, seed=seed), Writing(sheet=sheet)
    return translate_files(paths, model, out, device="cpu", **({"styling": styling, "writing": writing} | options))


# ----------------------------------------------------------------------------------------------------------- any picture


def test_any_size_and_shape_becomes_a_face(seg, tmp_path):
    shapes = [(1, 1), (7, 200), (300, 40), (32, 32), (512, 512)]
    (tmp_path / "in").mkdir()
    for number, shape in enumerate(shapes):
        images.write_png(tmp_path / f"in/{number}.png", np.full(shape, 3, np.uint8))
    done = translate([tmp_path / "in"], seg, tmp_path / "out")
    assert [path.name for path in done.faces] == [f"{number}.png" for number in range(5)]
    assert {images.read_photo(path).shape for path in done.faces} == {(32, 32, 3)}


def test_a_palette_picture_is_its_ids(seg, label_maps, tmp_path):
    picture = Image.open(label_maps[0])
    palette = Image.frombytes("P", picture.size, np.asarray(picture).tobytes())
    palette.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tolist())
    (tmp_path / "in").mkdir()
    palette.save(tmp_path / "in/a.png")
    shutil.copy(label_maps[0], tmp_path / "in/b.png")
    one, other = translate([tmp_path / "in"], seg, tmp_path / "out").faces
    assert_near(images.read_photo(one), images.read_photo(other))


def test_a_transparent_sketch_is_drawn_on_white(sketcher, faces, tmp_path):
    grey = np.asarray(Image.open(faces / "sketches/xdog/00001.png"))
    lines = np.dstack([np.zeros((*grey.shape, 3), np.uint8), 255 - grey])
    (tmp_path / "in").mkdir()
    Image.fromarray(lines).save(tmp_path / "in/a.png")
    Image.fromarray(grey).save(tmp_path / "in/b.png")
    Image.fromarray(grey).convert("RGB").save(tmp_path / "in/c.png")
    pictures = [images.read_photo(path) for path in translate([tmp_path / "in"], sketcher, tmp_path / "out").faces]
    assert_near(pictures[0], pictures[1])
    assert_near(pictures[2], pictures[1])


@pytest.mark.parametrize(
    ("task", "picture", "says"),
    [
        (
            "seg2face",
            np.full((32, 32, 3), (7, 8, 9), np.uint8),
            r"a.png has 1024 of 1024 pixels in colours of no class",
        ),
        ("seg2face", np.full((32, 32), 19, np.uint8), "a.png holds the value 19; .* 0 to 18 only"),
        ("seg2face", np.full((32, 32), 255, np.uint8), "a.png holds the value 255"),
        ("sketch2face", np.full((32, 32), 18, np.uint8), "a.png has no value above 31: that is a label map"),
    ],
)
def test_another_kind_of_picture(seg, sketcher, tmp_path, task, picture, says):
    model = seg if task == "seg2face" else sketcher
    images.write_png(tmp_path / "a.png", picture)
    done = translate([tmp_path / "a.png"], model, tmp_path / "out")
    assert (done.faces, len(done.failures)) == ([], 1)
    name, error = done.failures[0]
    assert name == "a"
    with pytest.raises(WrongKindError, match=f"{says}.*; {model} is a {task} checkpoint"):
        raise error


# ------------------------------------------------------------------------------------------------------------- folders


def test_a_folder_becomes_a_folder_of_faces(seg, translator, label_maps, tmp_path):
    done = translate([label_maps[0].parent], seg, tmp_path / "out", batch_size=4)
    assert [path.name for path in done.faces] == [path.name for path in label_maps]
    assert (done.sheet, done.failures) == (None, [])
    for path, face in zip(label_maps, done.faces, strict=True):
        assert_near(images.read_photo(face), translator.translate(translator.read(path)[None])[0, 0])
    assert set(contents(tmp_path / "out")) == {path.name for path in label_maps} | {RECORD}


def test_samples_are_numbered_files(seg, translator, label_maps, tmp_path):
    done = translate(label_maps[:2], seg, tmp_path, samples=2, seed=4)
    assert [path.name for path in done.faces] == ["00000_0.png", "00000_1.png", "00001_0.png", "00001_1.png"]
    faces = translator.translate(translator.read(label_maps[1])[None], samples=2, seed=4)[0]
    assert_near(images.read_photo(done.faces[2]), faces[0])
    assert_near(images.read_photo(done.faces[3]), faces[1])


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_files_depend_neither_on_the_batch_nor_on_the_others(seg, label_maps, tmp_path, batch_size):
    whole = translate(label_maps, seg, tmp_path / "whole", samples=2, seed=9)
    some = translate(label_maps[:1:-1], seg, tmp_path / "some", samples=2, seed=9, batch_size=batch_size)
    assert len(some.faces) == 8
    for path in some.faces:
        assert_near(images.read_photo(path), images.read_photo(tmp_path / "whole" / path.name))
    assert len(whole.faces) == 12


@pytest.mark.parametrize(("split", "ids"), [("val", "135"), ("train", "024"), ("all", "012345")])
def test_a_dataset_gives_the_conditions_of_a_split(faces, seg, tmp_path, split, ids):
    done = translate([faces], seg, tmp_path, split=split)
    assert [path.stem for path in done.faces] == [f"0000{number}" for number in ids]


def test_a_dataset_gives_the_sketches_of_a_method(faces, sketcher, tmp_path):
    sources = find_sources([faces], native.load(sketcher), sketch="dodge")
    assert [source.path for source in sources] == [faces / f"sketches/dodge/0000{number}.png" for number in (1, 3, 5)]
    assert [source.photo for source in sources] == [faces / f"photos/0000{number}.jpg" for number in (1, 3, 5)]
    with pytest.raises(DatasetError, match="holds the sketches dodge, xdog; choose one with --sketch"):
        translate([faces], sketcher, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_pictures_do_not_stop_the_others(seg, label_maps, tmp_path):
    shutil.copytree(label_maps[0].parent, tmp_path / "in")
    (tmp_path / "in/00001.png").write_bytes(label_maps[1].read_bytes()[:-30])
    (tmp_path / "in/00003.png").write_bytes(b"")
    seen = []

    def progress(items, total):
        seen.append(total)
        for item in items:
            seen.append(item.name)
            yield item

    done = translate([tmp_path / "in"], seg, tmp_path / "out", sheet=True, batch_size=2, progress=progress)
    assert [name for name, _ in done.failures] == ["00001", "00003"]
    assert all(str(tmp_path / "in" / name) in str(error) for name, error in done.failures)
    assert not any(isinstance(error, WrongKindError) for _, error in done.failures)
    assert all(isinstance(error, PictureError) for _, error in done.failures)
    assert [path.stem for path in done.faces] == ["00000", "00002", "00004", "00005"]
    assert sorted(seen[1:]) == [f"0000{number}" for number in range(6)]
    assert seen[0] == 6
    assert images.read_photo(done.sheet).shape[0] == 22 + 4 * 132


# --------------------------------------------------------------------------------------------------------------- sheets


@pytest.mark.parametrize("samples", [0, 3])
def test_a_sheet_has_a_row_an_input(faces, seg, translator, tmp_path, samples):
    done = translate([faces], seg, tmp_path, samples=samples, sheet=True, batch_size=2)
    sheet = images.read_photo(done.sheet)
    columns = max(samples, 1) + 2
    assert done.sheet == tmp_path / "sheet.png"
    assert sheet.shape == (22 + 3 * 132, 4 + columns * 132, 3)
    for row, number in enumerate((1, 3, 5)):
        labels = translator.read(faces / f"labels/0000{number}.png")
        written = [images.read_photo(path) for path in done.faces if path.stem.startswith(f"0000{number}")]
        assert len(written) == max(samples, 1)
        pictures = [
            images.colourise(labels, translator.scheme),
            *written,
            images.read_photo(faces / f"photos/0000{number}.jpg"),
        ]
        for column, picture in enumerate(pictures):
            np.testing.assert_array_equal(cell_of(sheet, row, column, 128), images.resize(picture, (128, 128)))


def test_without_photos_a_sheet_has_no_column_for_them(seg, label_maps, tmp_path):
    done = translate(label_maps, seg, tmp_path, sheet=True)
    assert images.read_photo(done.sheet).shape == (22 + 6 * 132, 4 + 2 * 132, 3)


def test_an_unknown_photo_leaves_its_cell_empty(faces, seg, label_maps, tmp_path):
    shutil.copytree(faces, tmp_path / "data")
    (tmp_path / "data/photos/00003.jpg").write_bytes(b"damaged")
    done = translate([tmp_path / "data"], seg, tmp_path / "out", sheet=True)
    sheet = images.read_photo(done.sheet)
    assert len(done.faces) == 3
    assert [bool((cell_of(sheet, row, 2, 128) == 255).all()) for row in range(3)] == [False, True, False]


# -------------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"samples": -1}, "samples is -1; needed: at least 0"),
        ({"seed": -1}, "seed is -1; needed: at least 0"),
        ({"batch_size": 0}, "batch_size is 0; needed: at least 1"),
        ({"split": "foo"}, "split is 'foo'; needed: train, val, test or all"),
        ({"split": "test"}, "has no row with labels and photo in split 'test'"),
    ],
)
def test_options_out_of_range(faces, seg, tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        translate([faces], seg, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_inputs_that_are_not_there(seg, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing does not exist; give a picture, or a folder of pictures"):
        translate([tmp_path / "nothing"], seg, tmp_path / "out")
    with pytest.raises(InputError, match=r"no picture in .*/empty; looked for \.png"):
        translate([tmp_path / "empty"], seg, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_inputs_of_one_name(faces, seg, label_maps, tmp_path):
    (tmp_path / "more").mkdir()
    shutil.copy(label_maps[2], tmp_path / "more")
    with pytest.raises(InputError, match=r"labels/00002\.png and .*more/00002\.png would both become 00002\.png"):
        translate([faces / "labels", tmp_path / "more"], seg, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_input_that_the_sheet_would_cover(seg, label_maps, tmp_path):
    shutil.copy(label_maps[0], tmp_path / SHEET)
    with pytest.raises(InputError, match=r"the face of sheet and the contact sheet would both become .*sheet\.png"):
        translate([tmp_path / SHEET], seg, tmp_path / "out", sheet=True)
    assert len(translate([tmp_path / SHEET], seg, tmp_path / "out", sheet=True, samples=1).faces) == 1


def test_inputs_are_never_written_over(seg, label_maps, tmp_path):
    shutil.copytree(label_maps[0].parent, tmp_path / "in")
    before = contents(tmp_path / "in")
    with pytest.raises(InputError, match=r"the face of 00000 would take the place of the input .*; give another --out"):
        translate([tmp_path / "in"], seg, tmp_path / "in")
    assert contents(tmp_path / "in") == before
    assert len(translate([tmp_path / "in"], seg, tmp_path / "in", samples=1).faces) == 6
    assert before.items() <= contents(tmp_path / "in").items()


@pytest.mark.parametrize("name", ["out", "out/below"])
def test_a_file_in_place_of_the_folder(seg, label_maps, tmp_path, name):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot write into .*/out"):
        translate(label_maps, seg, tmp_path / name)
    assert contents(tmp_path) == {"out": b"mine"}


def test_a_full_disk_leaves_whole_pictures(seg, label_maps, tmp_path):
    with small_disk(tmp_path / "disk", "36k") as disk:
        with pytest.raises(OutputError, match=r"cannot write .*No space left on device"):
            translate(label_maps, seg, disk.root, samples=3, batch_size=1)
        written = sorted(disk.root.glob("*.png"))
        assert 0 < len(written) < 18
        assert {images.read_photo(path).shape for path in written} == {(32, 32, 3)}
        assert leftovers(disk.root) == []
        disk.grow("2m")
        assert len(translate(label_maps, seg, disk.root, samples=3, batch_size=1).faces) == 18


def test_sizes_of_input_and_output_are_the_models_own(tmp_path, label_maps):
    path = save_model(tmp_path / "a.safetensors", input_size=64, output_size=32)
    assert native.load(path).config == small_model(input_size=64)
    done = translate(label_maps[:1], path, tmp_path / "out", sheet=True)
    assert images.read_photo(done.faces[0]).shape == (32, 32, 3)
    assert images.read_photo(done.sheet).shape == (22 + 132, 4 + 2 * 132, 3)


def test_label_maps_of_another_scheme_are_refused(faces, tmp_path):
    root = shutil.copytree(faces, tmp_path / "data")
    info = root / "dataset.json"
    info.write_text(info.read_text().replace('"label_scheme": "celebamask-hq"', '"label_scheme": "face-parsing"', 1))
    given = native.load(save_model(tmp_path / "a.safetensors"))
    find_sources([faces], given)
    with pytest.raises(DatasetError, match=r"of the scheme face-parsing, .*a\.safetensors takes celebamask-hq"):
        find_sources([root], given)


def test_a_sketch_method_with_nothing_to_choose_is_refused(faces, seg, sketcher):
    for inputs, given in (([faces], seg), ([faces / "labels"], seg), ([faces / "sketches" / "xdog"], sketcher)):
        with pytest.raises(InputError, match=r"sketch method 'xdog' came.* leave out --sketch"):
            find_sources(inputs, native.load(given), sketch="xdog")
    assert len(find_sources([faces], native.load(sketcher), sketch="xdog")) == 3


# --------------------------------------------------------------------------------------------------- latents and styles


def test_latents_are_written_and_read_again(seg, translator, label_maps, tmp_path):
    styling, writing = Styling(samples=2, seed=3), Writing(latents=True)
    done = translate(label_maps[:2], seg, tmp_path / "out", styling=styling, writing=writing)
    names = [path.with_suffix(".npy").name for path in done.faces]
    assert contents(tmp_path / "out").keys() == {*(path.name for path in done.faces), *names, RECORD}
    latents = translator.stylise(translator.encode(translator.read(label_maps[1])[None]), styling)
    np.testing.assert_allclose(np.load(tmp_path / "out" / names[3]), latents[1][0].numpy(), atol=1e-5)
    again = translate([tmp_path / "out"], seg, tmp_path / "again", from_latents=True)
    assert [path.name for path in again.faces] == [path.name for path in done.faces]
    for one, other in zip(done.faces, again.faces, strict=True):
        assert_near(images.read_photo(one), images.read_photo(other))


def test_bad_latents_do_not_stop_the_others(seg, tmp_path):
    (tmp_path / "in").mkdir()
    for name, latents in {"a": np.zeros((8, 16)), "b": np.zeros((4, 16)), "c": np.ones((8, 16))}.items():
        np.save(tmp_path / f"in/{name}.npy", latents)
    done = translate([tmp_path / "in"], seg, tmp_path / "out", from_latents=True, sheet=True)
    assert [path.name for path in done.faces] == ["a.png", "c.png"]
    ((name, error),) = done.failures
    assert name == "b"
    assert "needed: numbers of shape (8, 16)" in str(error)
    assert images.read_photo(done.sheet).shape == (22 + 2 * 132, 4 + 132, 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["picture", "latents"])
def test_a_style_from_a_file(seg, translator, label_maps, tmp_path, kind):
    style = translator.encode(translator.read(label_maps[5])[None])[0]
    source = label_maps[5]
    if kind == "latents":
        source = tmp_path / "style.npy"
        np.save(source, style.numpy())
    styling = Styling(mix_layers="16px-up", mix_alpha=0.5)
    done = translate(label_maps[:2], seg, tmp_path / "out", styling=styling, style_from=source)
    expected = translator.translate(
        translator.read(label_maps[1])[None], style=style, mix_layers="16px-up", mix_alpha=0.5
    )
    assert_near(images.read_photo(done.faces[1]), expected[0, 0])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"style_from": Path("photo")}, r"cannot read photo"),
        ({"style_from": Path("a.npy")}, r"cannot read a\.npy: No such file"),
        ({"styling": Styling(mix_layers="all")}, "mix_layers is all, but there is no style to mix in"),
        ({"styling": Styling(mix_alpha=0.5)}, r"mix_alpha is 0\.5, but there is no style to mix in"),
        ({"styling": Styling(samples=1, mix_layers="99")}, "mix_layers is '99'; it has the layers 0 to 7"),
        ({"frames": 3}, "frames is 3, but there is nothing to interpolate between"),
        ({"styling": Styling(follow=0.5)}, r"follow is 0\.5, but .* has no spatial path; leave it out"),
        ({"interpolate": (Path("a"), Path("b"))}, "came beside two inputs to interpolate between"),
        ({"split": "val"}, "the split 'val' came without a dataset folder"),
    ],
)
def test_what_would_be_taken_and_ignored(seg, label_maps, tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        translate(label_maps[:1], seg, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_style_that_the_model_cannot_encode(seg, faces, label_maps, tmp_path):
    with pytest.raises(WrongKindError, match=r"00001\.jpg has .* of no class .*; .* is a seg2face checkpoint"):
        translate(label_maps[:1], seg, tmp_path / "out", style_from=faces / "photos/00001.jpg")


def test_nothing_to_do(seg, tmp_path):
    with pytest.raises(InputError, match="there is no input; needed: pictures"):
        translate([], seg, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("samples", [0, 2])
def test_faces_on_the_way_between_two(seg, translator, label_maps, tmp_path, samples):
    a, b = label_maps[:2]
    done = translate([], seg, tmp_path / "out", interpolate=(a, b), frames=11, samples=samples, sheet=True)
    ends = [f"_{number}" for number in range(samples)] or [""]
    assert [path.name for path in done.faces] == [f"00000-00001_{n:02d}{end}.png" for n in range(11) for end in ends]
    first, last = (translator.encode(translator.read(path)[None])[0] for path in (a, b))
    way = translator.interpolate(first, last, 11)
    for number in (0, 3, 10):
        expected = translator.synthesise(translator.stylise(way[number][None], Styling(samples=samples))[0])
        assert_near(images.read_photo(done.faces[number * max(samples, 1)]), expected[0])
    assert images.read_photo(done.sheet).shape == (22 + 2 * max(samples, 1) * 132, 4 + 8 * 132, 3)
    mixed = tmp_path / "b.npy"
    np.save(mixed, last.numpy())
    again = translate([], seg, tmp_path / "again", interpolate=(a, mixed), frames=2, samples=samples)
    assert_near(images.read_photo(again.faces[-1]), images.read_photo(done.faces[-1]))


def test_faces_of_a_spatial_model_between_two(spatial, label_maps, tmp_path):
    translator = Translator.from_checkpoint(spatial, device="cpu")
    a, b = label_maps[:2]
    done = translate([], spatial, tmp_path / "out", interpolate=(a, b), frames=3)
    conditions = [translator.read(path)[None] for path in (a, b)]
    way = translator.interpolate(*(translator.encode(each)[0] for each in conditions), 3)
    first, last = (translator.spatial_maps(each) for each in conditions)
    for number, weight in enumerate((0.0, 0.5, 1.0)):
        maps = {size: torch.lerp(first[size], last[size], weight) for size in first}
        expected = translator.synthesise(way[number][None], maps=maps)[0]
        assert_near(images.read_photo(done.faces[number]), expected)
        assert np.abs(translator.synthesise(way[number][None])[0].astype(int) - expected).mean() > 1
    mixed = tmp_path / "b.npy"
    np.save(mixed, way[2].numpy())
    alone = translate([], spatial, tmp_path / "alone", interpolate=(a, mixed), frames=2)
    assert_near(images.read_photo(alone.faces[0]), translator.synthesise(way[:1])[0])


def test_follow_scales_the_maps_of_every_face(spatial, label_maps, tmp_path):
    exact, loose = (
        translate_files(label_maps[:1], spatial, tmp_path / str(follow), styling=Styling(samples=2, follow=follow))
        for follow in (1.0, 0.0)
    )
    translator = Translator.from_checkpoint(spatial, device="cpu")
    latents = translator.encode(translator.read(label_maps[0])[None])
    for number, each in enumerate(translator.stylise(latents, Styling(samples=2))):
        assert_near(images.read_photo(loose.faces[number]), translator.synthesise(each)[0])
        difference = images.read_photo(exact.faces[number]).astype(int) - images.read_photo(loose.faces[number])
        assert np.abs(difference).mean() > 1


# --------------------------------------------------------------------------------------------------------- how it is written


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "starts"), [("png", b"\x89PNG"), ("jpg", b"\xff\xd8\xff"), ("webp", b"RIFF")])
def test_formats_and_sizes(seg, label_maps, tmp_path, kind, starts):
    whole = translate(label_maps[:1], seg, tmp_path / "whole").faces[0]
    (face,) = translate(label_maps[:1], seg, tmp_path / "out", writing=Writing(format=kind, size=96)).faces
    assert face.name == f"00000.{kind}"
    assert face.read_bytes().startswith(starts)
    expected = images.resize(images.read_photo(whole), (96, 96)).astype(int)
    assert np.abs(images.read_photo(face) - expected).mean() < 4


@pytest.mark.parametrize("options", [{"format": "gif"}, {"size": 0}, {"size": 10000}])
def test_formats_and_sizes_that_there_are_not(options):
    with pytest.raises(InputError, match=f"{next(iter(options))} is .*; needed"):
        Writing(**options)


# ------------------------------------------------------------------------------------------------------------- once more


def test_the_same_call_again_does_nothing(faces, seg, tmp_path):
    done = translate([faces], seg, tmp_path / "out", samples=2, sheet=True)
    before, when = contents(tmp_path / "out"), times(tmp_path / "out")
    again = translate([faces], seg, tmp_path / "out", samples=2, sheet=True)
    assert (done.written, done.kept, again.written, again.kept) == (6, 0, 0, 6)
    assert again.faces == done.faces
    assert contents(tmp_path / "out") == before
    assert {name: time for name, time in times(tmp_path / "out").items() if name != SHEET} == {
        name: time for name, time in when.items() if name != SHEET
    }
    forced = translate([faces], seg, tmp_path / "out", samples=2, sheet=True, force=True)
    assert (forced.written, forced.kept) == (6, 0)
    assert contents(tmp_path / "out") == before


def test_what_is_missing_or_changed_is_made(seg, label_maps, tmp_path):
    folder = shutil.copytree(label_maps[0].parent, tmp_path / "in")
    translate([folder], seg, tmp_path / "out")
    before = contents(tmp_path / "out")
    (tmp_path / "out/00002.png").unlink()
    shutil.copy(label_maps[0], folder / "00004.png")
    shutil.copy(label_maps[0], folder / "more.png")
    done = translate([folder], seg, tmp_path / "out")
    assert (done.written, done.kept) == (3, 4)
    after = contents(tmp_path / "out")
    assert after["00002.png"] == before["00002.png"]
    assert after["00004.png"] == after["more.png"] == before["00000.png"] != before["00004.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"seed": 1, "samples": 1},
        {"styling": Styling(samples=1, mix_layers="all")},
        {"styling": Styling(samples=1, truncation=0.5)},
        {"writing": Writing(size=16)},
    ],
)
def test_other_settings_make_the_faces_anew(seg, label_maps, tmp_path, options):
    first = {"samples": 1} if "writing" not in options else {}
    translate(label_maps, seg, tmp_path / "out", **first)
    before = pictures(tmp_path / "out")
    done = translate(label_maps, seg, tmp_path / "out", **options)
    assert (done.written, done.kept) == (6, 0)
    after = pictures(tmp_path / "out")
    assert after.keys() == before.keys()
    assert not [name for name in before if before[name] == after[name]]


def test_another_checkpoint_makes_the_faces_anew(seg, label_maps, tmp_path):
    shutil.copy(seg, tmp_path / "a.safetensors")
    translate(label_maps, tmp_path / "a.safetensors", tmp_path / "out")
    assert translate(label_maps, tmp_path / "a.safetensors", tmp_path / "out").kept == 6
    save_model(tmp_path / "a.safetensors", input_size=64)
    assert translate(label_maps, tmp_path / "a.safetensors", tmp_path / "out").written == 6


def test_a_picture_that_went_bad_is_no_longer_recorded(seg, label_maps, tmp_path):
    folder = shutil.copytree(label_maps[0].parent, tmp_path / "in")
    translate([folder], seg, tmp_path / "out")
    good = (folder / "00003.png").read_bytes()
    (folder / "00003.png").write_bytes(good[:50])
    done = translate([folder], seg, tmp_path / "out")
    assert ([name for name, _ in done.failures], done.kept) == (["00003"], 5)
    (folder / "00003.png").write_bytes(good)
    assert translate([folder], seg, tmp_path / "out").written == 1


# ---------------------------------------------------------------------------------------------------------------- memory


@pytest.mark.slow
@pytest.mark.parametrize("fits", [1, 3])
def test_a_batch_that_does_not_fit_is_halved(seg, label_maps, tmp_path, monkeypatch, fits):
    whole = translate(label_maps, seg, tmp_path / "whole")
    encode, sizes = Translator.encode, []

    def small(self, batch):
        sizes.append(len(batch))
        if len(batch) > fits:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return encode(self, batch)

    monkeypatch.setattr(Translator, "encode", small)
    monkeypatch.setattr("facesynth.model.inference.translate_files.batch_to_begin_with", lambda device: 6)
    done = translate(label_maps, seg, tmp_path / "out")
    assert sizes == {1: [6, 3, 1, 2, 1, 1, 3, 1, 2, 1, 1], 3: [6, 3, 3]}[fits]
    for one, other in zip(done.faces, whole.faces, strict=True):
        assert_near(images.read_photo(one), images.read_photo(other))
    with pytest.raises(
        InputError, match=r"too little memory for 6 faces of 32 px at a time; give a smaller --batch-size"
    ):
        translate(label_maps, seg, tmp_path / "other", batch_size=6)


def test_other_errors_are_not_taken_for_a_lack_of_memory(seg, label_maps, tmp_path, monkeypatch):
    def broken(self, batch):
        raise RuntimeError("unsupported memory format")

    monkeypatch.setattr(Translator, "encode", broken)
    with pytest.raises(RuntimeError, match="unsupported memory format"):
        translate(label_maps, seg, tmp_path / "out")


def test_what_was_read_in_another_way_is_noted(sketcher, faces, tmp_path):
    (tmp_path / "in").mkdir()
    drawing = images.read_sketch(faces / "sketches/dodge/00001.png")
    images.write_png(tmp_path / "in/a.png", drawing)
    images.write_png(tmp_path / "in/b.png", 255 - drawing)
    done = translate([tmp_path / "in"], sketcher, tmp_path / "out")
    assert done.notes == [("b", "light lines on dark: read as dark on light")]
    one, other = (images.read_photo(path) for path in done.faces)
    np.testing.assert_array_equal(one, other)


def test_photos_go_into_a_model_for_photos(faces, label_maps, tmp_path):
    path = save_model(tmp_path / "photo.safetensors", "photo2face")
    done = translate([faces / "photos"], path, tmp_path / "out", sheet=True)
    assert (len(done.faces), done.failures) == (6, [])
    assert images.read_photo(done.sheet).shape == (22 + 6 * 132, 4 + 2 * 132, 3)
    ((_, error),) = translate(label_maps[:1], path, tmp_path / "out").failures
    assert "needed: a photo; " in str(error)


@pytest.mark.slow
def test_a_drawing_is_read_and_decoded_once(tmp_path, monkeypatch):
    paper = np.full((64, 64), 255, np.uint8)
    paper[20:44, 30:33] = 0
    images.write_png(tmp_path / "a.png", paper)
    reads, decodings = [], []
    read_bytes, decode = images.read_bytes, images.decode
    monkeypatch.setattr(images, "read_bytes", lambda path: reads.append(path) or read_bytes(path))
    monkeypatch.setattr(images, "decode", lambda data, path: decodings.append(path) or decode(data, path))
    done = translate_files([tmp_path / "a.png"], None, tmp_path / "faces", writing=Writing(sheet=True), device="cpu")
    assert done.chosen == "photo-sketch"
    assert reads.count(tmp_path / "a.png") == 1
    assert decodings.count(tmp_path / "a.png") == 1


# --------------------------------------------------------------------------------------------------------------- colours


@pytest.fixture(scope="module")
def coloured(tmp_path_factory) -> Path:
    """A model of label maps whose styles have the colours of two regions."""
    return save_model(tmp_path_factory.mktemp("coloured") / "model.safetensors", style_colours=("background", "skin"))


def test_a_photo_gives_its_colours_as_a_style(coloured, label_maps, faces, tmp_path):
    photo, out = faces / "photos/00001.jpg", tmp_path / "out"
    translate(label_maps[:1], coloured, out, style_from=photo)
    parser = Parser(native.load_parser(native.find(Path("photo-parser"))), device="cpu")
    shown = images.read_photo(photo)
    colours = measure_colours(shown, parser.parse(shown), parser.scheme, ("background", "skin"))
    assert set(colours) == {"background", "skin"}
    translate(label_maps[:1], coloured, tmp_path / "same", styling=Styling(colours=colours))
    assert pictures(out) == pictures(tmp_path / "same")
    assert json.loads((out / RECORD).read_text().splitlines()[0])["settings"]["colours"] == colours


def test_given_colours_come_before_those_of_a_photo(coloured, label_maps, faces, tmp_path):
    photo = faces / "photos/00001.jpg"
    for name, colours in (("own", {}), ("given", {"skin": "navy"})):
        translate(label_maps[:1], coloured, tmp_path / name, style_from=photo, styling=Styling(colours=colours))
    own, given = (
        json.loads((tmp_path / name / RECORD).read_text().splitlines()[0])["settings"]["colours"]
        for name in ("own", "given")
    )
    assert given == {**own, "skin": "navy"}
    assert pictures(tmp_path / "own") != pictures(tmp_path / "given")


def test_a_photo_without_the_regions_has_no_colours(tmp_path, label_maps, faces):
    path = save_model(tmp_path / "model.safetensors", style_colours=("cloth",))
    photo = images.read_photo(faces / "photos/00001.jpg")
    size = len(photo)
    images.write_png(tmp_path / "head.png", images.resize(photo[: size * 6 // 10], (300, 500)))
    with pytest.raises(PictureError, match=r"head\.png has no cloth to take colours of; give a photo of a face"):
        translate(label_maps[:1], path, tmp_path / "out", style_from=tmp_path / "head.png")
    assert not (tmp_path / "out").exists()
