#!/usr/bin/env python3
"""Writes pictures of every format, layout, depth, sampling and profile, and the right pixels of each.

generate.py FOLDER [SECTION...] writes the pictures of all sections or of these, references as PNG, and expect.tsv, a row for each picture:
file, width, height, place, colour, tolerance, warnings, reason.

The place is `x,y` in parts of the sides, and the colour `r,g,b` or `r,g,b,a` of the middle there; or the place is `all`, and
the colour names the reference to compare all of the picture with. A width of 0 asks for a refusal, whose sentence is the colour.

The right pixels are computed from the numbers that a picture is made of, with numpy and lcms, never by a decoder.
"""
import os, struct, sys, zlib
import numpy as np
from PIL import Image, ImageCms

from containers import (
    Tiff, base, bmp, chunk, cmyk_profile, lcms, matrix_profile, pil, png, rgb_curve,
)

FOLDER = os.path.abspath(sys.argv[1])
os.makedirs(FOLDER, exist_ok=True)
ROWS, REFERENCES = [], {}


def out(name, data, size, at, colour, tolerance, why, warnings=''):
    assert all(row[0] != name for row in ROWS), name
    with open(os.path.join(FOLDER, name), 'wb') as file:
        file.write(data)
    at = at if isinstance(at, str) else f'{at[0]},{at[1]}'
    colour = colour if isinstance(colour, str) else ','.join(map(str, colour))
    ROWS.append((name, size[0], size[1], at, colour, tolerance, warnings, why))


def whole(name, data, picture, why, tolerance=9, warnings=''):
    """A picture that is compared with this array everywhere."""
    picture = np.asarray(picture)
    key = picture.tobytes() + bytes(str(picture.shape), 'ascii')
    if key not in REFERENCES:
        REFERENCES[key] = f'reference-{len(REFERENCES)}.png'
        Image.fromarray(picture).save(os.path.join(FOLDER, REFERENCES[key]))
    out(name, data, (picture.shape[1], picture.shape[0]), 'all', REFERENCES[key], tolerance, why, warnings)


def refused(name, data, sentence, why):
    out(name, data, (0, 0), '-', sentence, 0, why)


# Fields with edges on whole blocks of 16 pixels, so that no encoder mixes their colours, and a ramp on them.
W, H = 96, 64
Y, X = np.mgrid[0:H, 0:W]


def fields(top_left, top_right, bottom_left, bottom_right):
    left, top = (X < W // 2)[..., None], (Y < H // 2)[..., None]
    flat = np.where(left, np.where(top, top_left, bottom_left), np.where(top, top_right, bottom_right))
    return np.clip(flat.astype('i4') + ((X + 2 * Y) % 64)[..., None] // 4, 0, 255).astype('u1')


RGB = fields((200, 30, 30), (30, 40, 190), (30, 160, 40), (220, 200, 30))
GREY = fields((20,), (120,), (220,), (70,))[..., 0]
ALPHA = np.where(X < W // 2, 255, 128).astype('u1')
RGBA = np.dstack([RGB, ALPHA])
LINES = np.where((X // 8 + Y // 8) % 3 == 0, 0, 255).astype('u1')


def wide(a, dtype):
    """The same picture with deeper samples."""
    if dtype == 'u1':
        return a
    if dtype == 'u2':
        return a.astype('u2') * 257
    if dtype == 'u4':
        return a.astype('u4') * 0x01010101
    return (a / 255).astype(dtype)


def grey3(a):
    return np.dstack([a] * 3)


def turned(a, orientation):
    """The displayed picture of one that is stored with an orientation."""
    if orientation >= 5:
        a = a.swapaxes(0, 1)
    a = {2: a[:, ::-1], 3: a[::-1, ::-1], 4: a[::-1], 6: a[:, ::-1], 7: a[::-1, ::-1], 8: a[::-1]}.get(orientation, a)
    return np.ascontiguousarray(a)


def premultiplied(rgba, dtype):
    full = np.iinfo(dtype).max
    a = wide(rgba, dtype).astype('f8')
    a[..., :3] = a[..., :3] * a[..., 3:] / full
    return np.round(a).astype(dtype)


# ---- TIFF ----

TIFF_LAYOUTS = {
    'strip': {}, 'strips': {'rows': 24}, 'tiles': {'tile': (16, 16)}, 'wide-tiles': {'tile': (64, 48)},
    'planar': {'planar': True}, 'planar-strips': {'planar': True, 'rows': 10}, 'planar-tiles': {'planar': True, 'tile': (32, 16)},
}
TIFF_FILES = [('<', False), ('>', False), ('<', True), ('>', True)]


def tiffs():
    # Arrangement: what is stored where.
    for order, big in TIFF_FILES:
        file = ('le' if order == '<' else 'be') + ('-big' if big else '')
        for layout, options in TIFF_LAYOUTS.items():
            for compression in (1, 5, 8, 32773):
                for predictor in ((1, 2) if compression in (5, 8) else (1,)):
                    for dtype in ('u1', 'u2'):
                        page = base(wide(RGB, dtype), 2, compression, predictor=predictor, order=order, **options)
                        name = f'tiff-{file}-{layout}-{compression}-{predictor}-{dtype}.tif'
                        whole(name, Tiff(order, big).file([page]), RGB, 'arrangement of RGB')
    # Depth, and extra samples of each meaning.
    for layout in ('strips', 'tiles', 'planar'):
        options = TIFF_LAYOUTS[layout]
        for dtype in ('u1', 'u2', 'u4', 'f2', 'f4', 'f8'):
            for order in '<>':
                for compression, predictor in ((1, 1), (8, 2 if dtype[0] == 'u' else 3)):
                    suffix = f'{layout}-{dtype}-{"le" if order == "<" else "be"}-{compression}.tif'
                    write = lambda a, photometric, **more: Tiff(order).file(
                        [base(a, photometric, compression, predictor=predictor, order=order, **options, **more)])
                    whole('tiff-rgb-' + suffix, write(wide(RGB, dtype), 2), RGB, 'depth')
                    whole('tiff-grey-' + suffix, write(wide(GREY, dtype), 1), grey3(GREY), 'depth')
                    if dtype[0] == 'f':
                        continue
                    whole('tiff-negative-' + suffix, write(~wide(GREY, dtype), 0), grey3(GREY), 'white is zero')
                    whole('tiff-unassociated-' + suffix, write(wide(RGBA, dtype), 2, extra=[2]), RGBA, 'alpha')
                    whole('tiff-associated-' + suffix, write(premultiplied(RGBA, dtype), 2, extra=[1]), RGBA,
                          'alpha that the colours are multiplied by')
                    selection = np.dstack([wide(RGB, dtype), wide(LINES, dtype)])
                    whole('tiff-selection-' + suffix, write(selection, 2, extra=[0]), RGB, 'a saved selection')
                    both = np.dstack([wide(RGBA, dtype), wide(LINES, dtype)])
                    whole('tiff-both-' + suffix, write(both, 2, extra=[2, 0]), RGBA, 'alpha and a selection')
                    ga = np.dstack([wide(GREY, dtype), wide(ALPHA, dtype)])
                    whole('tiff-grey-alpha-' + suffix, write(ga, 1, extra=[2]), np.dstack([grey3(GREY), ALPHA]), 'grey with alpha')
                    ink = np.dstack([~wide(RGB, dtype), wide(0 * GREY, dtype)])
                    whole('tiff-cmyk-' + suffix, write(ink, 5), RGB, 'inks')
                    spot = np.dstack([ink, wide(LINES, dtype)])
                    whole('tiff-spot-' + suffix, write(spot, 5, extra=[0]), RGB, 'inks and a spot colour')
    # Few bits.
    for bits in (1, 2, 4, 6, 10, 12, 14):
        most = (1 << bits) - 1
        a = np.round(GREY / 255 * most).astype('u2')
        shown = grey3(np.round(a / most * 255).astype('u1'))
        for order in '<>':
            for compression in (1, 5, 32773):
                for options in ({}, {'tile': (16, 16)}, {'rows': 7}):
                    suffix = f'{bits}-{"le" if order == "<" else "be"}-{compression}-{len(str(options))}.tif'
                    write = lambda a, photometric, **more: Tiff(order).file(
                        [base(a, photometric, compression, order=order, bits=bits, **options, **more)])
                    whole('tiff-bits-' + suffix, write(a, 1), shown, 'depth')
                    whole('tiff-negative-bits-' + suffix, write(most - a, 0), shown, 'depth, white is zero')
                    whole('tiff-reversed-bits-' + suffix, write(a, 1, reversed_bits=True), shown, 'FillOrder 2')
    for bits in (1, 2, 4, 8):
        count = 1 << bits
        colours = np.stack([np.arange(count) * 255 // (count - 1), 255 - np.arange(count) * 255 // (count - 1),
                            np.full(count, 60)], 1).astype('u1')
        index = (GREY.astype('u2') * count // 256).astype('u2')
        for scale in (257, 1):
            palette = (320, 3, [int(v) * scale for v in colours.T.reshape(-1)])
            for options in ({}, {'tile': (16, 16)}):
                page = base(index, 3, 5, bits=bits, more=[palette], **options)
                whole(f'tiff-palette-{bits}-{scale}-{len(options)}.tif', Tiff().file([page]), colours[index], 'palette')
    # Uncompressed YCbCr in units of several pixels.
    y, cb, cr = [np.asarray(band).astype('u1') for band in Image.fromarray(RGB).convert('YCbCr').split()]
    for across, down in ((1, 1), (2, 1), (2, 2), (4, 1), (4, 2)):
        for compression in (1, 5):
            rows = []
            for top in range(0, H, down):
                for left in range(0, W, across):
                    rows += [*y[top:top + down, left:left + across].reshape(-1), cb[top, left], cr[top, left]]
            page = base(np.dstack([y, cb, cr]), 6, compression, raw=bytes(rows), more=[
                (530, 3, [across, down]), (532, 5, [(0, 1), (255, 1), (128, 1), (255, 1), (128, 1), (255, 1)])])
            whole(f'tiff-ycbcr-{across}{down}-{compression}.tif', Tiff().file([page]), RGB, 'YCbCr in units')
    # Lab.
    lab = np.dstack([fields((40,), (80,), (120,), (200,))[..., 0].astype('f4') / 2.55,
                     fields((150,), (100,), (128,), (110,))[..., 0].astype('f4') - 128,
                     fields((150,), (90,), (170,), (128,))[..., 0].astype('f4') - 128])
    shown = lab_to_srgb(lab)
    eight = np.dstack([np.round(lab[..., 0] * 2.55), lab[..., 1], lab[..., 2]])
    whole('tiff-lab.tif', Tiff().file([base(eight.astype('i2').astype('u1'), 8)]), shown, 'Lab', 9)
    whole('tiff-icc-lab.tif', Tiff().file([base((eight + [0, 128, 128]).astype('u1'), 9)]), shown, 'Lab as in ICC', 9)
    deep = np.dstack([np.round(lab[..., 0] * 655.35), lab[..., 1] * 256, lab[..., 2] * 256])
    whole('tiff-lab-16.tif', Tiff().file([base(deep.astype('i4').astype('u2'), 8)]), shown, 'Lab', 9)
    deep = np.dstack([np.round(lab[..., 0] * 652.8), lab[..., 1] * 256 + 32768, lab[..., 2] * 256 + 32768])
    whole('tiff-icc-lab-16.tif', Tiff().file([base(deep.astype('u2'), 9)]), shown, 'Lab as in ICC', 9)
    # Compressions that libtiff writes.
    bilevel = Image.fromarray(LINES).convert('1')
    for name, compression in (('g3', 'group3'), ('g4', 'group4'), ('packbits', 'packbits'), ('rle', 'tiff_ccitt')):
        for rows in (0xFFFFFFFF, H, 5):
            data = pil(bilevel, 'TIFF', compression=compression, tiffinfo={278: rows})
            whole(f'tiff-{name}-{rows}.tif', data, grey3(LINES), 'bilevel', 20)
    whole('tiff-g3-2d.tif', pil(bilevel, 'TIFF', compression='group3', tiffinfo={292: 1}), grey3(LINES), 'bilevel', 20)
    for mode, picture in (('L', GREY), ('RGB', RGB)):
        for compression in ('tiff_adobe_deflate', 'tiff_lzw', 'packbits', 'zstd'):
            data = pil(Image.fromarray(picture), 'TIFF', compression=compression)
            whole(f'tiff-written-{mode}-{compression}.tif', data, picture if mode == 'RGB' else grey3(picture), 'as libtiff writes')
        data = pil(Image.fromarray(picture), 'TIFF', compression='jpeg', quality=95)
        whole(f'tiff-written-{mode}-jpeg.tif', data, picture if mode == 'RGB' else grey3(picture), 'JPEG, as libtiff writes', 9)
    for sampling, name in ((0, '444'), (1, '422'), (2, '420')):
        stream = pil(Image.fromarray(RGB), 'JPEG', quality=95, subsampling=sampling)
        stream = stream[:2] + stream[20:]  # Without the JFIF segment.
        more = [(530, 3, {0: [1, 1], 1: [2, 1], 2: [2, 2]}[sampling])]
        whole(f'tiff-jpeg-{name}.tif', Tiff().file([base(RGB, 6, 7, raw_chunks=[stream], more=more)]), RGB, 'JPEG in TIFF', 9)
    tiles = [pil(Image.fromarray(RGB[t:t + 16, l:l + 32]), 'JPEG', quality=95, subsampling=0)
             for t in range(0, H, 16) for l in range(0, W, 32)]
    more = [(530, 3, [1, 1])]
    whole('tiff-jpeg-tiles.tif', Tiff().file([base(RGB, 6, 7, tile=(32, 16), raw_chunks=tiles, more=more)]), RGB, 'JPEG in tiles', 9)
    # Orientation, of pixels and of bits.
    for orientation in range(1, 9):
        data = Tiff().file([base(RGB, 2, 5, more=[(274, 3, [orientation])])])
        whole(f'tiff-orientation-rgb-{orientation}.tif', data, turned(RGB, orientation), 'orientation')
        data = pil(bilevel, 'TIFF', compression='group4', tiffinfo={274: orientation})
        whole(f'tiff-orientation-g4-{orientation}.tif', data, grey3(turned(LINES, orientation)), 'orientation', 20)
    # Pages.
    small = base(np.full((16, 24, 3), (255, 0, 0), 'u1'), 2, more=[(254, 4, [1])])
    old_small = base(np.full((16, 24, 3), (255, 0, 0), 'u1'), 2, more=[(255, 3, [2])])
    mask = base(np.full((H, W), 1, 'u2'), 4, bits=1, more=[(254, 4, [4])])
    main = base(RGB, 2)
    for big in (False, True):
        file = Tiff('<', big).file
        suffix = f'{"-big" if big else ""}.tif'
        whole('tiff-preview-first' + suffix, file([small, main]), RGB, 'the first page is a preview')
        whole('tiff-old-preview-first' + suffix, file([old_small, main]), RGB, 'the first page is a preview')
        whole('tiff-mask-first' + suffix, file([mask, main]), RGB, 'the first page is a mask')
        whole('tiff-main-below' + suffix, file([dict(small, sub=[main])]), RGB, 'the picture is below its preview')
        whole('tiff-preview-last' + suffix, file([main, small]), RGB, 'the second page is a preview')
    # Refused by name.
    mosaic = base(np.full((H, W), 900, 'u2'), 32803, more=[(254, 4, [0])])
    raw = 'a camera raw file'
    refused('raw.dng', Tiff().file([dict(base(RGB[:16, :16], 2, more=[(254, 4, [1]), (50706, 1, bytes([1, 4, 0, 0]))]), sub=[mosaic])]),
            raw + ' (DNG)', 'DNG')
    for make, name in (('NIKON CORPORATION', 'NEF'), ('SONY', 'ARW')):
        page = base(RGB[:16, :16], 2, more=[(254, 4, [1]), (271, 2, make.encode() + b'\0')])
        refused(f'raw.{name.lower()}', Tiff('>').file([dict(page, sub=[small, mosaic])]), f'{raw} ({name})', name)
    refused('raw-mosaic.tif', Tiff().file([mosaic]), raw, 'a mosaic')
    for compression in (6, 34712, 34925, 50002, 34887, 9999):
        refused(f'tiff-compression-{compression}.tif', Tiff().file([base(RGB, 2, compression, raw_chunks=[b'x' * 100])]),
                'A TIFF with this compression is not supported.', 'a compression that nobody here reads')
    refused('tiff-logluv.tif', Tiff().file([base(RGB, 32845)]), 'A TIFF with this kind of colour is not supported.', 'LogLuv')
    refused('tiff-signed.tif', Tiff().file([base(RGB, 2, more=[(339, 3, [2, 2, 2])])]),
            'A TIFF with samples of this kind is not supported.', 'signed samples')
    refused('tiff-complex.tif', Tiff().file([base(RGB, 2, more=[(339, 3, [6, 6, 6])])]),
            'A TIFF with samples of this kind is not supported.', 'complex samples')


def lab_to_srgb(lab):
    """CIE Lab relative to D50, by the formulas of CIE 15 and IEC 61966-2-1."""
    f = (lab[..., 0] + 16) / 116
    xyz = np.dstack([f + lab[..., 1] / 500, f, f - lab[..., 2] / 200])
    xyz = np.where(xyz > 6 / 29, xyz ** 3, 3 * (6 / 29) ** 2 * (xyz - 4 / 29)) * [.9642, 1, .8249]
    to = np.linalg.inv(np.array([[.4360747, .3850649, .1430804], [.2225045, .7168786, .0606169], [.0139322, .0971045, .7141733]]))
    return np.round(rgb_curve(np.clip(xyz @ to.T, 0, 1)) * 255).astype('u1')


# ---- Colours: the same profile in each container ----

SWAPPED = matrix_profile(2.2, (1, 2, 0))
LONG = matrix_profile(2.2, (1, 2, 0), 60_000)
LINEAR = matrix_profile(1.0)
GAMMA = matrix_profile(1.2)


def exif(orientation):
    return b'Exif\0\0II*\0\x08\0\0\0\x01\0' + struct.pack('<HHIHH', 274, 3, 1, orientation, 0) + b'\0' * 4


def colours():
    cmyk = cmyk_profile()
    for name, profile in (('swapped', SWAPPED), ('long', LONG), ('gamma', GAMMA)):
        shown = np.asarray(lcms(Image.fromarray(RGB), profile))
        alpha = np.dstack([shown, ALPHA])
        for container, options in (('TIFF', {}), ('PNG', {}), ('WEBP', {'lossless': True}), ('JPEG', {'quality': 95, 'subsampling': 0})):
            data = pil(Image.fromarray(RGB), container, icc_profile=profile, **options)
            whole(f'profile-{name}.{container.lower()}', data, shown, 'RGB profile', 9)
            if container in ('PNG', 'WEBP'):
                data = pil(Image.fromarray(RGBA), container, icc_profile=profile, exact=True, **options)
                whole(f'profile-{name}-alpha.{container.lower()}', data, alpha, 'RGB profile under alpha', 9)
        for dtype in ('u1', 'u2'):
            whole(f'profile-{name}-{dtype}.tif', Tiff().file([base(wide(RGB, dtype), 2, icc=profile)]), shown, 'RGB profile', 9)
            whole(f'profile-{name}-{dtype}.png', png(wide(RGB, dtype), 2, profile_chunk(profile)), shown, 'RGB profile', 9)
            whole(f'profile-{name}-alpha-{dtype}.png', png(wide(RGBA, dtype), 6, profile_chunk(profile)), alpha, 'RGB profile', 9)
        # Browsers apply the curve of an RGB profile to grey.
        shown = np.asarray(lcms(Image.fromarray(grey3(GREY)), profile))
        for container, options in (('PNG', {}), ('JPEG', {'quality': 95})):
            data = pil(Image.fromarray(GREY), container, icc_profile=profile, **options)
            whole(f'profile-{name}-grey.{container.lower()}', data, shown, 'grey with an RGB profile', 9)
        whole(f'profile-{name}-grey.tif', Tiff().file([base(GREY, 1, icc=profile)]), shown, 'grey with an RGB profile', 9)
        for dtype in ('u1', 'u2'):
            whole(f'profile-{name}-grey-{dtype}.png', png(wide(GREY, dtype), 0, profile_chunk(profile)), shown, 'grey', 9)
            whole(f'profile-{name}-grey-{dtype}.tif', Tiff().file([base(wide(GREY, dtype), 1, icc=profile)]), shown, 'grey', 9)
    # The same ink in each container.
    ink = np.dstack([255 - RGB, fields((0,), (40,), (0,), (20,))[..., 0]])
    shown = np.asarray(lcms(Image.fromarray(ink, 'CMYK'), cmyk))
    data = pil(Image.fromarray(ink, 'CMYK'), 'JPEG', quality=98, subsampling=0, icc_profile=cmyk)
    whole('cmyk-profile.jpeg', data, shown, 'CMYK profile', 16)
    for dtype in ('u1', 'u2'):
        for options in ({}, {'tile': (16, 16)}, {'planar': True}):
            page = base(wide(ink, dtype), 5, 8, icc=cmyk, predictor=2, **options)
            whole(f'cmyk-profile-{dtype}-{len(str(options))}.tif', Tiff().file([page]), shown, 'CMYK profile', 16)
    # Linear light, in which 8 bits would not do.
    s = np.linspace(0, 40, 512) / 255
    light = np.where(s <= .04045, s / 12.92, ((s + .055) / 1.055) ** 2.4)
    ramp = np.repeat(np.round(light * 65535).astype('u2')[None, :], 64, 0)
    shown = grey3(np.repeat(np.round(s * 255).astype('u1')[None, :], 64, 0))
    gamma1 = chunk(b'gAMA', struct.pack('>I', 100000))
    for name, extra in (('iccp', profile_chunk(LINEAR)), ('gama', gamma1), ('cicp', chunk(b'cICP', bytes([1, 8, 0, 1])))):
        whole(f'linear-{name}-rgb.png', png(grey3(ramp), 2, extra), shown, 'linear light', 2)
        whole(f'linear-{name}-grey.png', png(ramp, 0, extra), shown, 'linear light', 2)
    whole('linear-rgb.tif', Tiff().file([base(grey3(ramp), 2, icc=LINEAR)]), shown, 'linear light', 2)
    whole('linear-grey.tif', Tiff().file([base(ramp, 1, icc=LINEAR)]), shown, 'linear light', 2)
    floats = grey3(light.astype('f4')[None, :].repeat(64, 0))
    whole('linear-float.tif', Tiff().file([base(floats, 2, icc=LINEAR)]), shown, 'linear light', 2)


def profile_chunk(profile):
    return chunk(b'iCCP', b'x\0\0' + zlib.compress(profile))


def primaries(points):
    return chunk(b'cHRM', struct.pack('>8I', *[round(v * 100000) for v in points]))


SRGB_POINTS = (.3127, .3290, .64, .33, .30, .60, .15, .06)
P3_POINTS = (.3127, .3290, .680, .320, .265, .690, .150, .060)


def converted(rgb, points, light):
    """sRGB of a picture with these primaries and this curve; white stays white (Bradford)."""
    def matrix(points):
        def xyz(x, y):
            return np.array([x / y, 1, (1 - x - y) / y])
        white = xyz(*points[:2])
        m = np.stack([xyz(*points[i:i + 2]) for i in (2, 4, 6)], 1)
        return m * np.linalg.solve(m, white), white
    bradford = np.array([[.8951, .2664, -.1614], [-.7502, 1.7135, .0367], [.0389, -.0685, 1.0296]])
    (a, white_a), (b, white_b) = matrix(points), matrix(SRGB_POINTS)
    adapt = np.linalg.inv(bradford) @ np.diag((bradford @ white_b) / (bradford @ white_a)) @ bradford
    linear = light(rgb / 255) @ (np.linalg.inv(b) @ adapt @ a).T
    return np.round(rgb_curve(np.clip(linear, 0, 1)) * 255).astype('u1')


def srgb_light(v):
    return np.where(v <= .04045, v / 12.92, ((v + .055) / 1.055) ** 2.4)


def png_chunks():
    def gamma(g):
        return chunk(b'gAMA', struct.pack('>I', round(g * 100000)))
    srgb, p3 = primaries(SRGB_POINTS), primaries(P3_POINTS)
    declared, swapped = chunk(b'sRGB', b'\0'), profile_chunk(SWAPPED)
    swapped_shown = np.asarray(lcms(Image.fromarray(RGB), SWAPPED))
    linear_shown = converted(RGB, SRGB_POINTS, lambda v: v)
    p3_shown = converted(RGB, P3_POINTS, srgb_light)
    cicp_p3, cicp_linear = chunk(b'cICP', bytes([12, 13, 0, 1])), chunk(b'cICP', bytes([1, 8, 0, 1]))
    narrow = np.round(RGB / 255 * 219 + 16).astype('u1')
    cases = {
        'none': (b'', RGB), 'srgb': (declared, RGB), 'gama': (gamma(1), linear_shown),
        'gama-srgb-like': (gamma(.45455), RGB), 'gama-chrm-srgb-like': (gamma(.45455) + srgb, RGB),
        'gama-chrm': (gamma(1) + p3, converted(RGB, P3_POINTS, lambda v: v)),
        'gama-1.8': (gamma(1 / 1.8), converted(RGB, SRGB_POINTS, lambda v: v ** 1.8)),
        'chrm': (p3, p3_shown), 'srgb-over-gama': (declared + gamma(1) + p3, RGB), 'srgb-after-gama': (gamma(1) + declared, RGB),
        'iccp-over-gama': (swapped + gamma(1), swapped_shown), 'iccp-over-srgb': (declared + swapped, swapped_shown),
        'cicp': (cicp_p3, p3_shown), 'cicp-linear': (cicp_linear, linear_shown),
        'cicp-over-iccp': (cicp_p3 + swapped + gamma(1), p3_shown), 'cicp-srgb-over-iccp': (swapped + chunk(b'cICP', bytes([1, 13, 0, 1])), RGB),
        'cicp-over-srgb': (declared + cicp_linear, linear_shown),
        'gama-zero': (gamma(0), RGB), 'chrm-nonsense': (primaries((0,) * 8), RGB),
    }
    for name, (chunks, shown) in cases.items():
        whole(f'png-chunks-{name}.png', png(RGB, 2, chunks), shown, 'which chunk counts', 9)
        whole(f'png-chunks-{name}-16.png', png(wide(RGB, 'u2'), 2, chunks), shown, 'which chunk counts', 9)
        whole(f'png-chunks-{name}-alpha.png', png(RGBA, 6, chunks), np.dstack([shown, ALPHA]), 'which chunk counts', 9)
    whole('png-cicp-narrow.png', png(narrow, 2, chunk(b'cICP', bytes([1, 13, 0, 0]))), RGB, 'narrow range', 9)
    grey_linear = converted(grey3(GREY), SRGB_POINTS, lambda v: v)
    whole('png-chunks-grey-gama.png', png(GREY, 0, gamma(1)), grey_linear, 'gAMA of grey', 9)
    # White of a high dynamic range is 203 candela of 10,000; what is darker keeps its place.
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    x = (srgb_light(RGB / 255) * 203 / 10000) ** m1
    pq = np.round(((c1 + c2 * x) / (1 + c3 * x)) ** m2 * 65535).astype('u2')
    whole('png-cicp-pq.png', png(pq, 2, chunk(b'cICP', bytes([1, 16, 0, 1]))), RGB, 'PQ', 9)
    # Types and depths, plain and interlaced.
    for interlaced in (0, 1):
        for bits in (1, 2, 4, 8, 16):
            most = (1 << bits) - 1
            a = np.round(GREY / 255 * most).astype('u2')
            shown = grey3(np.round(a / most * 255).astype('u1'))
            whole(f'png-grey-{bits}-{interlaced}.png', png(a, 0, bits=bits, interlaced=interlaced), shown, 'depth')
            if bits <= 8:
                index = (GREY.astype('u2') * (most + 1) // 256).astype('u2')
                colours = np.stack([np.arange(most + 1) * 255 // most, 255 - np.arange(most + 1) * 255 // most,
                                    np.full(most + 1, 60)], 1).astype('u1')
                extra = chunk(b'PLTE', colours.tobytes())
                data = png(index, 3, extra, bits=bits, interlaced=interlaced)
                whole(f'png-palette-{bits}-{interlaced}.png', data, colours[index], 'palette')
            if bits >= 8:
                d = 'u1' if bits == 8 else 'u2'
                for kind, picture, shown in ((2, RGB, RGB), (6, RGBA, RGBA),
                                             (4, np.dstack([GREY, ALPHA]), np.dstack([grey3(GREY), ALPHA]))):
                    data = png(wide(picture, d), kind, bits=bits, interlaced=interlaced)
                    whole(f'png-{kind}-{bits}-{interlaced}.png', data, shown, 'depth')
    for orientation in range(1, 9):
        data = png(RGB, 2, chunk(b'eXIf', exif(orientation)[6:]))
        whole(f'png-orientation-{orientation}.png', data, turned(RGB, orientation), 'orientation')


def others():
    picture = Image.fromarray(RGB)
    for sampling in (0, 1, 2):
        for progressive in (False, True):
            data = pil(picture, 'JPEG', quality=95, subsampling=sampling, progressive=progressive)
            whole(f'jpeg-{sampling}-{progressive}.jpg', data, RGB, 'sampling', 9)
    whole('jpeg-grey.jpg', pil(Image.fromarray(GREY), 'JPEG', quality=95), grey3(GREY), 'grey', 9)
    for orientation in range(1, 9):
        data = pil(picture, 'JPEG', quality=95, subsampling=0, exif=exif(orientation))
        whole(f'jpeg-orientation-{orientation}.jpg', data, turned(RGB, orientation), 'orientation', 9)
        data = pil(picture, 'WEBP', lossless=True, exif=exif(orientation)[6:])
        whole(f'webp-orientation-{orientation}.webp', data, turned(RGB, orientation), 'orientation', 9)
    whole('webp-lossy.webp', pil(picture, 'WEBP', quality=95), RGB, 'lossy', 12)
    whole('webp-alpha.webp', pil(Image.fromarray(RGBA), 'WEBP', lossless=True, exact=True), RGBA, 'alpha')
    deep = bytearray(pil(picture, 'JPEG', quality=95))
    frame = deep.index(b'\xff\xc0')
    deep[frame + 1], deep[frame + 4] = 0xC1, 12
    refused('jpeg-12.jpg', bytes(deep), 'A JPEG with more than 8 bits per sample is not supported.', '12 bits')
    deep[frame + 1], deep[frame + 4] = 0xF7, 8
    refused('jpeg-ls.jls', bytes(deep), 'A JPEG-LS picture is not supported.', 'JPEG-LS')
    deep[frame + 1] = 0xC5
    refused('jpeg-hierarchical.jpg', bytes(deep), 'A hierarchical JPEG is not supported.', 'hierarchical')
    raw = b'crx \0\0\0\1crx isom'
    refused('raw.cr3', struct.pack('>I', 8 + len(raw)) + b'ftyp' + raw, 'a camera raw file (CR3)', 'CR3')
    # Brands, and no picture behind them.
    for name, brands in (('plain.avif', b'avif\0\0\0\0avifmif1'), ('phone.heic', b'heic\0\0\0\0mif1heic')):
        refused(name, struct.pack('>I', 8 + len(brands)) + b'ftyp' + brands + b'avif' * 50, 'The file is damaged.', name)
    for name, head, what in (('cr2', b'II*\0\x10\0\0\0CR\2\0', 'CR2'), ('orf', b'IIRO\x08\0\0\0', 'ORF'), ('rw2', b'IIU\0\x18\0\0\0', 'RW2'),
                             ('raf', b'FUJIFILMCCD-RAW 0201', 'RAF')):
        refused(f'raw.{name}', head + b'\0' * 100, f'a camera raw file ({what})', what)
    # GIF: palettes, a screen without sides, interlaced rows.
    quantized = picture.quantize(64)
    shown = np.asarray(quantized.convert('RGB'))
    for interlace in (0, 1):
        data = pil(quantized, 'GIF', interlace=interlace)
        whole(f'gif-{interlace}.gif', data, shown, 'GIF', 9)
        none = bytearray(data)
        none[6:10] = bytes(4)
        whole(f'gif-no-screen-{interlace}.gif', bytes(none), shown, 'logical screen of 0 x 0', 9)
    # BMP.
    table = np.array(quantized.getpalette()[:192], 'u1').reshape(-1, 3)
    palette = b''.join(bytes([*c[::-1], 0]) for c in table).ljust(1024, b'\0')
    index = np.asarray(quantized)
    up = lambda a: a[::-1].tobytes()
    whole('bmp-24.bmp', bmp(40, W, H, 0, 24, up(RGB[..., ::-1])), RGB, 'BMP')
    whole('bmp-24-top.bmp', bmp(40, W, -H, 0, 24, RGB[..., ::-1].tobytes()), RGB, 'rows from the top')
    runs = [b''.join(bytes([1, v]) for v in row) + b'\0\0' for row in index]
    for header in (40, 64, 108, 124):
        whole(f'bmp-8-{header}.bmp', bmp(header, W, H, 0, 8, up(index), palette), shown, 'header')
        whole(f'bmp-rle8-{header}.bmp', bmp(header, W, H, 1, 8, b''.join(runs[::-1]) + b'\0\1', palette), shown, 'run lengths')
        if header != 64:
            whole(f'bmp-rle8-top-{header}.bmp', bmp(header, W, -H, 1, 8, b''.join(runs) + b'\0\1', palette), shown, 'run lengths from the top')
        many = bytearray(bmp(header, W, H, 0, 8, up(index), palette + b'\0' * 176))
        many[46:50] = struct.pack('<I', 300)
        whole(f'bmp-many-colours-{header}.bmp', bytes(many), shown, 'more colours than indices')
    whole('bmp-8-16.bmp', bmp(16, W, H, 0, 8, up(index), palette), shown, 'the short header of OS/2 2.0')
    whole('bmp-24-16.bmp', bmp(16, W, H, 0, 24, up(RGB[..., ::-1])), RGB, 'the short header of OS/2 2.0')
    core = struct.pack('<IHHHH', 12, W, H, 1, 24)
    whole('bmp-24-12.bmp', b'BM' + struct.pack('<IHHI', 26 + RGB.size, 0, 0, 26) + core + up(RGB[..., ::-1]), RGB, 'OS/2 1.0')


def cut():
    """A file that ends too early is shown if at least half of the picture is there."""
    noise = np.random.default_rng(1).integers(0, 40, (H * 4, W * 4, 3))
    big = np.clip(np.kron(RGB, np.ones((4, 4, 1))) + noise, 0, 255).astype('u1')
    size = (W * 4, H * 4)
    quantized = Image.fromarray(big).quantize(64)
    index = np.asarray(quantized)
    palette = b''.join(bytes([*quantized.getpalette()[3 * i:3 * i + 3][::-1], 0]) for i in range(64)).ljust(1024, b'\0')
    files = {
        'png': png(big, 2), 'gif': pil(quantized, 'GIF', interlace=0),
        'bmp': bmp(40, *size, 0, 24, big[::-1, :, ::-1].tobytes()),
        'top.bmp': bmp(40, size[0], -size[1], 0, 8, index.tobytes(), palette),
        'tif': Tiff().file([base(big, 2)], directory_first=True), 'strips.tif': Tiff().file([base(big, 2, 8, rows=16)], directory_first=True),
        'lzw.tif': Tiff().file([base(big, 2, 5)], directory_first=True), 'jpg': pil(Image.fromarray(big), 'JPEG', quality=92, subsampling=2),
        '444.jpg': pil(Image.fromarray(big), 'JPEG', quality=92, subsampling=0),
        'grey.jpg': pil(Image.fromarray(big[..., 0]), 'JPEG', quality=92),
        'jpeg.tif': Tiff().file(
            [base(big, 6, 7, raw_chunks=[pil(Image.fromarray(big), 'JPEG', quality=92, subsampling=0)], more=[(530, 3, [1, 1])])],
            directory_first=True),
    }
    for name, data in files.items():
        bottom_up = name == 'bmp'
        at = (.25, .8) if bottom_up else (.25, .2)
        x, y = int(at[0] * size[0]), int(at[1] * size[1])
        colour = [int(round(v)) for v in big[y - 8:y + 8, x - 8:x + 8].reshape(-1, 3).mean(0)]
        if name == 'grey.jpg':
            colour = colour[:1] * 3
        blank = (.25, .05) if bottom_up else (.25, .95)
        for part in (70, 90):
            short = data[:len(data) * part // 100]
            out(f'cut-{part}.{name}', short, size, at, colour, 20, 'cut short: what is there is shown', 'cut-short')
            out(f'cut-{part}-blank.{name}', short, size, blank, (255, 255, 255), 6, 'cut short: the rest is white', 'cut-short')
        refused(f'cut-25.{name}', data[:len(data) // 4], 'The file is damaged.', 'cut short: too little is there')
    refused('cut-70.webp', (lambda d: d[:len(d) * 7 // 10])(pil(Image.fromarray(big), 'WEBP', quality=90)), 'The file is damaged.',
            'cut short: its decoder shows all or nothing')


def drawings():
    """Line art is not smeared by few samples of colour."""
    lines = np.where(((np.arange(300) // 3) % 2)[None, :, None] == 0, (255, 0, 0), (0, 0, 255)).astype('u1').repeat(200, 0)
    out('lines.png', png(lines, 2), (300, 200), (.505, .5), (255, 0, 0), 40, 'lines of three pixels, not shrunk')
    out('lines.webp', pil(Image.fromarray(lines), 'WEBP', lossless=True), (300, 200), (.505, .5), (255, 0, 0), 40, 'lines of three pixels')
    out('lines.gif', pil(Image.fromarray(lines).quantize(4), 'GIF'), (300, 200), (.505, .5), (255, 0, 0), 40, 'lines of three pixels')


SECTIONS = {'tiffs': tiffs, 'colours': colours, 'png_chunks': png_chunks, 'others': others, 'cut': cut, 'drawings': drawings}
for section in sys.argv[2:] or SECTIONS:
    SECTIONS[section]()
with open(os.path.join(FOLDER, 'expect.tsv'), 'w') as file:
    file.writelines('\t'.join(map(str, row)) + '\n' for row in ROWS)
