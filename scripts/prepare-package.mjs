// Completes the package in the current folder before npm packs it: the licence for every package, and for the command
// the bundled traces with their licences and notices, so that an installed `isochron` has them.
//
//   "prepack": "node ../../scripts/prepare-package.mjs"

import { cpSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = process.cwd();

cpSync(join(root, "LICENSE"), join(target, "LICENSE"));
if (basename(target) === "cli") {
  rmSync(join(target, "traces"), { recursive: true, force: true });
  cpSync(join(root, "traces"), join(target, "traces"), { recursive: true });
}
