onmessage = async ({ data: { file, width: resizeWidth } }) => {
  try {
    const bitmap = await createImageBitmap(file, { resizeWidth, resizeQuality: "medium" });
    const { width, height } = bitmap;
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
    bitmap.close();
    postMessage({ blob: await canvas.convertToBlob({ type: "image/webp" }), width, height });
  } catch {
    postMessage(null);
  }
};
