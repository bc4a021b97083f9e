// The size of what a user of the package loads, bundled, minified and gzipped: whole entries, and what is left of one when a
// program imports a few names of it.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** A guest: it comes with the test runner, and this measurement is not worth a dependency. */
const BUNDLER = "rolldown";
const DIST = join(fileURLToPath(new URL("..", import.meta.url)), "dist");

/** What is measured: an entry of the package, and the names that are taken from it ("*": all). */
export const IMPORTS = {
  main: { entry: "index.js", names: "*" },
  mainCreatePlanner: { entry: "index.js", names: "{ createPlanner }" },
  core: { entry: "core.js", names: "*" },
  coreCreatePlanner: { entry: "core.js", names: "{ createPlanner }" },
  coreVerified: {
    entry: "core.js",
    names: "{ budgetFor, createPlanner, decodePlan, encodePlan, verifyPlan }",
  },
};

/** For each of IMPORTS { minifiedBytes, gzipBytes }, or undefined where no bundler is installed. */
export async function measurePackageSize() {
  const sizes = {};
  for (const [name, { entry, names }] of Object.entries(IMPORTS)) {
    const bundle = await bundleImport(join(DIST, entry), names);
    if (bundle === undefined) return undefined;
    const { code } = bundle;
    sizes[name] = { minifiedBytes: Buffer.byteLength(code), gzipBytes: gzipSync(code, { level: 9 }).length };
  }
  return sizes;
}

/** The minified program that exports `names` of the module at `path`, and the modules that it is made of. */
export async function bundleImport(path, names) {
  let rolldown;
  try {
    ({ rolldown } = await import(BUNDLER));
  } catch {
    return undefined;
  }
  const program = "program";
  const bundle = await rolldown({
    input: program,
    logLevel: "silent",
    plugins: [
      {
        name: "program",
        resolveId: (id) => (id === program ? id : undefined),
        load: (id) => (id === program ? `export ${names} from ${JSON.stringify(path)};` : undefined),
      },
    ],
  });
  const { output } = await bundle.generate({ format: "es", minify: true });
  await bundle.close();
  const modules = output.flatMap((chunk) =>
    Object.entries(chunk.modules ?? {}).flatMap(([id, { renderedLength }]) => (renderedLength > 0 ? [id] : [])),
  );
  return { code: output.map((chunk) => chunk.code ?? "").join(""), modules };
}
