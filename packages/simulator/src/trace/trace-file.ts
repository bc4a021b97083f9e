// The bytes of a trace file as a stream: gzip is known by its magic bytes, whatever the name says.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
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

const GZIP = "1f8b";

/** First bytes, in hexadecimal, of what traces are sometimes packed in or mistaken for. From the formats' specifications. */
const FOREIGN: readonly (readonly [start: string, value: string])[] = [
  ["504b0304", "a zip archive"],
  ["28b52ffd", "Zstandard data"],
  ["fd377a585a00", "xz data"],
  ["425a68", "bzip2 data"],
  ["50415231", "a Parquet file"],
  ["fffe", "UTF-16 text"],
  ["feff", "UTF-16 text"],
];

async function isGzip(file: string): Promise<boolean> {
  const refused = (value: string, expected: string): TraceError =>
    new TraceError({ file, line: 0, field: "", value, expected });
  const start = Buffer.alloc(6);
  let bytesRead: number;
  try {
    // A pipe can be read only once; the first line, the hash and the requests take three readings.
    const facts = await stat(file);
    if (!facts.isFile()) {
      throw refused(facts.isDirectory() ? "a folder" : "a pipe or device", "a readable trace file");
    }
    const handle = await open(file, "r");
    try {
      ({ bytesRead } = await handle.read(start, 0, start.length, 0));
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof TraceError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    // A program in JavaScript has left the path out.
    if (code === "ERR_INVALID_ARG_TYPE")
      throw refused("no path", "that of a trace file, or the name of a bundled trace");
    throw refused(code === "ENOENT" ? "no such file" : `no access (${code})`, "a readable trace file");
  }
  if (bytesRead === 0) throw refused("an empty file", "at least one request");
  const bytes = start.toString("hex", 0, bytesRead);
  const foreign = FOREIGN.find(([magic]) => bytes.startsWith(magic));
  if (foreign !== undefined) throw refused(foreign[1], "CSV or JSON lines in UTF-8, plain or gzip");
  return bytes.startsWith(GZIP);
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
