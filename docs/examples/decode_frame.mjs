// Decode one TelemetryFrame v1 message with nothing but Node: `node decode_frame.mjs FRAME.hex` prints it as JSON.
// The layout is described in docs/columns.md.
import { readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const HEADER = "c3012d2e934831a6ea25"; // marker and fingerprint of TelemetryFrame.v1.avsc
const STREAM = ["LIVE", "BACKFILL", "REPLAY"];
const CLOCK = ["SYNCHRONISED", "UNSYNCHRONISED", "UNKNOWN"];
const U64 = (n) => BigInt.asUintN(64, n);

export function decodeFrame(message) {
  if (message.subarray(0, 10).toString("hex") !== HEADER) throw new Error("not a TelemetryFrame v1");
  let at = 10;
  const byte = () => { if (at >= message.length) throw new Error("truncated"); return message[at++]; };
  const long = () => { // variable length, 7 bits a byte, zigzag
    let n = 0n, shift = 0n, b;
    do { b = byte(); n |= BigInt(b & 0x7f) << shift; shift += 7n; } while (b & 0x80);
    return BigInt.asIntN(64, (n >> 1n) ^ -(n & 1n));
  };
  const int = () => Number(long());
  const bytes = () => {
    const size = int(), start = at;
    if (size < 0 || (at += size) > message.length) throw new Error("truncated");
    return Uint8Array.from(message.subarray(start, at)); // a copy, so that any element size is aligned
  };
  const string = () => Buffer.from(bytes()).toString("utf8");
  const column = (Type) => new Type(bytes().buffer); // machine byte order: little-endian on x86 and ARM
  const nullable = (read) => (long() === 0n ? null : read());

  const frame = {
    gateway_id: string(), epoch: string(), lane: int(), stream: STREAM[int()], sequence: long(),
    base_time_us: long(), closed_time_us: long(), clock_status: CLOCK[int()], registry_version: long(),
    tag_ids: column(Int32Array), tag_index: column(Uint16Array), time_offset_us: column(Int32Array),
    value: column(Float64Array), quality: column(Uint16Array), verdict: nullable(() => column(Uint8Array)),
    samples: int(), checksum: long(),
    traceparent: nullable(string), signature: nullable(bytes), key_id: nullable(string),
  };
  if (at !== message.length) throw new Error("trailing bytes");
  return frame;
}

export function checksum({ tag_ids, tag_index, time_offset_us, base_time_us, value, quality }) {
  const bits = new BigUint64Array(value.buffer);
  let sum = 0n;
  for (let i = 0; i < value.length; i++) {
    let h = U64(((U64(BigInt(tag_ids[tag_index[i]])) << 16n) | BigInt(quality[i])) * 0x9e3779b97f4a7c15n);
    h ^= U64(base_time_us + BigInt(time_offset_us[i]));
    h = U64((h ^ (h >> 32n)) * 0xbf58476d1ce4e5b9n) ^ bits[i];
    h = U64((h ^ (h >> 29n)) * 0x94d049bb133111ebn);
    sum += h ^ (h >> 32n);
  }
  return BigInt.asIntN(64, sum);
}

const json = (_, v) => typeof v === "bigint" ? v.toString() : ArrayBuffer.isView(v) ? Array.from(v, number) : v;
const number = (v) => (Object.is(v, -0) ? "-0" : Number.isFinite(v) ? v : String(v));

if (process.argv[2] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const frame = decodeFrame(Buffer.from(readFileSync(process.argv[2], "utf8").replace(/\s/g, ""), "hex"));
  console.log(JSON.stringify({ ...frame, computed_checksum: checksum(frame) }, json, 1));
}
