from __future__ import annotations

import pytest
import torch
from PIL import Image

from facesynth.errors import InputError
from facesynth.model.data.low_resolution import lowered

from .. import recipe


def test_detail_goes_and_the_rest_stays():
    photo = recipe.picture("loss-a")[:1]
    smooth = (2 * recipe.sketch().expand(1, 3, -1, -1) - 1).contiguous()
    both = lowered(torch.cat([photo, smooth]), [8, 2])
    assert both.shape == (2, 3, 256, 256)
    assert both[0].std() < 0.2 * photo.std()
    torch.testing.assert_close(both[0].mean(), photo.mean(), atol=0.01, rtol=0)
    assert (both[1] - smooth).abs().mean() < 0.03 * smooth.std()
    assert both.abs().max() <= 1


def test_every_photo_by_its_own_factor_and_one_is_none():
    photos = recipe.picture("loss-a")
    mixed = lowered(photos, [1, 32])
    assert torch.equal(mixed[0], photos[0])
    assert torch.equal(mixed[1], lowered(photos[1:], [32])[0])
    assert lowered(photos, [2, 2]).std() > lowered(photos, [4, 4]).std() > lowered(photos, [16, 16]).std()


def test_it_is_what_pillow_makes_of_it():
    levels = (recipe.sketch()[0, 0] * 255).byte()
    small = Image.fromarray(levels.numpy()).resize((32, 32), Image.Resampling.BICUBIC)
    back = torch.tensor(list(small.resize((256, 256), Image.Resampling.BILINEAR).tobytes())).view(256, 256)
    ours = lowered((levels.float() / 127.5 - 1).expand(1, 3, -1, -1), [8])[0, 0]
    assert ((ours + 1) * 127.5 - back).abs().max() < 2


@pytest.mark.parametrize("factors", [[3, 1], [1], [0, 1]])
def test_factors_that_do_not_fit(factors):
    with pytest.raises(InputError, match="needed: 2 divisors of 256"):
        lowered(recipe.picture("loss-a"), factors)
