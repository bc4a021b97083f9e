// The size of what a user of the package loads: everything that index.js exports, bundled, minified, gzipped.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** A guest: it comes with the test runner, and this measurement is not worth a dependency. */
const BUNDLER = "rolldown";
const ENTRY = join(fileURLToPath(new URL("..", import.meta.url)), "dist", "index.js");

/** Bytes minified and gzipped, or undefined where no bundler is installed. */
export async function measurePackageSize() {
  let rolldown;
  try {
    ({ rolldown } = await import(BUNDLER));
  } catch {
    return undefined;
  }
  const bundle = await rolldown({ input: ENTRY, logLevel: "silent" });
  const { output } = await bundle.generate({ format: "es", minify: true });
  await bundle.close();
  const code = output.map((chunk) => chunk.code ?? "").join("");
  return { minifiedBytes: Buffer.byteLength(code), gzipBytes: gzipSync(code, { level: 9 }).length };
}
