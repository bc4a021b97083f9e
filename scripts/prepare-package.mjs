// Completes the package in the current folder before npm packs it, and undoes that afterwards: the licence for every
// package, and for the command the bundled traces with their licences and notices, so that an installed `isochron` has them.
// Source maps stay here, so what is packed does not point at them: bundlers would warn of each that is missing.
//
//   "prepack": "node ../../scripts/prepare-package.mjs"
//   "postpack": "node ../../scripts/prepare-package.mjs --undo"

import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = process.cwd();
const additions = basename(target) === "cli" ? ["LICENSE", "traces"] : ["LICENSE"];

const isUndone = process.argv.includes("--undo");
for (const name of additions) {
  rmSync(join(target, name), { recursive: true, force: true });
  if (!isUndone) cpSync(join(root, name), join(target, name), { recursive: true });
}

for (const entry of readdirSync(join(target, "dist"), { recursive: true, encoding: "utf8" })) {
  const file = join(target, "dist", entry);
  if (!existsSync(`${file}.map`)) continue;
  const pointer = `\n//# sourceMappingURL=${basename(file)}.map`;
  const text = readFileSync(file, "utf8").replace(pointer, "");
  writeFileSync(file, isUndone ? `${text}${pointer}` : text);
}
