// The bytes of a trace file as a stream: gzip is known by its magic bytes, whatever the name says.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline, type Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { TraceError } from "./trace-error.ts";

/** Longest line that is read. Chosen: a prompt of 500,000 token ids in decimal. */
export const MAX_LINE_BYTES: number = 4 * 2 ** 20;

/** Opens a file that must exist and have content. */
export async function readTraceFile(file: string): Promise<Readable> {
  const isCompressed = await isGzip(file);
  const source = createReadStream(file, { highWaterMark: 2 ** 18 });
  if (!isCompressed) return source;
  const gunzip = createGunzip({ chunkSize: 2 ** 18 });
  // An error of either end is thrown to whoever iterates over the result.
  pipeline(source, gunzip, () => {});
  return gunzip;
}

export async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

async function isGzip(file: string): Promise<boolean> {
  const magic = Buffer.alloc(2);
  let bytesRead: number;
  try {
    const handle = await open(file, "r");
    try {
      ({ bytesRead } = await handle.read(magic, 0, 2, 0));
    } finally {
      await handle.close();
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const value = code === "ENOENT" ? "no such file" : code === "EISDIR" ? "a folder" : `no access (${code})`;
    throw new TraceError({ file, line: 0, field: "", value, expected: "a readable trace file" });
  }
  if (bytesRead === 0) {
    throw new TraceError({ file, line: 0, field: "", value: "an empty file", expected: "at least one request" });
  }
  return bytesRead === 2 && magic[0] === 0x1f && magic[1] === 0x8b;
}

/** Turns what a stream may throw into a TraceError at a line; other errors pass as they are. */
export function streamError(error: unknown, file: string, line: number): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "EISDIR") {
    return new TraceError({ file, line: 0, field: "", value: "a folder", expected: "a readable trace file" });
  }
  if (typeof code === "string" && code.startsWith("Z_")) {
    return new TraceError({
      file,
      line,
      field: "gzip data",
      value: `broken (${message})`,
      expected: "a whole gzip file; it may have been cut off while it was copied",
    });
  }
  return error;
}
