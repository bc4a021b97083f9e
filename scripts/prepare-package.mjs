// Completes the package in the current folder before npm packs it, and undoes that afterwards: the licence for every
// package, and for the command the bundled traces with their licences and notices, so that an installed `isochron` has them.
//
//   "prepack": "node ../../scripts/prepare-package.mjs"
//   "postpack": "node ../../scripts/prepare-package.mjs --undo"

import { cpSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = process.cwd();
const additions = basename(target) === "cli" ? ["LICENSE", "traces"] : ["LICENSE"];

for (const name of additions) {
  rmSync(join(target, name), { recursive: true, force: true });
  if (!process.argv.includes("--undo")) cpSync(join(root, name), join(target, name), { recursive: true });
}
