/** An EXIF block that tells where a picture was taken; in its second directory if `isSecond`. */
export function placeTiff({ isLittle = true, hasPlace = true, isSecond = false }) {
  const tiff = Buffer.alloc(160);
  const short = (value, at) => (isLittle ? tiff.writeUInt16LE(value, at) : tiff.writeUInt16BE(value, at));
  const long = (value, at) => (isLittle ? tiff.writeUInt32LE(value, at) : tiff.writeUInt32BE(value, at));
  const entry = (at, tag, type, count, value) => {
    short(tag, at);
    short(type, at + 2);
    long(count, at + 4);
    if (type === 3) short(value, at + 8);
    else long(value, at + 8);
  };
  tiff.write(isLittle ? "II" : "MM");
  short(42, 2);
  long(8, 4);
  short(3, 8);
  entry(10, 0x0112, 3, 1, 6);
  if (hasPlace && !isSecond) entry(22, 0x8825, 4, 1, 60);
  else entry(22, 0x8769, 4, 1, 0);
  entry(34, 0x9000, 3, 1, 77);
  long(130, 46);
  // The directory of the place: a reference, and a latitude outside the entry.
  short(2, 60);
  entry(62, 1, 2, 2, 78);
  entry(74, 2, 5, 3, 100);
  if (hasPlace) tiff.write("52-DEGREES-30-MINUTES-NN", 100);
  if (isSecond) {
    short(1, 130);
    entry(132, 0x8825, 4, 1, 60);
  }
  return tiff;
}

/** The first bytes of a JPEG whose EXIF, and XMP if given, tell where it was taken. */
export function geotagged({ xmp = "", label = "http://ns.adobe.com/xap/1.0/\0", width = 64, height = 48, rest = Buffer.alloc(0), ...place }) {
  const segment = (marker, body) => {
    const head = Buffer.from([0xff, marker, 0, 0]);
    head.writeUInt16BE(body.length + 2, 2);
    return Buffer.concat([head, body]);
  };
  const frame = Buffer.from([8, height >> 8, height & 255, width >> 8, width & 255, 1, 1, 0x11, 0]);
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xe1, Buffer.concat([Buffer.from("Exif\0\0"), placeTiff(place)])),
    ...(xmp ? [segment(0xe1, Buffer.from(label + xmp))] : []),
    segment(0xc0, frame),
    segment(0xda, Buffer.from([1, 1, 0, 0, 63, 0])),
    rest,
    Buffer.from([0xff, 0xd9]),
  ]);
}
