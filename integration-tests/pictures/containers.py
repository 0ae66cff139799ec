"""Writers of containers and profiles, from their specifications, for what the encoders at hand cannot write."""
import io, struct, zlib
import numpy as np
from PIL import Image, ImageCms

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 16: 8}
PACK = {3: 'H', 4: 'I', 16: 'Q'}


class Tiff:
    """A classic or BigTIFF file of one byte order."""

    def __init__(self, order='<', big=False):
        self.order, self.big = order, big

    def pack(self, kind, *values):
        return struct.pack(self.order + kind, *values)

    def file(self, pages, directory_first=False):
        """Each page: tags (number, type, values), data (strips or tiles), tiled, sub (pages below it)."""
        mark = b'II' if self.order == '<' else b'MM'
        offset = 'Q' if self.big else 'I'
        head = mark + (self.pack('HHH', 43, 8, 0) if self.big else self.pack('H', 42))
        self.body = bytearray(head + self.pack(offset, 0))
        self.previous = len(head)
        for page in pages:
            at, following = self.page(page, offset, directory_first)
            self.body[self.previous:self.previous + struct.calcsize(offset)] = self.pack(offset, at)
            self.previous = following
        return bytes(self.body)

    def put(self, data):
        self.body += b'\0' * (len(self.body) % 2)
        at = len(self.body)
        self.body += data
        return at

    def page(self, page, offset, directory_first):
        below = [self.page(sub, offset, False)[0] for sub in page.get('sub', [])]
        number = 16 if self.big else 4
        places, counts = (324, 325) if page.get('tiled') else (273, 279)
        lengths = [len(data) for data in page['data']]
        tags = list(page['tags']) + [(counts, number, lengths)]
        if below:
            tags.append((330, number, below))
        if directory_first:
            # The same directory twice: once to learn its length.
            start = len(self.body)
            self.directory(tags + [(places, number, [0] * len(lengths))], offset)
            length = len(self.body) - start
            del self.body[start:]
            at, offsets = start + length + 2, []
            for data in page['data']:
                at += at % 2
                offsets.append(at)
                at += len(data)
            result = self.directory(tags + [(places, number, offsets)], offset)
            for data, expected in zip(page['data'], offsets):
                self.body += b'\0' * (expected - len(self.body))
                self.body += data
            return result
        offsets = [self.put(data) for data in page['data']]
        return self.directory(tags + [(places, number, offsets)], offset)

    def directory(self, tags, offset):
        entries, width = b'', struct.calcsize(offset)
        for tag, kind, values in sorted(tags, key=lambda tag: tag[0]):
            if kind in (1, 2, 7):
                raw = bytes(values)
            elif kind == 5:
                raw = b''.join(self.pack('II', *value) for value in values)
            else:
                raw = self.pack(f'{len(values)}{PACK[kind]}', *values)
            field = raw.ljust(width, b'\0') if len(raw) <= width else self.pack(offset, self.put(raw))
            entries += self.pack('HH', tag, kind) + self.pack(offset, len(values)) + field
        at = self.put(self.pack('Q' if self.big else 'H', len(tags)) + entries + b'\0' * width)
        return at, len(self.body) - width


def packed(a, bits):
    """Rows of samples of few bits, the highest first, each row from a byte on."""
    rows = a.reshape(a.shape[0], -1).astype('u4')
    places = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(places.reshape(a.shape[0], -1).astype('u1'), axis=1).tobytes()


REVERSED = bytes(int(f'{value:08b}'[::-1], 2) for value in range(256))


def base(a, photometric, compression=1, extra=None, predictor=1, icc=None, tile=None, rows=None, planar=False, bits=None,
         order='<', reversed_bits=False, raw=None, raw_chunks=None, more=()):
    """A page of these samples."""
    height, width = a.shape[:2]
    a = a.reshape(height, width, -1)
    count = a.shape[2]
    depth = bits or a.dtype.itemsize * 8
    tags = [(256, 4, [width]), (257, 4, [height]), (258, 3, [depth] * count), (259, 3, [compression]), (262, 3, [photometric]),
            (277, 3, [count]), (284, 3, [2 if planar else 1])]
    if a.dtype.kind == 'f':
        tags.append((339, 3, [3] * count))
    if extra is not None:
        tags.append((338, 3, extra))
    if predictor != 1:
        tags.append((317, 3, [predictor]))
    if icc:
        tags.append((34675, 7, icc))
    if reversed_bits:
        tags.append((266, 3, [2]))

    def encode(part):
        if predictor == 2:
            part = part.copy()
            part[:, 1:] = part[:, 1:] - part[:, :-1]
        ordered = part.astype(part.dtype.newbyteorder(order))
        if bits:
            data = packed(part, bits)
        elif predictor == 3:
            data = floats(part)
        else:
            data = np.ascontiguousarray(ordered).tobytes()
        data = COMPRESSIONS[compression](data, len(data) // part.shape[0])
        return data.translate(REVERSED) if reversed_bits else data

    parts = [a[..., sample:sample + 1] for sample in range(count)] if planar else [a]
    if raw is not None:
        data = [COMPRESSIONS[compression](raw, len(raw))]
    elif raw_chunks is not None:
        data = raw_chunks
    elif tile:
        across, down = tile
        padding = ((0, -height % down), (0, -width % across), (0, 0))
        data = []
        for part in parts:
            padded = np.pad(part, padding, mode='edge')
            data += [encode(padded[y:y + down, x:x + across]) for y in range(0, height, down) for x in range(0, width, across)]
    else:
        data = [encode(part[y:y + (rows or height)]) for part in parts for y in range(0, height, rows or height)]
    tags += [(322, 4, [tile[0]]), (323, 4, [tile[1]])] if tile else [(278, 4, [rows or height])]
    # What a case says about a page counts.
    given = {tag[0] for tag in more}
    tags = [tag for tag in tags if tag[0] not in given]
    return {'tags': tags + list(more), 'data': data, 'tiled': bool(tile)}


def floats(part):
    """Predictor 3: the bytes of a row by their weight, each as the difference from the one to the left."""
    height, width, count = part.shape
    size = part.dtype.itemsize
    rows = np.frombuffer(np.ascontiguousarray(part.astype(part.dtype.newbyteorder('>'))).tobytes(), 'u1')
    rows = rows.reshape(height, width * count, size).swapaxes(1, 2).reshape(height, -1).copy()
    rows[:, count:] = rows[:, count:] - rows[:, :-count]
    return rows.tobytes()


def lzw(raw, _stride=0):
    """TIFF LZW, with clear and end codes."""
    codes, (table, following, size) = [(256, 9)], ({bytes([i]): i for i in range(256)}, 258, 9)
    current = b''
    for byte in raw:
        longer = current + bytes([byte])
        if longer in table:
            current = longer
            continue
        codes.append((table[current], size))
        table[longer], following, current = following, following + 1, bytes([byte])
        if following + 1 > (1 << size):
            size += 1
        if following >= 4094:
            codes.append((256, min(size, 12)))
            table, following, size = {bytes([i]): i for i in range(256)}, 258, 9
    if current:
        codes.append((table[current], size))
        following += 1
        if following + 1 > (1 << size):
            size += 1
    codes.append((257, min(size, 12)))
    held = count = 0
    out = bytearray()
    for code, size in codes:
        held, count = held << size | code, count + size
        while count >= 8:
            count -= 8
            out.append(held >> count & 255)
            held &= (1 << count) - 1
    if count:
        out.append(held << (8 - count) & 255)
    return bytes(out)


def pack_bits(raw, stride):
    """PackBits, row by row: runs of three and more, and literals."""
    out = bytearray()
    for start in range(0, len(raw), stride):
        row, at, literal = raw[start:start + stride], 0, bytearray()
        while at < len(row):
            run = 1
            while run < 128 and at + run < len(row) and row[at + run] == row[at]:
                run += 1
            if run >= 3 or len(literal) == 128:
                if literal:
                    out += bytes([len(literal) - 1]) + literal
                    literal = bytearray()
            if run >= 3:
                out += bytes([257 - run, row[at]])
                at += run
            else:
                literal.append(row[at])
                at += 1
        if literal:
            out += bytes([len(literal) - 1]) + literal
    return bytes(out)


COMPRESSIONS = {1: lambda raw, _: raw, 5: lzw, 8: lambda raw, _: zlib.compress(raw), 32773: pack_bits}


def fixed(x):
    return struct.pack('>i', round(x * 65536))


def icc(tags, space, pcs, kind):
    at, table, data = 132 + 12 * len(tags), b'', b''
    for name, value in tags:
        value += b'\0' * (-len(value) % 4)
        table += name + struct.pack('>II', at + len(data), len(value))
        data += value
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b'\x02\x40\0\0', kind + space + pcs, b'acsp'
    head[68:80] = fixed(.9642) + fixed(1) + fixed(.8249)
    profile = bytes(head) + struct.pack('>I', len(tags)) + table + data
    return struct.pack('>I', len(profile)) + profile[4:]


def xyz(v):
    return b'XYZ \0\0\0\0' + b''.join(map(fixed, v))


DESC = (b'desc', b'desc\0\0\0\0\0\0\0\5test\0' + b'\0' * 78)
PRIMARIES = [(.4360, .2225, .0139), (.3851, .7169, .0971), (.1431, .0606, .7141)]


def matrix_profile(gamma, order=(0, 1, 2), padding=0):
    """An RGB profile with the primaries of sRGB in this order."""
    curve = b'curv\0\0\0\0\0\0\0\1' + struct.pack('>H', round(gamma * 256)) + b'\0\0'
    tags = [DESC, (b'wtpt', xyz((.9642, 1, .8249)))]
    tags += [(c + b'XYZ', xyz(PRIMARIES[o])) for c, o in zip((b'r', b'g', b'b'), order)]
    tags += [(c + b'TRC', curve) for c in (b'r', b'g', b'b')]
    if padding:
        tags.append((b'cprt', b'text\0\0\0\0' + b'x' * padding))
    return icc(tags, b'RGB ', b'XYZ ', b'mntr')


def cmyk_profile():
    """A press with four inks, as a table of the sixteen overprints."""
    ink = [(55, -37, -50), (48, 74, -3), (89, -5, 93), (16, 0, 0)]
    lut = bytearray()
    for mix in range(16):
        lightness, a, b = 95.0, 0.0, -2.0
        for k in range(4):
            if mix >> (3 - k) & 1:
                lightness = lightness * ink[k][0] / 95
                a, b = [v * .6 + i * (.4 + .6 * lightness / 95) for v, i in ((a, ink[k][1]), (b, ink[k][2]))]
        lut += bytes(int(max(0, min(255, round(v)))) for v in (lightness * 2.55, a + 128, b + 128))
    same = bytes(range(256))
    table = b'mft1\0\0\0\0' + bytes([4, 3, 2, 0]) + b''.join(fixed(1 if i % 4 == 0 else 0) for i in range(9)) + same * 4 + bytes(lut) + same * 3
    return icc([DESC, (b'wtpt', xyz((.9642, 1, .8249))), (b'A2B0', table), (b'A2B1', table)], b'CMYK', b'Lab ', b'prtr')


def lcms(picture, profile):
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.profileToProfile(picture, source, ImageCms.createProfile('sRGB'), renderingIntent=0, outputMode='RGB')


def rgb_curve(light):
    """sRGB of linear light."""
    return np.where(light <= .0031308, light * 12.92, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - .055)


def pil(picture, container, **options):
    file = io.BytesIO()
    picture.save(file, container, **options)
    return file.getvalue()


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png(a, kind, extra=b'', bits=None, interlaced=0):
    height, width = a.shape[:2]
    depth = bits or a.dtype.itemsize * 8

    def rows(part):
        if part.size == 0:
            return b''
        if depth < 8:
            data = packed(part, depth)
        else:
            data = np.ascontiguousarray(part.astype('u1' if depth == 8 else '>u2')).tobytes()
        stride = len(data) // part.shape[0]
        return b''.join(b'\0' + data[at:at + stride] for at in range(0, len(data), stride))

    passes = [a[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [a]
    head = struct.pack('>IIBBBBB', width, height, depth, kind, 0, 0, interlaced)
    data = chunk(b'IDAT', zlib.compress(b''.join(map(rows, passes))))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + extra + data + chunk(b'IEND', b'')


def bmp(header, width, height, compression, bits, pixels, palette=b''):
    head = struct.pack('<IiiHHIIiiII', header, width, height, 1, bits, compression, len(pixels), 2835, 2835, 0, 0)
    head = head[:header].ljust(header, b'\0')
    at = 14 + len(head) + len(palette)
    return b'BM' + struct.pack('<IHHI', at + len(pixels), 0, 0, at) + head + palette + pixels
