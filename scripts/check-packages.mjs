// Lints what each package would publish (publint, strict). Needs the build.
//
//   node scripts/check-packages.mjs

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

const packagesPath = join(dirname(fileURLToPath(import.meta.url)), "..", "packages");

const results = await Promise.all(
  readdirSync(packagesPath).map(async (folder) => {
    const pkgDir = join(packagesPath, folder);
    // What npm would pack is tested apart (test/tooling); here the files on disk do, and take no second to list.
    const { messages } = await publint({ pkgDir, strict: true, level: "warning", pack: false });
    const manifest = JSON.parse(readFileSync(join(pkgDir, "package.json"), "utf8"));
    return messages.map((message) => `packages/${folder}: ${formatMessage(message, manifest)}`);
  }),
);
const messages = results.flat();
for (const message of messages) console.error(message);
if (messages.length > 0) process.exitCode = 1;
