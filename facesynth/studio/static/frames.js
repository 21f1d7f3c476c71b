// What page and server exchange: the length of a header, the header in JSON, and bytes.

export function pack(header, ...payloads) {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = payloads.reduce((sum, each) => sum + each.byteLength, 0);
  const frame = new Uint8Array(4 + text.length + length);
  new DataView(frame.buffer).setUint32(0, text.length, true);
  frame.set(text, 4);
  let at = 4 + text.length;
  for (const each of payloads) {
    frame.set(each, at);
    at += each.byteLength;
  }
  return frame;
}

export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { header, payload: new Uint8Array(buffer, 4 + length) };
}
