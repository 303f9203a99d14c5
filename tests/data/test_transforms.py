from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.data import (
    CenterCrop,
    ColorJitter,
    Compose,
    Cutout,
    DataLoader,
    GaussianNoise,
    Grayscale,
    MixUp,
    Normalize,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
    TensorDataset,
    Together,
    Watermark,
)
from tinygrad_cnn.data.transforms import ImageTransform
from tinygrad_cnn.nn import functional as F

IMAGE = np.random.default_rng(0).random((1, 2, 5, 7), np.float32)


class Fixed:
    """Stands for a generator: gives the numbers it was made with, whatever range is asked for."""

    def __init__(self, *draws: float) -> None:
        self.draws = iter(draws)

    def uniform(self, low: float, high: float, count: int) -> np.ndarray:
        draw = next(self.draws)
        assert low <= draw <= high
        return np.full(count, draw)


def change(image: np.ndarray, angle: float, scale: float, down: float, across: float) -> np.ndarray:
    transform = RandomAffine(180, (1.0, 1.0), (0.1, 10.0))
    random = Fixed(angle, scale, down / image.shape[2], across / image.shape[3])
    return transform(tg.Tensor(image), random).numpy()  # type: ignore[arg-type]


def test_no_change_is_exact():
    unchanged = RandomAffine(0)(tg.Tensor(IMAGE), np.random.default_rng(0))
    np.testing.assert_array_equal(unchanged.numpy(), IMAGE)


def test_shift_by_whole_pixels():
    expected = np.zeros_like(IMAGE)
    expected[:, :, 2:, :-1] = IMAGE[:, :, :-2, 1:]
    np.testing.assert_allclose(change(IMAGE, 0, 1, 2, -1), expected, atol=1e-5)


def test_shift_by_half_a_pixel_is_the_mean_of_neighbours():
    padded = np.pad(IMAGE, ((0, 0), (0, 0), (0, 0), (1, 0)))
    expected = (padded[..., 1:] + padded[..., :-1]) / 2
    np.testing.assert_allclose(change(IMAGE, 0, 1, 0, 0.5), expected, atol=1e-5)


@pytest.mark.parametrize("quarters", [1, 2, -1])
def test_quarter_turns_are_clockwise(quarters):
    square = IMAGE[..., :5]
    np.testing.assert_allclose(change(square, 90 * quarters, 1, 0, 0), np.rot90(square, -quarters, (2, 3)), atol=1e-5)


def test_scale_enlarges():
    dot = np.zeros((1, 1, 9, 9), np.float32)
    dot[0, 0, 4, 6] = 1
    large = change(dot, 0, 2, 0, 0)[0, 0]
    assert np.unravel_index(large.argmax(), large.shape) == (4, 8)
    constant = np.ones((1, 1, 8, 8), np.float32)
    assert change(constant, 0, 0.5, 0, 0).sum() == pytest.approx(16)


def test_each_image_is_changed_by_itself_and_draws_repeat():
    batch = tg.Tensor(np.repeat(IMAGE, 4, axis=0))
    transform = RandomAffine(20, (0.1, 0.1), (0.8, 1.2))
    first = transform(batch, np.random.default_rng(5)).numpy()
    np.testing.assert_array_equal(transform(batch, np.random.default_rng(5)).numpy(), first)
    assert len({image.tobytes() for image in first}) == 4
    assert first.dtype == np.float32
    assert transform(tg.Tensor(np.zeros((0, 1, 4, 4))), np.random.default_rng(5)).shape == (0, 1, 4, 4)


def test_wrong_arguments():
    for settings in ({"degrees": -1}, {"degrees": 0, "translate": (-0.1, 0)}, {"degrees": 0, "scale": (1.2, 0.8)}):
        with pytest.raises(tg.ArgumentError, match="out of range"):
            RandomAffine(**settings)
    with pytest.raises(tg.ShapeError, match=r"\(N, C, H, W\)"):
        RandomAffine(0)(tg.Tensor([1.0]), np.random.default_rng(0))


MANY = np.random.default_rng(1).random((200, 3, 6, 5), np.float32)
TRANSFORMS: list[ImageTransform] = [
    RandomAffine(20, (0.1, 0.1), (0.8, 1.2)), RandomHorizontalFlip(), RandomVerticalFlip(), RandomCrop(4, padding=1),
    CenterCrop(3), Resize(4), ColorJitter(0.5, 0.5), Grayscale(), GaussianNoise(), Watermark(spacing=4), Cutout(3),
    Normalize(0.5, 0.25),
]  # fmt: skip


def apply(transform: ImageTransform, images: np.ndarray, seed: int = 0) -> np.ndarray:
    return transform(tg.Tensor(images), np.random.default_rng(seed)).numpy()


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: type(transform).__name__)
class TestAll:
    def test_seed_type_and_device(self, transform, device_name):
        for dtype in (np.float32, np.float64):
            images = tg.Tensor(MANY.astype(dtype))
            changed = transform(images, np.random.default_rng(0))
            assert changed.dtype == dtype
            assert changed.device == device_name
            np.testing.assert_array_equal(images.numpy(), MANY.astype(dtype))
            np.testing.assert_array_equal(changed.numpy(), apply(transform, images.numpy()))
        tg.seed(5)
        first = transform(images).numpy()
        tg.seed(5)
        np.testing.assert_array_equal(transform(images).numpy(), first)

    def test_each_image_has_its_own_amounts(self, transform):
        same = np.repeat(MANY[:1], 50, 0)
        kinds = len({image.tobytes() for image in apply(transform, same)})
        fixed = isinstance(transform, CenterCrop | Resize | Normalize | Grayscale)
        assert kinds == 1 if fixed else kinds > 1

    def test_empty_batch(self, transform):
        assert len(apply(transform, MANY[:0])) == 0

    def test_repr_is_code(self, transform):
        assert eval(repr(transform)) == transform

    def test_no_images(self, transform):
        with pytest.raises(tg.ShapeError, match=r"\(N, C, H, W\)[^$]*unsqueeze\(0\)"):
            transform(tg.Tensor(MANY[0]))
        if transform.needs_numbers:
            with pytest.raises(tg.DTypeError, match=r"uint8[^$]*/ 255"):
                transform(tg.Tensor((MANY * 255).astype(np.uint8)))
        else:
            whole = (MANY * 255).astype(np.uint8)
            np.testing.assert_array_equal(apply(transform, whole), apply(transform, whole.astype(np.float32)))


@pytest.mark.parametrize(("transform", "axis"), [(RandomHorizontalFlip, 3), (RandomVerticalFlip, 2)])
def test_flips(transform, axis):
    np.testing.assert_array_equal(apply(transform(p=1), MANY), np.flip(MANY, axis))
    np.testing.assert_array_equal(apply(transform(p=0), MANY), MANY)
    changed = (apply(transform(p=0.3), MANY) != MANY).any((1, 2, 3))
    assert abs(changed.sum() - 60) < 5 * 6.5
    with pytest.raises(tg.ArgumentError, match=r"p=1.5[^$]*0 <= p <= 1"):
        transform(p=1.5)


def test_random_crop_cuts_from_the_padded_image_every_place_equally_often():
    image = np.arange(1, 13, dtype=np.float32).reshape(1, 1, 3, 4)
    padded = np.pad(image[0, 0], 1)  # 5 x 6, so 4 * 4 places of 2 x 3
    places = {padded[y : y + 2, x : x + 3].tobytes(): 0 for y in range(4) for x in range(4)}
    for crop in apply(RandomCrop((2, 3), padding=1), np.repeat(image, 4000, 0)):
        places[crop.tobytes()] += 1
    assert min(places.values()) > 250 - 5 * 15.3
    with pytest.raises(tg.ShapeError, match=r"8x7 pixels \(with padding\)[^$]*H >= 9"):
        apply(RandomCrop(9, padding=1), MANY)
    with pytest.raises(tg.ArgumentError, match="size >= 1"):
        RandomCrop(0)


def test_centre_crop():
    np.testing.assert_array_equal(apply(CenterCrop((2, 3)), MANY), MANY[:, :, 2:4, 1:4])
    np.testing.assert_array_equal(apply(CenterCrop((3, 2)), MANY), MANY[:, :, 1:4, 1:3])  # half a pixel up and left
    with pytest.raises(tg.ShapeError, match="W >= 6"):
        apply(CenterCrop(6), MANY)


@pytest.mark.parametrize("size", [(3, 2), (12, 10), (7, 3), (6, 5), 3, 11])
def test_resize_is_pillows(size):
    image_module = pytest.importorskip("PIL.Image")
    found = apply(Resize(size), MANY[:2])
    for image, changed in zip(MANY, found, strict=False):
        for before, after in zip(image, changed, strict=True):
            size_after = after.shape[::-1]
            expected = image_module.fromarray(before).resize(size_after, image_module.Resampling.BILINEAR)
            np.testing.assert_allclose(after, np.asarray(expected), atol=2e-6)


def test_resize_by_the_shorter_side_keeps_the_shape():
    assert apply(Resize(10), MANY).shape == (200, 3, 12, 10)
    assert apply(Resize(10), MANY.transpose(0, 1, 3, 2)).shape == (200, 3, 10, 12)
    np.testing.assert_allclose(apply(Resize((3, 5)), np.ones((1, 1, 7, 2), np.float32)), 1, rtol=1e-6)
    with pytest.raises(tg.ArgumentError, match="size >= 1"):
        Resize((0, 3))


def test_brightness_multiplies_and_contrast_stretches():
    random = np.random.default_rng(0)
    bright, contrast = random.uniform(0.6, 1.4, 200), random.uniform(0.7, 1.3, 200)
    expected = np.clip(MANY * bright[:, None, None, None], 0, 1)
    np.testing.assert_allclose(apply(ColorJitter(brightness=0.4), MANY), expected, atol=1e-6)
    grey = np.tensordot(expected.mean((2, 3)), [0.299, 0.587, 0.114], 1)[:, None, None, None]
    expected = np.clip(grey + contrast[:, None, None, None] * (expected - grey), 0, 1)
    np.testing.assert_allclose(apply(ColorJitter(0.4, 0.3), MANY), expected, atol=1e-6)
    np.testing.assert_array_equal(apply(ColorJitter(), MANY), MANY)
    one = MANY[:, :1]
    changed = apply(ColorJitter(contrast=0.2), one * 0.5 + 0.25)
    np.testing.assert_allclose(changed.mean((2, 3)), (one * 0.5 + 0.25).mean((2, 3)), rtol=1e-5)
    with pytest.raises(tg.ArgumentError, match="brightness >= 0"):
        ColorJitter(-0.1)


def test_grey_is_the_weighted_sum():
    expected = 0.299 * MANY[:, 0] + 0.587 * MANY[:, 1] + 0.114 * MANY[:, 2]
    np.testing.assert_allclose(apply(Grayscale(), MANY), expected[:, None], rtol=1e-5)
    three = apply(Grayscale(3), MANY)
    assert three.shape == MANY.shape
    np.testing.assert_array_equal(three[:, 0], three[:, 2])
    with pytest.raises(tg.ShapeError, match="images of 1 channels"):
        apply(Grayscale(), MANY[:, :1])
    with pytest.raises(tg.ArgumentError, match="1 or 3"):
        Grayscale(2)


def test_noise_has_its_mean_and_spread():
    noise = apply(GaussianNoise(0.1, 0.2, clip=False), MANY) - MANY
    assert abs(noise.mean() - 0.1) < 5 * 0.2 / noise.size**0.5
    assert noise.std() == pytest.approx(0.2, rel=0.03)
    clipped = apply(GaussianNoise(0.1, 0.2), MANY)
    np.testing.assert_array_equal(clipped, np.clip(MANY + noise, 0, 1))
    with pytest.raises(tg.ArgumentError, match="sigma >= 0"):
        GaussianNoise(sigma=-1)


def test_watermark_is_a_grid_of_slanting_lines():
    marked = apply(Watermark(opacity=0.25, spacing=8, thickness=2), np.zeros((50, 2, 16, 16), np.float32))
    assert set(np.unique(marked)) == {0, 0.25}
    np.testing.assert_array_equal(marked[:, 0], marked[:, 1])
    np.testing.assert_array_equal(marked[:, :, 8:], marked[:, :, :8])  # it repeats
    np.testing.assert_allclose(marked.mean((1, 2, 3)) / 0.25, 1 - 0.75**2)  # two lines of a quarter of the pixels each
    image = np.full((1, 1, 16, 16), 0.5, np.float32)
    values, counts = np.unique(apply(Watermark(0.25, 8, 2), image), return_counts=True)
    np.testing.assert_allclose(values, [0.5, 0.625])
    assert counts[1] == 112
    for wrong in ({"opacity": 1.1}, {"thickness": 0}, {"spacing": 2, "thickness": 3}):
        with pytest.raises(tg.ArgumentError, match="out of range"):
            Watermark(**wrong)


def test_cutout_is_a_square_around_any_pixel():
    ones = np.ones((500, 2, 6, 8), np.float32)
    found = {image.tobytes() for image in apply(Cutout(3), ones)}
    expected = set()
    for y in range(6):
        for x in range(8):
            image = ones[0].copy()
            image[:, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 0
            expected.add(image.tobytes())
    assert found == expected
    even = apply(Cutout(2), ones)
    assert even[:, 0].sum((1, 2)).min() == 48 - 4
    with pytest.raises(tg.ArgumentError, match="size >= 1"):
        Cutout(0)


def test_normalize():
    mean, std = np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0, 4.0])
    expected = (MANY - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(apply(Normalize(tuple(mean), tuple(std)), MANY), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(tg.ShapeError, match=r"channels: 3[^$]*of 3 numbers"):
        apply(Normalize((0.5, 0.5), 1.0), MANY)
    with pytest.raises(tg.ArgumentError, match="std != 0"):
        Normalize(0.5, (1.0, 0.0))


def test_compose_goes_in_order_with_one_stream():
    both = Compose([GaussianNoise(sigma=0.1, clip=False), RandomCrop(3)])
    random = np.random.default_rng(4)
    expected = RandomCrop(3)(GaussianNoise(sigma=0.1, clip=False)(tg.Tensor(MANY), random), random)
    np.testing.assert_array_equal(apply(both, MANY, 4), expected.numpy())


def test_mixup_mixes_images_and_labels_alike():
    count = 40
    labels = np.arange(count) % 4
    images = np.eye(count, dtype=np.float32)  # which images went in can be read off
    mixed, soft = MixUp(4, alpha=0.5)((tg.Tensor(images), tg.Tensor(labels)), np.random.default_rng(3))
    random = np.random.default_rng(3)
    lam, others = np.float32(random.beta(0.5, 0.5)), random.permutation(count)
    assert 0.01 < lam < 0.99
    np.testing.assert_allclose(mixed.numpy(), lam * images + (1 - lam) * images[others], rtol=1e-6)
    np.testing.assert_allclose(soft.numpy(), mixed.numpy() @ np.eye(4)[labels], rtol=1e-6)
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft.numpy().sum(1), 1, rtol=1e-6)
    assert F.cross_entropy(tg.Tensor(np.zeros((count, 4), np.float32)), soft).item() == pytest.approx(np.log(4))


def test_mixup_in_a_loader_is_the_same_with_workers():
    dataset = TensorDataset(tg.Tensor(MANY), tg.Tensor(np.arange(200) % 10))

    def epoch(num_workers: int) -> list[np.ndarray]:
        loader = DataLoader(
            dataset, 32, shuffle=True, seed=0, num_workers=num_workers,
            transform=RandomHorizontalFlip(), batch_transform=MixUp(10),
        )  # fmt: skip
        return [part.numpy() for batch in loader for part in batch]

    alone = epoch(0)
    assert alone[1].shape == (32, 10)
    for a, b in zip(alone, epoch(2), strict=True):
        np.testing.assert_array_equal(a, b)


def test_mixup_refuses():
    images, labels = tg.Tensor(MANY[:4]), tg.Tensor([0, 1, 2, 3])
    mix = MixUp(4)
    with pytest.raises(tg.ArgumentError, match=r"0 to 3[^$]*0 to 2"):
        MixUp(3)((images, labels))
    with pytest.raises(tg.ShapeError, match="images and labels"):
        mix((images,))
    with pytest.raises(tg.ShapeError, match="images and labels"):
        mix((images, labels[:3]))
    with pytest.raises(tg.DTypeError, match="labels float32"):
        mix((images, tg.Tensor([0.0, 1.0, 2.0, 3.0])))
    with pytest.raises(tg.ArgumentError, match="alpha > 0"):
        MixUp(3, 0)


def test_together_changes_image_and_mask_alike():
    mask = (MANY[:, :1] * 4).astype(np.int64)
    change = Together(Compose([RandomCrop(4), RandomHorizontalFlip()]))
    labels = tg.Tensor(np.arange(200))
    images, masks, same = change((tg.Tensor(MANY), tg.Tensor(mask), labels), np.random.default_rng(0))
    assert images.shape == (200, 3, 4, 4)
    assert masks.dtype == np.int64
    np.testing.assert_array_equal((images.numpy()[:, :1] * 4).astype(np.int64), masks.numpy())
    assert same is labels
    again, *_ = change((tg.Tensor(MANY), tg.Tensor(mask), labels), np.random.default_rng(1))
    assert (again.numpy() != images.numpy()).any()


def test_pairs_of_spoilt_and_good_images_are_new_in_each_epoch():
    good = tg.Tensor(MANY)
    loader = DataLoader(TensorDataset(good, good), 200, seed=0, transform=GaussianNoise(sigma=0.2))
    ((first, target),) = list(loader)
    ((second, _),) = list(loader)
    np.testing.assert_array_equal(target.numpy(), MANY)
    assert (first.numpy() != second.numpy()).any()
