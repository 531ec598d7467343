"""Pictures of odd shapes, modes and states: read, or refused with the reason."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

import tlengine as tl
from tests.features.pictures import encoded, interlaced_png, peak_kib
from tlengine.errors import DecodeError, ImageTooLargeError, TlengineWarning
from tlengine.features import ImagePreprocess, decode_image, sample_key
from tlengine.features import images as images_module

PHOTO = Image.fromarray(load_sample_images().images[0])
PIXELS = np.asarray(PHOTO.resize((40, 30)))
SMALL = Image.fromarray(PIXELS)


# -- extreme shapes: cropped before they are scaled


@pytest.mark.parametrize("size", [(4_000, 1), (1, 4_000), (65_000, 2), (30_000, 3), (3, 30_000)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_line_of_pixels_needs_little_memory(size: tuple[int, int], kind: str, tmp_path: Path) -> None:
    """Whole, 4000 x 1 becomes 786 MB; 300 MB are allowed for Python, NumPy, Pillow and the crop."""
    path = tmp_path / f"line.{kind.lower()}"
    PHOTO.resize(size).save(path)
    code = (
        "from tlengine.features import ImagePreprocess, decode_image\n"
        f"assert ImagePreprocess().pixels(decode_image({str(path)!r})).shape == (224, 224, 3)"
    )
    assert peak_kib(code) < 300_000


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("crop", [224, 300, (20, 260)])
@pytest.mark.parametrize("size", [(640, 427), (1, 60), (300, 3), (20, 2_000)])
def test_the_crop_is_that_of_the_whole(
    size: tuple[int, int], crop: int | tuple[int, int], interpolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocess = ImagePreprocess(resize=256, crop=crop, interpolation=interpolation)
    photo = PHOTO.resize(size)
    whole = preprocess.pixels(photo).astype(int)
    monkeypatch.setattr(images_module, "_WHOLE", 0)
    if size != (640, 427):  # that one is not enlarged, and stays on the usual way
        monkeypatch.setattr(Image.Image, "crop", None)
    assert np.abs(preprocess.pixels(photo) - whole).max() <= 2


@pytest.mark.parametrize("size", [(640, 427), (427, 640), (1_500, 1_000), (100, 100), (37, 300), (1_000, 50)])
@pytest.mark.parametrize("crop", [224, None])
def test_usual_shapes_are_scaled_whole(size: tuple[int, int], crop: int | None) -> None:
    """Bit for bit what torchvision's Resize and CenterCrop do, so that keys of old rows stay true."""
    from torchvision import transforms

    steps = [transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC)]
    steps += [] if crop is None else [transforms.CenterCrop(crop)]
    photo = PHOTO.resize(size)
    expected = np.asarray(transforms.Compose(steps)(photo))
    assert np.array_equal(ImagePreprocess(resize=256, crop=crop).pixels(photo), expected)


def test_without_a_crop_a_line_is_refused() -> None:
    with pytest.raises(ImageTooLargeError, match="4000 x 1 would become 1024000 x 256"):
        ImagePreprocess(resize=256, crop=None).pixels(PHOTO.resize((4_000, 1)))


def test_a_line_among_photos_is_one_row(tmp_path: Path) -> None:
    images = [PHOTO, PHOTO.resize((4_000, 1)), PHOTO.resize((2, 9_000))]
    assert (
        tl.extract(tl.load_dataset(images), "efficientnet-lite0", progress=False, device="cpu").X.shape[0]
        == 3
    )


# -- modes


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"]
)
def test_every_mode_of_an_image_object(mode: str) -> None:
    if mode in ("La", "RGBa", "PA", "LAB"):
        via = {"La": "LA", "RGBa": "RGBA", "PA": "P", "LAB": "RGB"}[mode]
        image = SMALL.convert(via)
        if mode == "LAB":
            from PIL import ImageCms

            image = ImageCms.profileToProfile(
                image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
            )
        else:
            image = image.convert(mode)
    else:
        image = SMALL.convert(mode)
    assert decode_image(image).mode == "RGB"


@pytest.mark.parametrize("transform", [0, 2], ids=["CMYK", "YCCK"])
def test_print_colours_of_adobe(transform: int) -> None:
    """Adobe writes them inverted; a picture that is read the wrong way round is a negative."""
    image = SMALL.convert("CMYK")
    if transform == 2:  # the first three inks as luminance and colour; the inks are the inverted RGB
        inks = ImageOps.invert(SMALL).convert("YCbCr").split()
        image = Image.merge("CMYK", [*map(ImageOps.invert, inks), Image.new("L", SMALL.size)])
    data = encoded(image, "JPEG", quality=100, subsampling=0)
    at = data.index(b"Adobe") + 11
    data = data[:at] + bytes([transform]) + data[at + 1 :]
    assert np.abs(np.asarray(decode_image(data)).astype(int) - PIXELS).mean() < 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_interlaced_and_progressive(kind: str) -> None:
    plain = encoded(SMALL, kind)
    other = interlaced_png(PIXELS) if kind == "PNG" else encoded(SMALL, kind, progressive=True)
    assert other != plain
    assert np.array_equal(np.asarray(decode_image(plain)), np.asarray(decode_image(other)))


def test_a_picture_of_a_stereo_camera_is_its_first_frame(tmp_path: Path) -> None:
    SMALL.save(tmp_path / "stereo.jpg", "MPO", save_all=True, append_images=[SMALL.rotate(180)], quality=95)
    got = np.asarray(decode_image(tmp_path / "stereo.jpg")).astype(int)
    assert np.abs(got - PIXELS).mean() < 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientation_in_each_format(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(SMALL, kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(np.asarray(decode_image(data)), np.asarray(expected))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue", "green")]
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8))
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert decode_image(data).getpixel((5, 5)) == (255, 0, 0)
    data = encoded(noise, kind, save_all=True, append_images=[noise.rotate(90), noise], lossless=True)
    assert np.array_equal(np.asarray(decode_image(data)), np.asarray(noise))


# -- objects


def test_arrays_of_bool_and_of_channels_first() -> None:
    mask = PIXELS[:, :, 0] > 99
    assert np.array_equal(np.asarray(decode_image(mask))[:, :, 1], mask * 255)
    assert np.array_equal(np.asarray(decode_image(PIXELS.transpose(2, 0, 1))), PIXELS)
    assert np.array_equal(np.asarray(decode_image(PIXELS.transpose(2, 0, 1)[:1]))[:, :, 0], PIXELS[:, :, 0])
    assert np.array_equal(np.asarray(decode_image(PIXELS[::-1, ::-1])), PIXELS[::-1, ::-1])


@pytest.mark.parametrize(
    "content",
    [
        PIXELS / 255.0,
        (PIXELS / 255.0).astype(np.float16),
        PIXELS.astype(complex),
        PIXELS.astype(object),
        PIXELS.astype(str),
        PIXELS[:, :, :2],
        PIXELS[None],
        np.zeros((5, 0, 3), np.uint8),
        np.zeros(7, np.uint8),
        torch.zeros(3, 4, 4),
        torch.zeros(3, 4, 4, dtype=torch.uint8),
        [[1, 2], [3, 4]],
        None,
        io.BytesIO(encoded(SMALL, "PNG")),
    ],
    ids=lambda content: (
        f"{type(content).__name__}-{getattr(content, 'dtype', '')}-{getattr(content, 'shape', '')}"
    ),
)
def test_other_objects_are_refused_by_name(content: object) -> None:
    with pytest.raises(DecodeError, match=r"is no image|no pixels"):
        decode_image(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])  # of a WebP, Pillow holds the bytes
def test_an_image_whose_file_was_closed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"p.{kind.lower()}"
    SMALL.save(path)
    with Image.open(path) as closed:
        pass
    with path.open("rb") as file:
        stale = Image.open(file)
    for image in (closed, stale):
        with pytest.raises(DecodeError, match="closed"):
            decode_image(image)
        with pytest.raises(DecodeError, match="closed"):
            sample_key(image)
    images = [SMALL, closed, stale, Image.open(path)]
    with pytest.warns(
        TlengineWarning, match=r"2 of 4 samples cannot be read: 1 \(the file of this image is closed"
    ):
        assert tl.extract(tl.load_dataset(images), "raw", progress=False).X.shape[0] == 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])  # half a WebP is refused when it is opened
def test_a_damaged_image_object_is_a_failure(kind: str) -> None:
    data = encoded(PHOTO, kind)
    damaged = Image.open(io.BytesIO(data[: len(data) // 2]))
    with pytest.warns(TlengineWarning, match="1 of 2 samples cannot be read"):
        tl.extract(tl.load_dataset([SMALL, damaged]), "raw", progress=False)


# -- other formats are named

OTHERS = {
    "GIF": encoded(SMALL, "GIF"),
    "BMP": encoded(SMALL, "BMP"),
    "TIFF": encoded(SMALL, "TIFF"),
    "JPEG 2000": encoded(SMALL, "JPEG2000"),
    "icon": encoded(SMALL, "ICO"),
    "Netpbm": encoded(SMALL, "PPM"),
    "AVIF": b"\0\0\0\x20ftypavif\0\0\0\0",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0",
    "video": b"\0\0\0\x18ftypmp42\0\0\0\0",
    "JPEG XL": b"\xff\x0a\xfa\x1f",
    "SVG": b"<?xml version='1.0'?><svg/>",
    "web page": b"\n<!DOCTYPE html><html>404</html>",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "PDF": b"%PDF-1.4",
    "NumPy": b"\x93NUMPY\1\0",
    "DICOM": bytes(128) + b"DICM",
    "empty": b"",
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("as_file", [False, True])
def test_another_format_is_named(name: str, as_file: bool, tmp_path: Path) -> None:
    path = tmp_path / "p.jpg"
    path.write_bytes(OTHERS[name])
    with pytest.raises(DecodeError, match=f"{name}.*not a JPEG, PNG or WEBP file"):
        decode_image(path if as_file else OTHERS[name])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("length", [12, 20, 40])
def test_a_damaged_header_is_called_damaged(kind: str, length: int) -> None:
    with pytest.raises(DecodeError, match=r"damaged or truncated|OSError|EOFError|truncated"):
        decode_image(encoded(PHOTO, kind)[:length])


@pytest.mark.parametrize("suffix", [".jpg", ".PNG", ".webp", ".JPEG"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_content_decides_not_the_suffix(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"p{suffix}"
    path.write_bytes(encoded(SMALL, kind))
    assert decode_image(path).size == SMALL.size


def test_a_class_that_lost_all_its_rows_is_named(tmp_path: Path) -> None:
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        SMALL.rotate(len(name) * int(path.stem)).save(path)
    for number in range(8):
        (tmp_path / "owl").mkdir(exist_ok=True)
        (tmp_path / "owl" / f"{number}.gif").write_bytes(OTHERS["GIF"])
    with pytest.warns(
        TlengineWarning, match=r"a GIF file.*; \.\.\.\. No sample is left of class 'owl'$"
    ) as caught:
        feats = tl.extract(tl.load_dataset(tmp_path), "raw", progress=False)
    assert (len(feats), len(feats.failures), len(caught)) == (4, 8, 1)
